"""Models as the Edge TPU compiler leaves them: one custom operator a partition, around it what stays on the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import TensorSpec
from tests.tiny_models import TinyModel, options

OPERATOR = "edgetpu-custom-op"


def compiled_model(
    package: bytes = b"package", *, partitions: int = 1, shape: tuple[int, ...] = (1, 4), dtype: str = "INT8"
) -> bytes:
    """Custom operators one behind the other, each of the input's shape; not with a package that the inspector could read."""
    net = TinyModel()
    entry = last = net.tensor("input", shape, dtype=dtype)
    for number in range(partitions):
        made = net.tensor(f"output{number}", shape, dtype=dtype)
        custom(net, [last], [made], package + bytes([number]) * (number > 0))
        last = made
    return _quantized(net).build([entry], [last])


def processor_model(*, shape: tuple[int, ...] = (1, 4)) -> bytes:
    """Of the same input and output as ``compiled_model``, for the processor: it doubles its input."""
    net = TinyModel()
    entry, last = net.tensor("input", shape, dtype="INT8"), net.tensor("output0", shape, dtype="INT8")
    net.operator("ADD", [entry, entry], [last], options("Add"))
    return _quantized(net).build([entry], [last])


def both_bundle(path: Path, *, kinds: tuple[str, ...] = ("edgetpu", "tflite-int8")) -> Path:
    """A bundle with variants of these kinds, in this order; all take and give four numbers."""
    files = {kind: compiled_model() if kind == "edgetpu" else processor_model() for kind in kinds}
    entry, last = (TensorSpec(name, (1, 4), "int8", 1.0, 0) for name in ("input", "output0"))
    variants = tuple(Variant(id=kind, kind=kind, file=kind, inputs=(entry,), outputs=(last,)) for kind in kinds)
    manifest = Manifest(
        name="both",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=variants,
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


def _quantized(net: TinyModel) -> TinyModel:
    for tensor in net.graph.tensors:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array([1.0], np.float32)
        tensor.quantization.zeroPoint = np.array([0], np.int64)
    return net


def custom(net: TinyModel, inputs: list[int], outputs: list[int], package: bytes) -> None:
    """Add a custom operator."""
    net.operator(OPERATOR, inputs, outputs)
    net.graph.operators[-1].customOptions = np.frombuffer(package, np.uint8)
