"""Operators that take a part of a tensor, or parts in another order."""

from __future__ import annotations

import numpy as np

from converters.axes import plain
from converters.targets.onnx.broadcast import aligned
from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.elementwise import cast
from converters.targets.onnx.values import Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


def sliced(call: Call, value: Value, parts: list[slice]) -> Value:
    """Python's slices, one for each .tflite axis; whole axes are left alone."""
    bounds = [part.indices(size) for part, size in zip(parts, value.shape, strict=True)]
    shape = tuple(len(range(*bound)) for bound in bounds)
    cut = [axis for axis, (bound, size) in enumerate(zip(bounds, value.shape, strict=True)) if bound != (0, size, 1)]
    if not cut:
        return value
    starts, steps = [bounds[axis][0] for axis in cut], [bounds[axis][2] for axis in cut]
    ends = [bounds[axis][1] if bounds[axis][1] >= 0 else -value.shape[axis] - 1 for axis in cut]  # before the first one
    lists: list[list[int]] = [starts, ends, [value.place(axis) for axis in cut], steps]
    inputs = [value.name, *(call.build.integers(numbers) for numbers in lists)]
    return call.build.emit("Slice", inputs, shape, value.axes, value.dtype)


def picked(call: Call, value: Value, axis: int, places: Array) -> Value:
    """The numbers at known ``places`` (n,) along an axis."""
    shape = (*value.shape[:axis], len(places), *value.shape[axis + 1 :])
    inputs = [value.name, call.build.constant(places.astype(np.int64))]
    return call.build.emit("Gather", inputs, shape, value.axes, value.dtype, axis=value.place(axis))


def _slice(call: Call) -> Value:
    begins, sizes = call.integers(1, "the beginning"), call.integers(2, "the size")
    parts = [slice(b, None if size < 0 else b + size) for b, size in zip(begins, sizes, strict=True)]
    return sliced(call, call.value(0), parts)


def _strided_slice(call: Call) -> Value:
    """NumPy's indexing by slices, numbers, an ellipsis and new axes; bit i of each mask is of the i-th entry."""
    value = call.value(0)
    begins, ends, steps = (
        call.integers(place, what) for place, what in ((1, "the beginning"), (2, "the end"), (3, "the steps"))
    )
    new, parts = int(call.option("newAxisMask")), list[slice]()
    for entry, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if _bit(call, "ellipsisMask", entry):
            later = sum(not new >> other & 1 for other in range(entry + 1, len(begins)))
            parts += [slice(None)] * (len(value.shape) - len(parts) - later)
        elif not new >> entry & 1:
            parts.append(_part(call, entry, begin, end, step))
    parts += [slice(None)] * (len(value.shape) - len(parts))
    return call.layout.reshaped(sliced(call, value, parts), call.shape)


def _part(call: Call, entry: int, begin: int, end: int, step: int) -> slice:
    if _bit(call, "shrinkAxisMask", entry):
        return slice(begin, None if begin == -1 else begin + 1)
    end = begin + end if call.option("offset", False) else end
    first, last = (None if _bit(call, mask, entry) else n for mask, n in (("beginMask", begin), ("endMask", end)))
    return slice(first, last, step)


def _bit(call: Call, mask: str, entry: int) -> bool:
    return bool(int(call.option(mask)) >> entry & 1)


def _split(call: Call) -> list[Value]:
    """SPLIT takes (axis, value), SPLIT_V (value, sizes, axis)."""
    axis, value = (0, 1) if call.operator == "SPLIT" else (2, 0)
    return _parted(call, call.value(value), call.integers(axis, "the axis")[0], call.shapes)


def _unpack(call: Call) -> list[Value]:
    value, axis = call.value(0), call.option("axis") % len(call.value(0).shape)
    shapes = ((*value.shape[:axis], 1, *value.shape[axis + 1 :]),) * len(call.shapes)
    return [call.layout.reshaped(part, call.shape) for part in _parted(call, value, axis, shapes)]


def _parted(call: Call, value: Value, axis: int, shapes: tuple[tuple[int, ...], ...]) -> list[Value]:
    if len(shapes) == 1:
        return [value]
    sizes = call.build.integers(shape[axis] for shape in shapes)
    names = call.build.node("Split", [value, sizes], len(shapes), axis=value.place(axis))
    return [Value(name, shape, value.axes, value.dtype) for name, shape in zip(names, shapes, strict=True)]


def _gather(call: Call) -> Value:
    value, indices = call.value(0), call.layout.plain(call.value(1))
    axis, rank, batch = call.option("axis") % len(value.shape), len(indices.shape), int(call.option("batchDims"))
    if batch:
        return _gather_in_batches(call, value, indices, axis, batch + rank * (batch < 0))
    if rank > 1:
        value = call.layout.plain(value)
        order = plain(len(call.shape))
    else:
        order = tuple(other - (other > axis and not rank) for other in value.axes if other != axis or rank)
    return call.build.emit("Gather", [value, indices], call.shape, order, value.dtype, axis=value.place(axis))


def _gather_in_batches(call: Call, value: Value, indices: Value, axis: int, batch: int) -> Value:
    """Of axes that both have, the entries of one go with those of the other; what is picked must be the axis behind these."""
    if axis != batch:
        raise ModelError(f"its axis {axis} is not the one behind its {batch} batch axes, which alone is allowed")
    value = call.layout.plain(value)
    last = call.layout.restored(indices, (*indices.shape, 1), plain(len(indices.shape) + 1))
    inputs = [value, cast(call, last, "int64")]
    return call.build.emit("GatherND", inputs, call.shape, plain(len(call.shape)), value.dtype, batch_dims=batch)


def _embedding_lookup(call: Call) -> Value:
    value, indices = call.layout.plain(call.value(1)), call.layout.plain(call.value(0))
    return call.build.emit("Gather", [value, indices], call.shape, plain(len(call.shape)), value.dtype, axis=0)


def _gather_nd(call: Call) -> Value:
    value, indices = call.layout.plain(call.value(0)), cast(call, call.layout.plain(call.value(1)), "int64")
    return call.build.emit("GatherND", [value, indices], call.shape, plain(len(call.shape)), value.dtype)


def _reverse(call: Call) -> Value:
    value = call.value(0)
    axes = {axis % len(value.shape) for axis in call.integers(1, "the axes")}
    return sliced(call, value, [slice(None, None, -1 if axis in axes else None) for axis in plain(len(value.shape))])


def _select(call: Call) -> Value:
    """SELECT's condition may be one number for each entry of the first axis."""
    condition, rank = call.value(0), len(call.shape)
    if call.operator == "SELECT" and len(condition.shape) == 1 < rank:
        condition = call.layout.reshaped(condition, (*condition.shape, *(1,) * (rank - 1)))
    inputs, shape, axes = aligned(call, [condition, call.operand(1), call.operand(2)])
    return call.build.emit("Where", inputs, shape, axes, call.dtype)


def _one_hot(call: Call) -> Value:
    """By comparing: TensorRT 8 has no OneHot."""
    indices, depth, rank = call.layout.plain(call.value(0)), call.integers(1, "the depth")[0], len(call.shape)
    axis = call.option("axis", -1) % rank
    places = np.arange(depth, dtype=indices.dtype).reshape((depth, *(1,) * (rank - 1 - axis)))
    wide = call.layout.reshaped(indices, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    same = call.build.emit("Equal", [wide.name, call.build.constant(places)], call.shape, plain(rank), "bool")
    on, off = (call.layout.value(call.operand(place)) for place in (2, 3))
    return call.build.emit("Where", [same, on, off], call.shape, plain(rank), call.dtype)


TRANSLATORS: dict[str, Translator] = {
    "SLICE": _slice, "STRIDED_SLICE": _strided_slice, "SPLIT": _split, "SPLIT_V": _split, "UNPACK": _unpack, "GATHER": _gather,
    "EMBEDDING_LOOKUP": _embedding_lookup, "GATHER_ND": _gather_nd, "REVERSE_V2": _reverse, "SELECT": _select, "SELECT_V2": _select,
    "ONE_HOT": _one_hot,
}  # fmt: skip
