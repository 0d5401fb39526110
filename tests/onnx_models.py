"""ONNX models for the engine's tests: tiny ones, the one that never ends, and a real one of MobileNetV2's form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, BOOL, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
node = helper.make_node


def made(
    nodes: list[Any],
    shape: Any = (1, 3, 8, 8),
    out: Any = None,
    *,
    dtype: int = FLOAT,
    out_dtype: int | None = None,
    domains: tuple[str, ...] = (),
    functions: tuple[Any, ...] = (),
    constants: tuple[Any, ...] = (),
) -> onnx.ModelProto:
    """A model of one input ``x`` and one output ``y``."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype if out_dtype is None else out_dtype, shape if out is None else out)],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def doubling(shape: Any = (1, 3, 8, 8), dtype: int = FLOAT) -> bytes:
    """y = x + x"""
    return bytes(made([node("Add", ["x", "x"], ["y"])], shape, dtype=dtype).SerializeToString())


def convolution(*, half: bool = False, quantized: bool = False, external: bool = False) -> onnx.ModelProto:
    """One convolution with weights, which may be of float16, behind a pair of quantization, or in another file."""
    weights = np.random.default_rng(0).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float16 if half else np.float32)
    constants, nodes, entry = [numpy_helper.from_array(weights, "w")], [], "x"
    if quantized:
        constants += [numpy_helper.from_array(np.float32(0.02), "s"), numpy_helper.from_array(np.int8(0), "z")]
        nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"])]
        entry = "d"
    if external:
        constants[0].ClearField("raw_data")
        constants[0].data_location = TensorProto.EXTERNAL
        location = constants[0].external_data.add()
        location.key, location.value = "location", "../../../../etc/passwd"
    nodes.append(node("Conv", [entry, "w"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    kind = TensorProto.FLOAT16 if half else FLOAT
    return made(nodes, (1, 3, 8, 8), (1, 4, 8, 8), dtype=kind, constants=tuple(constants))


def endless() -> bytes:
    """A loop whose condition stays true, without a largest number of rounds: a real native hang on any machine."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", ["on"], ["still"]), node("Add", ["v", "v"], ["w"])],
        "round",
        [info("round", INT64, ()), info("on", BOOL, ()), info("v", FLOAT, (1,))],
        [info("still", BOOL, ()), info("w", FLOAT, (1,))],
    )
    constants = (numpy_helper.from_array(np.array(True), "true"),)
    model = made([node("Loop", ["", "true", "x"], ["y"], body=body)], (1,), constants=constants)
    return bytes(model.SerializeToString())
