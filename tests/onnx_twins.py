"""A .tflite and the ONNX model made of it, side by side on the same numbers, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime

from converters.graph import main_graph, read_graph, write_graph
from converters.interpreter import open_interpreter
from converters.targets.onnx import Exported, export_onnx
from converters.versions import set_versions
from edge_sdk.tensors import Array
from tests.tiny_models import TinyModel

OPSETS = (13, 17, 18, 19, 21)

Inputs = dict[str, Array]


@dataclass(frozen=True)
class Twins:
    """What was exported, and the largest difference of each output relative to the largest number of the .tflite's."""

    exported: Exported
    differences: dict[str, float]

    @property
    def worst(self) -> float:
        return max(self.differences.values())

    @property
    def operators(self) -> list[str]:
        return [node.op_type for node in self.exported.model.graph.node]


def twins(
    content: bytes, *, opset: int = 17, inputs: Inputs | None = None, nchw: bool = True, optimised: bool = False
) -> Twins:
    """Export and run both; inputs that are not given are random, LiteRT's kernels those of reference if not ``optimised``."""
    exported = export_onnx(content, opset=opset, inputs_nchw=nchw)
    given = inputs or random_inputs(content)
    wanted, made = run_tflite(content, given, optimised=optimised), run_onnx(exported.model, given, nchw=nchw)
    return Twins(exported, {name: difference(wanted[name], made[name]) for name in wanted})


def layers(content: bytes, *, opset: int = 17, nchw: bool = True) -> dict[str, float]:
    """The difference of every tensor that is said to have a twin."""
    exported = export_onnx(content, opset=opset, inputs_nchw=nchw)
    given = random_inputs(content)
    wanted = run_tflite(content, given, all_tensors=True)
    model = onnx.shape_inference.infer_shapes(exported.model)
    kept = {output.name for output in model.graph.output} | {entry.name for entry in model.graph.input}
    model.graph.output.extend(info for info in model.graph.value_info if info.name not in kept)
    made = run_onnx(model, given, nchw=nchw) | {
        entry.name: _laid(given[entry.name], nchw) for entry in model.graph.input
    }
    turned = {
        name: wanted[name].transpose(exported.axes.get(name, range(wanted[name].ndim))) for name in exported.tensors
    }
    return {name: difference(turned[name], made[twin]) for name, twin in exported.tensors.items()}


def difference(wanted: Array, made: Array) -> float:
    """The largest difference, relative to the largest number wanted; whole numbers are equal or not."""
    assert (wanted.shape, wanted.dtype) == (made.shape, made.dtype)
    if wanted.dtype.kind != "f":
        return 0.0 if np.array_equal(wanted, made) else np.inf
    assert np.array_equal(np.isfinite(wanted), np.isfinite(made))
    finite = np.isfinite(wanted)
    apart = np.abs(wanted[finite].astype(np.float64) - made[finite])
    return float(apart.max(initial=0) / max(np.abs(wanted[finite]).max(initial=0), 1e-6))


def random_inputs(content: bytes) -> Inputs:
    rng = np.random.default_rng(0)
    details = open_interpreter(content).get_input_details()
    return {d["name"]: _random(rng, tuple(d["shape"]), np.dtype(d["dtype"])) for d in details}


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return rng.uniform(-1, 1, shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)


def run_tflite(content: bytes, inputs: Inputs, *, all_tensors: bool = False, optimised: bool = False) -> Inputs:
    interpreter = open_interpreter(content, optimised=optimised, keep=all_tensors)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    interpreter.invoke()
    details = interpreter.get_tensor_details() if all_tensors else interpreter.get_output_details()
    return {d["name"]: interpreter.get_tensor(d["index"]).copy() for d in details if 0 not in d["shape"]}


def run_onnx(model: onnx.ModelProto, inputs: Inputs, *, nchw: bool = True) -> Inputs:
    """``inputs`` as the .tflite takes them; with ``nchw`` those of four axes are given as the exported model takes them."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: _laid(x, nchw) for name, x in inputs.items()}), strict=True))


def _laid(values: Array, nchw: bool) -> Array:
    return values.transpose(0, 3, 1, 2) if nchw and values.ndim == 4 else values


def one_operator(
    name: str,
    inputs: Sequence[tuple[int, ...] | Array],
    options: Any = None,
    *,
    outputs: int = 1,
    dtype: str = "FLOAT32",
    out: str | Sequence[str] = "",
    shape: tuple[int, ...] = (1,),
) -> bytes:
    """A graph of one operator: of ``inputs``, shapes are inputs of type ``dtype``, arrays constants; ``shape`` is the outputs'."""
    net = TinyModel()
    places, entries = [], []
    for number, entry in enumerate(inputs):
        if isinstance(entry, tuple):
            entries.append(net.tensor(f"x{number}", entry, dtype=dtype))
            places.append(entries[-1])
        else:
            places.append(-1 if entry is None else net.constant(f"c{number}", entry))
    types = [out or dtype] * outputs if isinstance(out, str) else out
    made = [net.tensor(f"y{number}", shape, dtype=types[number]) for number in range(outputs)]
    net.operator(name, places, made, options)
    return with_shapes(net.build(entries, made))


def with_shapes(content: bytes) -> bytes:
    """The shapes of all tensors as the interpreter finds them, and the versions of the operators."""
    model = read_graph(content)
    set_versions(model)
    interpreter = open_interpreter(write_graph(model), optimised=False)
    for tensor, detail in zip(main_graph(model).tensors, interpreter.get_tensor_details(), strict=False):
        tensor.shape = np.asarray(detail["shape"], np.int32)
    return write_graph(model)
