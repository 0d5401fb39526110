"""Operators that move numbers or look at them in another shape."""

from __future__ import annotations

from functools import partial

from converters.axes import plain
from converters.targets.onnx.broadcast import in_one_order
from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.values import NCHW, Constant, Operand, Value


def _reshape(call: Call) -> Operand:
    operand = call.operand(0)
    if isinstance(operand, Constant):
        return Constant(operand.name, operand.values.reshape(call.shape))
    if call.only_weighed and len(call.shape) == 2 and operand.stored_otherwise:
        flat = call.layout.flattened_as_it_lies(operand, (call.shape[0], call.shape[1]))
        if flat is not None:
            return flat
    return call.layout.reshaped(operand, call.shape)


def _transpose(call: Call) -> Operand:
    operand, order = call.operand(0), call.integers(1, "the order of the axes")
    if isinstance(operand, Constant):
        return Constant(operand.name, operand.values.transpose(order))
    return operand.transposed(tuple(axis % len(order) for axis in order))


def _tile(call: Call) -> Value:
    value, counts = call.value(0), call.integers(1, "how often it is repeated")
    return call.build.emit(
        "Tile", [value, call.build.integers(counts[axis] for axis in value.axes)], call.shape, value.axes, value.dtype
    )


def _broadcast_to(call: Call) -> Value:
    value, rank = call.value(0), len(call.shape)
    value = call.layout.reshaped(value, (*(1,) * (rank - len(value.shape)), *value.shape))
    wanted = call.build.integers(call.shape[axis] for axis in value.axes)
    return call.build.emit("Expand", [value, wanted], call.shape, value.axes, value.dtype)


def _blocks(operator: str, call: Call, **attributes: str) -> Value:
    value = call.layout.arranged(call.value(0), NCHW)
    size = int(call.option("blockSize"))
    return call.build.emit(operator, [value], call.shape, NCHW, value.dtype, blocksize=size, **attributes)


def _concatenation(call: Call) -> Value:
    values = in_one_order(call, [call.value(place) for place in range(len(call.inputs))])
    axes = values[0].axes
    place = values[0].place(call.option("axis"))
    return call.build.emit("Concat", values, call.shape, axes, call.dtype, axis=place)


def _pack(call: Call) -> Value:
    values = in_one_order(call, [call.value(place) for place in range(len(call.inputs))])
    axis = call.option("axis") % len(call.shape)
    wide = (*call.shape[:axis], 1, *call.shape[axis + 1 :])
    inputs = [call.layout.plain(call.layout.reshaped(value, wide)) for value in values]
    return call.build.emit("Concat", inputs, call.shape, plain(len(call.shape)), call.dtype, axis=axis)


TRANSLATORS: dict[str, Translator] = {
    "RESHAPE": _reshape, "SQUEEZE": _reshape, "EXPAND_DIMS": _reshape, "TRANSPOSE": _transpose, "TILE": _tile,
    "BROADCAST_TO": _broadcast_to, "DEPTH_TO_SPACE": partial(_blocks, "DepthToSpace", mode="DCR"),
    "SPACE_TO_DEPTH": partial(_blocks, "SpaceToDepth"), "CONCATENATION": _concatenation, "PACK": _pack,
}  # fmt: skip
