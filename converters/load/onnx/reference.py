"""What the ONNX model itself computes, by ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converters.axes import plain
from converters.load.onnx.values import channels_last
from edge_sdk.errors import ModelError, needs
from edge_sdk.onnx.runtime import refuse_telemetry
from edge_sdk.tensors import Array

if TYPE_CHECKING:
    from converters.load.onnx import Imported

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


def reference(source: bytes | Path, inputs: Array, imported: Imported) -> tuple[Array, ...]:
    """The outputs of the ONNX model for inputs of the .tflite's layout.

    Args:
        source: the ONNX model; its path where weights lie beside it.
        inputs: (n, *input shape of the .tflite), float32.
        imported: what became of the model.

    Returns:
        For each output an array (n, *output shape of the .tflite).

    Raises:
        ModelError: if ONNX Runtime refuses the model or fails.
    """
    refuse_telemetry()
    with needs("onnxruntime", for_="running an ONNX model", extra="onnx"):
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = min(4, os.cpu_count() or 1)
    taken = str(source) if isinstance(source, Path) else source
    try:
        session = onnxruntime.InferenceSession(taken, options, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0]
        turned = _to_source(inputs, imported.nhwc_input).astype(_DTYPES[entry.type])
        made = [session.run(None, {entry.name: sample}) for sample in turned]
    except Exception as exc:
        way = "If its opset is too new, export it with an older one or install a newer onnxruntime"
        raise ModelError(f"ONNX Runtime does not run the model: {type(exc).__name__}: {exc}. {way}") from exc
    columns = zip(*made, strict=True)
    return tuple(_to_ours(np.stack(column), nhwc) for column, nhwc in zip(columns, imported.nhwc_outputs, strict=True))


def _to_source(samples: Array, nhwc: bool) -> Array:
    order = channels_last(samples.ndim - 1) if nhwc else plain(samples.ndim - 1)
    return np.ascontiguousarray(samples.transpose(0, *(1 + order.index(axis) for axis in range(len(order)))))


def _to_ours(outputs: Array, nhwc: bool) -> Array:
    order = channels_last(outputs.ndim - 1) if nhwc else plain(outputs.ndim - 1)
    turned = outputs.transpose(0, *(1 + axis for axis in order))
    return turned.astype(np.float32) if turned.dtype.kind == "f" else turned
