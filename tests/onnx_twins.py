"""A .tflite and the ONNX model made of it, side by side on the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from converters.interpreter import open_interpreter
from converters.targets.onnx import Exported, export_onnx
from edge_sdk.tensors import Array


@dataclass(frozen=True)
class Twins:
    """What was exported, and the largest difference of each output relative to the largest number of the .tflite's."""

    exported: Exported
    differences: dict[str, float]

    @property
    def worst(self) -> float:
        return max(self.differences.values())

    def count(self, operator: str) -> int:
        return sum(node.op_type == operator for node in self.exported.model.graph.node)

    @property
    def operators(self) -> list[str]:
        return [node.op_type for node in self.exported.model.graph.node]


def twins(
    content: bytes, *, opset: int = 17, seed: int = 0, inputs: dict[str, Array] | None = None, nchw: bool = True
) -> Twins:
    """Export and run both; inputs that are not given are random."""
    exported = export_onnx(content, opset=opset, inputs_nchw=nchw)
    given = inputs or _random_inputs(content, seed)
    wanted, made = run_tflite(content, given), run_onnx(exported.model, given, nchw=nchw)
    differences = {name: difference(wanted[name], made[name]) for name in wanted}
    return Twins(exported, differences)


def difference(wanted: Array, made: Array) -> float:
    """The largest difference, relative to the largest number wanted; whole numbers are equal or not."""
    assert wanted.shape == made.shape and wanted.dtype == made.dtype, (
        wanted.shape,
        made.shape,
        wanted.dtype,
        made.dtype,
    )
    if wanted.dtype.kind != "f":
        return 0.0 if np.array_equal(wanted, made) else np.inf
    assert np.array_equal(np.isfinite(wanted), np.isfinite(made))
    finite = np.isfinite(wanted)
    if not finite.any():
        return 0.0
    return float(
        np.abs(wanted[finite].astype(np.float64) - made[finite]).max() / max(np.abs(wanted[finite]).max(), 1e-6)
    )


def _random_inputs(content: bytes, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    details = open_interpreter(content).get_input_details()
    return {d["name"]: rng.uniform(-1, 1, d["shape"]).astype(d["dtype"]) for d in details}


def run_tflite(content: bytes, inputs: dict[str, Array]) -> dict[str, Array]:
    interpreter = open_interpreter(content, optimised=False)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    interpreter.invoke()
    return {d["name"]: interpreter.get_tensor(d["index"]).copy() for d in interpreter.get_output_details()}


def run_onnx(model: onnx.ModelProto, inputs: dict[str, Array], *, nchw: bool = True) -> dict[str, Array]:
    """``inputs`` as the .tflite takes them; with ``nchw`` those of four axes are given as the exported model takes them."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {name: x.transpose(0, 3, 1, 2) if nchw and x.ndim == 4 else x for name, x in inputs.items()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))
