"""Running an ONNX graph exactly as it is written: the arithmetic that TensorRT's explicit quantization promises.

ONNX Runtime would put integer kernels in the place of QuantizeLinear and DequantizeLinear, and on some processors these saturate in 16
bits. Without, every DequantizeLinear computes in float32, which int32 sums of int8 products equal to the last bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, helper

from converters.interpreter import THREADS
from edge_sdk.engines import Engine
from edge_sdk.errors import EngineError, ModelError, needs
from edge_sdk.onnx.runtime import refuse_telemetry
from edge_sdk.tensors import Array, TensorSpec


class Runner:
    """An ONNX model ready to run.

    Args:
        model: it.
        also: tensors to give beside its outputs.

    Attributes:
        fed: names of its inputs.
        inputs, outputs: its tensors; images have their channels first.

    Raises:
        ModelError: if ONNX Runtime refuses it.
    """

    def __init__(self, model: ModelProto, also: Sequence[str] = ()) -> None:
        refuse_telemetry()
        with needs("onnxruntime", for_="running an ONNX model", extra="onnx"):
            import onnxruntime
        shown = ModelProto()
        shown.CopyFrom(model)
        known = {output.name for output in shown.graph.output}
        shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in also if name not in known)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # its errors have no common base
            raise ModelError(f"ONNX Runtime refuses the model: {exc}") from exc
        self.fed = tuple(each.name for each in self._session.get_inputs())
        self.inputs = tuple(_spec(each, "nchw") for each in self._session.get_inputs()[:1])
        self.outputs = tuple(_spec(each, "nhwc") for each in self._session.get_outputs())

    def run(self, tensor: Array) -> dict[str, Array]:
        """Every output by name, of a model of one input."""
        return self.run_named({self.fed[0]: tensor})

    def run_named(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Every output by name, of all inputs by name."""
        names = [output.name for output in self.outputs]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))


class ExactEngine(Engine):
    """The same as an engine."""

    def __init__(self, model: ModelProto) -> None:
        self._runner = Runner(model)
        self.inputs, self.outputs = self._runner.inputs, self._runner.outputs
        self.input_arrays = tuple(np.zeros(spec.shape, spec.dtype) for spec in self.inputs)
        self.description = "onnxruntime, as written"

    def run(self) -> tuple[Array, ...]:
        """See ``Engine``."""
        try:
            return tuple(self._runner.run(self.input_arrays[0]).values())
        except Exception as exc:  # as above
            raise EngineError(f"ONNX Runtime failed: {exc}") from exc


def extremes(model: ModelProto, tensors: Sequence[str], inputs: Iterable[Array]) -> dict[str, tuple[float, float]]:
    """The smallest and largest value of some tensors over the inputs, by name."""
    runner, found = Runner(model, tensors), dict[str, tuple[float, float]]()
    for tensor in inputs:
        values = runner.run(tensor)
        for name in tensors:
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    return found


def _spec(described: Any, layout: Any) -> TensorSpec:
    shape = tuple(described.shape)
    dtype = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64"}.get(described.type)
    return TensorSpec(described.name, shape, dtype or described.type, layout=layout if len(shape) == 4 else "nhwc")
