"""The child's side of reading an .onnx file: translated by the importer, and run by ONNX Runtime for the numeric check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from converters.load.child import deliver
from converters.load.numeric_check import check_inputs
from converters.load.onnx import import_onnx, reference
from converters.load.worker import Said
from edge_sdk import __version__
from edge_sdk.errors import ModelError, needs
from edge_sdk.onnx.runtime import refuse_telemetry
from edge_sdk.tflite import describe


def convert(request: dict[str, Any], folder: Path) -> None:
    """See ``worker``."""
    refuse_telemetry()
    with needs("onnxruntime", for_="checking an ONNX model", extra="onnx"):
        import onnxruntime

    path = Path(request["path"])
    asked = request["input_shape"]
    made = import_onnx(path.read_bytes(), input_shape=None if asked is None else tuple(asked), folder=path.parent)
    model = describe(made.content)
    if len(model.inputs) != 1:
        raise ModelError(f"the model has {len(model.inputs)} inputs; models of one are converted")
    inputs = check_inputs(model.tensors[model.inputs[0]].shape, tuple(request["real_range"]))
    outputs = reference(path, inputs, made)
    said = Said("ONNX", f"edge-sdk's importer {__version__}", f"ONNX Runtime {onnxruntime.__version__}", made.notes)
    deliver(folder, made.content, said, inputs, outputs)
