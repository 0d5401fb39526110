"""Our side of ``quantization``; arguments and output as of elsewhere/tflite_ptq.py."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from converters.calibrate.ranges import measure
from converters.calibrate.samples import RawSample
from converters.quantize.quantize import quantize
from converters.quantize.recipe import read_recipe
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import describe


def main(source: Path, data: Path, target: Path) -> None:
    """Calibrate and quantize."""
    content, samples = source.read_bytes(), np.load(data, mmap_mode="r")
    model = describe(content)
    entry = model.tensors[model.inputs[0]]
    started = perf_counter()
    encoder = Encoder(Contract(input="tensor"), TensorSpec(entry.name, entry.shape, "float32"))
    raw = (RawSample(sample, "bgr", f"sample {number}") for number, sample in enumerate(samples))
    ranges = measure(content, raw, encoder).ranges("minmax")
    target.write_bytes(quantize(content, ranges, read_recipe("int8")).content)
    seconds = perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
