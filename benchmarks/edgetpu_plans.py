"""Plans known architectures for the Edge TPU: real models of the package indexes, quantized by our own converter.

    python -m benchmarks.edgetpu_plans                              # the table of docs/edgetpu.md
    python -m benchmarks.edgetpu_plans --models build/edgetpu       # and keeps the int8 models, for edge-sdk edgetpu plan

It needs edge-device-sdk[convert,keras]. Calibrated on noise: what maps, and what it takes, does not depend on the ranges.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from converters.calibrate.ranges import measure_ranges
from converters.calibrate.samples import RawSample
from converters.load import load
from converters.quantize.quantize import quantize
from converters.quantize.recipe import read_recipe
from converters.targets.edgetpu.plan import make_plan
from converters.targets.edgetpu.text import size
from edge_sdk.contract import Contract
from edge_sdk.edgetpu.plan import Plan
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import describe
from examples.assets import models

ARCHITECTURES = {
    "MobileNetV2 160": models.dog_breeds,
    "SSD MobileNetV2 300": models.object_detector,
    "BlazeFace 128": models.face_detector,
    "pose detector 224": models.pose_detector,
    "selfie segmentation 256": models.selfie_segmentation,
}
SAMPLES = 2


def quantized(path: Path) -> bytes:
    """The model in int8, inputs and outputs too."""
    content = load(path).content
    found = describe(content)
    entry = found.tensors[found.inputs[0]]
    rng = np.random.default_rng(0)
    noise = [rng.uniform(-1, 1, entry.shape).astype(np.float32) for _ in range(SAMPLES)]
    encoder = Encoder(Contract(input="tensor"), TensorSpec(entry.name, entry.shape, "float32"))
    ranges = measure_ranges(content, [RawSample(s, "bgr", f"noise {i}") for i, s in enumerate(noise)], encoder)
    return quantize(content, ranges, read_recipe("int8")).content


def row(name: str, plan: Plan) -> str:
    """A row of the table."""
    cut = plan.operators[plan.cut] if plan.cut is not None else None
    where = f"{cut.index}, {cut.name}: {cut.why}" if cut else "none"
    usb = plan.tpu.get("usb3")
    time = f"{usb.ms:.1f} ({usb.low_ms:.1f} to {usb.high_ms:.1f})" if usb else ""
    mapped = f"{len(plan.mapped)} of {len(plan.operators)}"
    return f"| {name} | {mapped} | {where} | {size(plan.cached_bytes)} | {size(plan.streamed_bytes)} | {time} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="Keep the int8 models in this folder.")
    folder = parser.parse_args().models
    print("| architecture | mapped | cut | cached | streamed | USB 3, ms |\n|---|---|---|---|---|---|")
    for name, fetch in ARCHITECTURES.items():
        content = quantized(fetch())
        print(row(name, make_plan(content)), flush=True)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name.replace(' ', '_').lower()}_int8.tflite").write_bytes(content)


if __name__ == "__main__":
    main()
