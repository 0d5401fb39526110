"""Bundles of the models that are compared.

``python -m benchmarks.bundles MODEL FOLDER`` makes one for a section that is not to load what making it takes.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.models import LABELS, MOBILENET_FLOAT, MOBILENET_INT8, MOBILENET_UINT8
from edge_sdk.bundle.golden import golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import Manifest, Variant, schema_version_for
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.engines import engine_for, load_engine
from edge_sdk.tasks.settings import ClassifySettings, RawSettings, TaskSettings
from edge_sdk.tensors import Array, Layout, TensorSpec
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


def five_variants(folder: Path) -> Path:
    """MobileNetV2-224 as int8, uint8 and float32 for LiteRT, as float32 for ONNX Runtime and for OpenVINO, each with its golden vectors."""
    from converters.load import load
    from converters.targets.onnx import export_onnx
    from converters.targets.openvino.ir import to_ir

    content = load(MOBILENET_FLOAT).content
    (folder / "float.tflite").write_bytes(content)
    with load_engine("litert", str(folder / "float.tflite")) as engine:
        archive = to_ir(content, engine.inputs, engine.outputs).archive.packed()
    models = {
        "tflite-int8": MOBILENET_INT8.read_bytes(),
        "tflite-int8-uint8": MOBILENET_UINT8.read_bytes(),
        "tflite-float32": content,
        "onnx-float32": export_onnx(content).model.SerializeToString(),
        "openvino": archive,
    }
    random = np.random.default_rng(0)
    samples = [random.integers(0, 256, (224, 224, 3), np.uint8) for _ in range(4)]
    files = {**models, "labels.txt": LABELS.read_bytes(), "golden/inputs.npz": golden_inputs(samples)}
    variants = tuple(_variant(id_, model, samples, files, folder) for id_, model in models.items())
    task = ClassifySettings(kind="classify", top_k=3)
    manifest = Manifest(
        schema_version=schema_version_for(variants, task, CONTRACT),
        name="five",
        created_by="benchmarks",
        contract=CONTRACT,
        task=task,
        labels="labels.txt",
        variants=variants,
        golden_inputs="golden/inputs.npz",
        files=stored_files(files),
    )
    write_bundle(folder / "five.edge", manifest, files, overwrite=True)
    return folder / "five.edge"


def _variant(id_: str, model: bytes, samples: list[Array], files: dict[str, bytes], folder: Path) -> Variant:
    kind = "tflite-int8" if id_.startswith("tflite-int8") else id_
    path = folder / id_
    path.write_bytes(model)
    with load_engine(engine_for(kind), str(path)) as engine:
        layout: Layout = "nchw" if engine.inputs[0].shape[1] == 3 else "nhwc"
        inputs = (replace(engine.inputs[0], layout=layout),)
        encoder, outputs = Encoder(CONTRACT, inputs[0]), []
        for sample in samples:
            encoder.encode(sample, engine.input_arrays[0])
            outputs.append([each.copy() for each in engine.run()])
        files[f"golden/{id_}.npz"] = golden_outputs(outputs)
        tolerance = 1.0 if engine.outputs[0].quantized else 1e-3
        return Variant(
            id=id_,
            kind=kind,
            file=id_,
            inputs=inputs,
            outputs=engine.outputs,
            golden=f"golden/{id_}.npz",
            golden_tolerance=tolerance,
        )


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
