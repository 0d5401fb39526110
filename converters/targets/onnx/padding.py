"""Padding: with a number, or mirrored; and blocks of space moved into the batch, which pads too."""

from __future__ import annotations

import numpy as np

from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.selecting import picked, sliced
from converters.targets.onnx.values import Constant, Value

Around = tuple[tuple[int, int], ...]


def padded(call: Call, value: Value, around: Around, fill: str, mode: str = "constant") -> Value:
    """The value with so much put before and behind each .tflite axis."""
    shape = tuple(before + size + after for size, (before, after) in zip(value.shape, around, strict=True))
    pads = call.build.integers([around[axis][end] for end in (0, 1) for axis in value.axes])
    inputs = [value.name, pads, *([fill] if fill else [])]
    return call.build.emit("Pad", inputs, shape, value.axes, value.dtype, mode=mode)


def _around(call: Call, place: int = 1) -> Around:
    return tuple((int(before), int(after)) for before, after in call.constant(place, "the padding").reshape(-1, 2))


def _pad(call: Call) -> Value:
    """A convolution pads with zeros itself: for it the value before is remembered."""
    value, around = call.value(0), _around(call)
    filled = call.given(2)
    zero = filled is None or (isinstance(filled, Constant) and not filled.values.any())
    fill = (
        call.build.number(0, value.dtype)
        if filled is None
        else call.layout.laid(filled, tuple(range(len(filled.shape))))
    )
    made = padded(call, value, around, fill)
    if zero:
        call.graph.padded[made.name] = (value, around)
    return made


def _mirror_pad(call: Call) -> Value:
    """REFLECT (0) is ONNX's own; SYMMETRIC (1) repeats the border, which ONNX does not have: rows and columns are picked."""
    value, around = call.value(0), _around(call)
    if call.option("mode") == 0:
        return padded(call, value, around, "", "reflect")
    for axis, ends in enumerate(around):
        if any(ends):
            value = picked(call, value, axis, np.pad(np.arange(value.shape[axis]), ends, mode="symmetric"))
    return value


def _space_to_batch(call: Call) -> Value:
    """Every block's places become the outermost part of the batch."""
    blocks, around = call.integers(1, "the block"), _around(call, 2)
    value, count = call.value(0), len(blocks)
    rest = len(value.shape) - count - 1
    if any(any(ends) for ends in around):
        value = padded(call, value, ((0, 0), *around, *((0, 0),) * rest), call.build.number(0, value.dtype))
    batch, spatial, inner = value.shape[0], value.shape[1 : count + 1], value.shape[count + 1 :]
    split = [part for size, block in zip(spatial, blocks, strict=True) for part in (size // block, block)]
    value = call.layout.reshaped(value, (batch, *split, *inner))
    places, outer = range(2, 2 * count + 1, 2), range(1, 2 * count, 2)
    value = value.transposed((*places, 0, *outer, *range(2 * count + 1, len(value.shape))))
    return call.layout.reshaped(value, call.shape)


def _batch_to_space(call: Call) -> Value:
    blocks, cut = call.integers(1, "the block"), _around(call, 2)
    value, count = call.value(0), len(blocks)
    spatial, inner = value.shape[1 : count + 1], value.shape[count + 1 :]
    batch = value.shape[0] // int(np.prod(blocks))
    value = call.layout.reshaped(value, (*blocks, batch, *spatial, *inner))
    mixed = [axis for entry in range(count) for axis in (count + 1 + entry, entry)]
    value = value.transposed((count, *mixed, *range(2 * count + 1, len(value.shape))))
    wide = tuple(size * block for size, block in zip(spatial, blocks, strict=True))
    value = call.layout.reshaped(value, (batch, *wide, *inner))
    parts = [slice(before, size - after) for size, (before, after) in zip(wide, cut, strict=True)]
    return sliced(call, value, [slice(None), *parts, *[slice(None)] * len(inner)])


TRANSLATORS: dict[str, Translator] = {
    "PAD": _pad, "PADV2": _pad, "MIRROR_PAD": _mirror_pad, "SPACE_TO_BATCH_ND": _space_to_batch, "BATCH_TO_SPACE_ND": _batch_to_space,
}  # fmt: skip
