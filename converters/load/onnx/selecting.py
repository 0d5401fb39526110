"""Joining tensors, cutting them, and picking from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.load.onnx.broadcast import in_order
from converters.load.onnx.build import Inputs
from converters.load.onnx.call import Call, Translator, checked_axis
from converters.load.onnx.layout import needs_transpose
from converters.load.onnx.values import Constant, Operand, Value
from edge_sdk.errors import ModelError

_TFLITE_LEAST = -(1 << 31)


def _concat(call: Call) -> Value:
    rank = len(call.shape)
    axis = checked_axis(call.node.integer("axis"), rank)
    values = [entry for entry in call.inputs if isinstance(entry, Value)]

    def cost(axes: tuple[int, ...]) -> int:
        return sum(value.size for value in values if needs_transpose(value, axes))

    axes = min((value.axes for value in sorted(values, key=lambda value: -value.size)), key=cost)
    parts: list[Value | int] = []
    for entry in call.inputs:
        if isinstance(entry, Value):
            parts.append(call.layout.arranged(entry, axes))
        elif isinstance(entry, Constant):
            parts.append(call.build.constant(np.ascontiguousarray(entry.array().transpose(axes)), "part"))
    if len(parts) == 1:
        return values[0]
    return call.build.emit("CONCATENATION", parts, call.shape, axes, call.dtype, axis=axes.index(axis))


def _split(call: Call) -> list[Operand | None]:
    value, axis = call.value(0), call.axis()
    sizes = [shape[axis] for shape in call.shapes]
    if sum(sizes) != value.shape[axis]:
        raise ModelError(f"its pieces {sizes} do not add up to {value.shape[axis]}; export the model again")
    return list(split(call, value, axis, sizes))


def split(call: Call, value: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Pieces along ONNX's ``axis``; sizes that all are the same need no list of them."""
    build, place = call.build, value.place(axis)
    if len(sizes) == 1:
        return [value]
    shapes = [(*value.shape[:axis], size, *value.shape[axis + 1 :]) for size in sizes]
    pieces = [pending(call, f"piece_{i}", shape, value.axes, value.dtype) for i, shape in enumerate(shapes)]
    outputs = [piece.tensor for piece in pieces]
    if len(set(sizes)) == 1:
        build.operator("SPLIT", [build.integers(place), value], outputs, numSplits=len(sizes))
    else:
        inputs: Inputs = [value, build.integers(sizes), build.integers(place)]
        build.operator("SPLIT_V", inputs, outputs, numSplits=len(sizes))
    return pieces


def unpacked(call: Call, value: Value, axis: int) -> list[Value]:
    """The value cut along ONNX's ``axis`` into pieces without it."""
    shape = tuple(n for other, n in enumerate(value.shape) if other != axis)
    axes = tuple(other - (other > axis) for other in value.axes if other != axis)
    pieces = [pending(call, f"step_{i}", shape, axes, value.dtype) for i in range(value.shape[axis])]
    outputs = [piece.tensor for piece in pieces]
    call.build.operator("UNPACK", [value], outputs, num=len(pieces), axis=value.place(axis))
    return pieces


def pending(call: Call, what: str, shape: tuple[int, ...], axes: tuple[int, ...], dtype: str) -> Value:
    """A new tensor, for an operator of several outputs."""
    stored = tuple(shape[axis] for axis in axes)
    return Value(call.build.tensor(f"{call.build.scope}/{what}_{call.build.count}", stored, dtype), shape, axes, dtype)


def _slice(call: Call) -> Value:
    value = call.value(0)
    rank = len(value.shape)
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise ModelError("its starts or ends are missing; export the model again")
    axes = call.integers("axes", 3) or tuple(range(len(starts)))
    steps = call.integers("steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError(
            f"starts {starts}, ends {ends}, axes {axes} and steps {steps} do not fit; export the model again"
        )
    cuts = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cuts[checked_axis(axis, rank)] = slice(start, end if end > _TFLITE_LEAST or step > 0 else None, step)
    ranges = [range(n)[cut] for n, cut in zip(value.shape, cuts, strict=True)]
    return cut(call, value, ranges)


def cut(call: Call, value: Value, ranges: list[range]) -> Value:
    """The places of each of ONNX's axes that ``ranges`` tells."""
    shape = tuple(len(places) for places in ranges)
    lying = [ranges[axis] for axis in value.axes]
    build = call.build
    if shape == value.shape and all(places.step > 0 for places in lying):
        return value
    begins = build.integers([places.start for places in lying])
    if all(places.step == 1 for places in lying):
        sizes = build.integers([len(places) for places in lying])
        return build.emit("SLICE", [value, begins, sizes], shape, value.axes, value.dtype)
    ends = build.integers([places.stop for places in lying])
    open_ended = sum(1 << place for place, places in enumerate(lying) if places.stop < 0)
    inputs: Inputs = [value, begins, ends, build.integers([places.step for places in lying])]
    return build.emit("STRIDED_SLICE", inputs, shape, value.axes, value.dtype, endMask=open_ended)


def _gather(call: Call) -> Value:
    """Picks along an axis, which the axes of the indices replace."""
    value, axis = call.value(0), call.axis()
    indices, count = call.given(1), value.shape[axis]
    if isinstance(indices, Constant):
        numbers = indices.array()
        if numbers.size and (numbers.min() < -count or numbers.max() >= count):
            raise ModelError(f"its indices reach beyond the {count} there are; export the model again")
        numbers = (numbers % count).astype(np.int32)
        if numbers.size and np.array_equal(
            numbers.reshape(-1), np.arange(numbers.flat[0], numbers.flat[0] + numbers.size)
        ):
            run = [range(n) for n in value.shape]
            run[axis] = range(int(numbers.flat[0]), int(numbers.flat[0]) + numbers.size)
            return call.layout.reshaped(cut(call, value, run), call.shape)
        picked: Value | int = call.build.constant(numbers, "indices")
        inner = numbers.ndim
    else:
        picked = in_order(call.graph, call.value(1))
        inner = len(picked.shape)
    axes: list[int] = []
    for other in value.axes:
        if other == axis:
            axes += range(axis, axis + inner)
        else:
            axes.append(other if other < axis else other + inner - 1)
    return call.build.emit("GATHER", [value, picked], call.shape, tuple(axes), value.dtype, axis=value.place(axis))


TRANSLATORS: dict[str, Translator] = {"Concat": _concat, "Split": _split, "Slice": _slice, "Gather": _gather}
