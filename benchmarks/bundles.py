"""Bundles of the models that are compared.

``python -m benchmarks.bundles MODEL FOLDER`` makes one for a section that is not to load what making it takes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.models import LABELS
from edge_sdk.bundle.manifest import Manifest, Variant, schema_version_for
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.engines import load_engine
from edge_sdk.tasks.settings import ClassifySettings, RawSettings, TaskSettings
from edge_sdk.tensors import TensorSpec
from edge_sdk.window_settings import WindowSettings

# The models take (byte - 128) / 128: quantized input is the byte itself, or the byte less 128. See elsewhere/build_models.py.
CONTRACT = Contract(input="image", colour="rgb", mean=(128.0,), std=(128.0,), resize="stretch")


def null_options(side: int = 224) -> dict[str, str]:
    """Of the null engine, for ``null_bundle``."""
    return {"input": f"1,{side},{side},3 uint8", "output": "1,4 int8"}


NULL_OPTIONS = null_options()


def classifier_bundle(model: Path, folder: Path) -> Path:
    """A bundle of one of the MobileNetV2 models, giving the three best of 1,000 classes."""
    with load_engine("litert", str(model)) as engine:
        inputs, outputs = engine.inputs, engine.outputs
    files = {"model.tflite": model.read_bytes(), "labels.txt": LABELS.read_bytes()}
    variant = Variant(id="tflite-int8", kind="tflite-int8", file="model.tflite", inputs=inputs, outputs=outputs)
    task = ClassifySettings(kind="classify", top_k=3)
    return _write(folder / f"{model.stem}.edge", CONTRACT, task, variant, files)


def null_bundle(folder: Path, side: int = 224) -> Path:
    """A bundle for the null engine with ``null_options(side)``: bytes of an RGB image of this height and width, as they are."""
    inputs, outputs = (TensorSpec("input", (1, side, side, 3), "uint8"),), (TensorSpec("output", (1, 4), "int8"),)
    variant = Variant(id="null", kind="null", file="model", inputs=inputs, outputs=outputs)
    contract = Contract(input="image", colour="rgb", range=(0, 255), resize="stretch")
    return _write(folder / "null.edge", contract, RawSettings(), variant, {"model": b"nothing"})


def numbers_bundle(folder: Path) -> Path:
    """A bundle for the null engine as it is without options: four numbers."""
    inputs, outputs = (TensorSpec("input", (1, 4), "int8"),), (TensorSpec("output", (1, 4), "int8"),)
    variant = Variant(id="null", kind="null", file="model", inputs=inputs, outputs=outputs)
    return _write(folder / "numbers.edge", Contract(input="tensor"), RawSettings(), variant, {"model": b"nothing"})


def signal_bundle(folder: Path, window: WindowSettings) -> Path:
    """A bundle for the null engine that takes raw windows as float32."""
    inputs, outputs = (TensorSpec("input", (1, *window.shape), "float32"),), (TensorSpec("output", (1, 4), "int8"),)
    variant = Variant(id="null", kind="null", file="model", inputs=inputs, outputs=outputs)
    contract = Contract(input="window", window=window)
    return _write(folder / "signal.edge", contract, RawSettings(), variant, {"model": b"nothing"})


def _write(path: Path, contract: Contract, task: TaskSettings, variant: Variant, files: dict[str, bytes]) -> Path:
    manifest = Manifest(
        schema_version=schema_version_for((variant,), task, contract),
        name=path.stem,
        created_by="benchmarks",
        contract=contract,
        task=task,
        labels="labels.txt" if "labels.txt" in files else None,
        variants=(variant,),
        files=stored_files(files),
    )
    write_bundle(path, manifest, files, overwrite=True)
    return path


if __name__ == "__main__":
    classifier_bundle(Path(sys.argv[1]), Path(sys.argv[2]))
