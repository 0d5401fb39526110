"""Operators that change a tensor's shape or the order of its axes."""

from __future__ import annotations

import numpy as np

from converters.load.onnx.broadcast import last
from converters.load.onnx.build import Inputs
from converters.load.onnx.call import Call, Translator
from converters.load.onnx.demand import wanted_axes
from converters.load.onnx.layout import matching_blocks, needs_transpose, together
from converters.load.onnx.node import Node
from converters.load.onnx.normalisation import written_out_group_norm
from converters.load.onnx.values import Operand, Value
from edge_sdk.errors import ModelError

_PASSED = ("Identity", "Dropout")  # between a flattening and the weights that take it


def _reshape(call: Call) -> list[Operand | None]:
    """Reshape, Flatten, Squeeze, Unsqueeze: the shape is known by now."""
    if (grouped := written_out_group_norm(call)) is not None:
        return [grouped]
    value = call.value(0)
    if len(call.shape) == 2 and _would_transpose(value, call.shape) and _weights_follow(call):
        flat = call.layout.flattened_as_it_lies(value, (call.shape[0], call.shape[1]))
        if flat is not None:
            return [flat]
    wanted = wanted_axes(call.graph.readers, call.node.outputs[0], len(call.shape))
    return [call.layout.reshaped(value, call.shape, wanted)]


def _would_transpose(value: Value, shape: tuple[int, ...]) -> bool:
    return needs_transpose(value, together(value, matching_blocks(value.shape, shape)))


def _weights_follow(call: Call) -> bool:
    """Whether only constant weights read the result, which can be put into its order."""
    waiting, constants = [call.node.outputs[0]], call.graph.constants
    while waiting:
        name = waiting.pop()
        for node in call.graph.readers.get(name, ()):
            if node is None or node.inputs[:1] != (name,) or node.inputs.count(name) != 1:
                return False
            if node.operator in _PASSED:
                waiting.append(node.outputs[0])
            elif not _is_weighted(node, constants):
                return False
    return True


def _is_weighted(node: Node, constants: set[str]) -> bool:
    if node.operator not in ("Gemm", "MatMul") or node.integer("transA"):
        return False
    return len(node.inputs) > 1 and node.inputs[1] in constants


def _transpose(call: Call) -> Value:
    value = call.value(0)
    order = call.node.integers("perm") or tuple(range(len(value.shape)))[::-1]
    if sorted(order) != list(range(len(value.shape))):
        raise ModelError(f"its perm {order} is no order of {len(value.shape)} axes; export the model again")
    return value.transposed(order)


def _expand(call: Call) -> Value:
    value, rank = call.value(0), len(call.shape)
    wide = call.layout.reshaped(value, (1,) * (rank - len(value.shape)) + value.shape)
    return _tiled(call, wide, tuple(n // m for n, m in zip(call.shape, wide.shape, strict=True)))


def _tile(call: Call) -> Value:
    repeats = tuple(int(n) for n in call.constant(1, "the number of repeats").array().reshape(-1))
    return _tiled(call, call.value(0), repeats)


def _tiled(call: Call, value: Value, repeats: tuple[int, ...]) -> Value:
    if all(n == 1 for n in repeats):
        return value
    inputs: Inputs = [value, call.build.integers([repeats[axis] for axis in value.axes])]
    return call.build.emit("TILE", inputs, call.shape, value.axes, value.dtype)


def _depth_to_space(call: Call) -> Value:
    """TensorFlow Lite has ONNX's order DCR; for CRD the channels are reordered first, in the weights where these are at hand."""
    value, block = call.value(0), call.node.integer("blocksize", 1)
    if call.node.text("mode", "DCR") == "CRD":
        deep = value.shape[1] // block**2
        order = np.arange(value.shape[1]).reshape(deep, block**2).T.reshape(-1)
        linear = call.linear(0)
        if linear is not None and value.axes[-1] == 1:
            value = linear.with_kernel(linear.kernel.ordered(order), value)
        else:
            value = last(call.graph, value, 1)
            indices = call.build.constant(order.astype(np.int32), "channels")
            value = call.build.emit(
                "GATHER", [value, indices], value.shape, value.axes, value.dtype, axis=value.place(1)
            )
    value = call.layout.arranged(value, (0, 2, 3, 1))
    return call.build.emit("DEPTH_TO_SPACE", [value], call.shape, (0, 2, 3, 1), value.dtype, blockSize=block)


def _space_to_depth(call: Call) -> Value:
    value = call.layout.arranged(call.value(0), (0, 2, 3, 1))
    block = call.node.integer("blocksize", 1)
    return call.build.emit("SPACE_TO_DEPTH", [value], call.shape, (0, 2, 3, 1), value.dtype, blockSize=block)


TRANSLATORS: dict[str, Translator] = {
    "Reshape": _reshape, "Flatten": _reshape, "Squeeze": _reshape, "Unsqueeze": _reshape, "Transpose": _transpose,
    "Expand": _expand, "Tile": _tile, "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth,
}  # fmt: skip
