"""Pad, in all its modes."""

from __future__ import annotations

import numpy as np

from converters.graph import schema
from converters.load.onnx.call import Call, Translator, checked_axis
from converters.load.onnx.values import Constant, Value
from edge_sdk.errors import ModelError

Pads = list[tuple[int, int]]
_LARGEST = 1 << 16


def read_pads(call: Call) -> Pads:
    """Before and behind, for each axis in ONNX's order; below 0 it is cut off."""
    shape = call.value(0).shape
    flat = call.integers("pads", 1) or call.node.integers("paddings")
    given = call.integers("axes", 3)
    axes = [checked_axis(axis, len(shape)) for axis in given] if given is not None else list(range(len(shape)))
    if flat is None or len(flat) != 2 * len(axes) or any(abs(n) > _LARGEST for n in flat):
        raise ModelError(f"its pads {flat} do not fit an input {shape}; export the model again")
    pads = [(0, 0)] * len(shape)
    for place, axis in enumerate(axes):
        pads[axis] = (flat[place], flat[place + len(axes)])
    return pads


def zero_padding(call: Call) -> Pads | None:
    """The pads of a Pad with constant zeros, else None."""
    known = call.given(1) is None or isinstance(call.given(1), Constant)
    if (
        (call.node.text("mode", "constant") or "constant") != "constant"
        or not known
        or call.number(2, "value", 0.0) != 0
    ):
        return None
    return read_pads(call)


def _pad(call: Call) -> Value:
    value, pads, mode = call.value(0), read_pads(call), call.node.text("mode", "constant") or "constant"
    value = _cut(call, value, pads)
    pads = [(max(begin, 0), max(end, 0)) for begin, end in pads]
    if not any(n for pair in pads for n in pair):
        return value
    laid = call.build.constant(np.array([pads[axis] for axis in value.axes], np.int32), "paddings")
    if mode == "constant":
        filling = call.number(2, "value", 0.0)
        if filling == 0:
            return call.build.emit("PAD", [value, laid], call.shape, value.axes, value.dtype)
        constant = call.build.constant(np.array([filling], value.dtype), "filling")
        return call.build.emit("PADV2", [value, laid, constant], call.shape, value.axes, value.dtype)
    if mode not in ("reflect", "edge", "wrap"):
        raise ModelError(f"its mode {mode!r} is not one of constant, reflect, edge, wrap")
    most = max(n for pair in pads for n in pair)
    inside = all(max(pair) < n for pair, n in zip(pads, value.shape, strict=True))
    if (mode == "reflect" and inside) or (mode == "edge" and most == 1):
        kind = schema().MirrorPadMode.REFLECT if mode == "reflect" else schema().MirrorPadMode.SYMMETRIC
        return call.build.emit("MIRROR_PAD", [value, laid], call.shape, value.axes, value.dtype, mode=kind)
    return _gathered(call, value, pads, mode)


def _gathered(call: Call, value: Value, pads: Pads, mode: str) -> Value:
    """Each padded axis picked anew: where TensorFlow Lite has no padding of the kind."""
    for axis, pair in enumerate(pads):
        if any(pair):
            places = np.pad(np.arange(value.shape[axis]), pair, mode=mode)  # type: ignore[call-overload] # one of three names
            shape = (*value.shape[:axis], len(places), *value.shape[axis + 1 :])
            indices = call.build.constant(places.astype(np.int32), "places")
            value = call.build.emit("GATHER", [value, indices], shape, value.axes, value.dtype, axis=value.place(axis))
    return value


def _cut(call: Call, value: Value, pads: Pads) -> Value:
    if all(n >= 0 for pair in pads for n in pair):
        return value
    begins = [max(-begin, 0) for begin, _ in pads]
    shape = tuple(n + min(begin, 0) + min(end, 0) for n, (begin, end) in zip(value.shape, pads, strict=True))
    laid = [call.build.integers([numbers[axis] for axis in value.axes]) for numbers in (begins, shape)]
    return call.build.emit("SLICE", [value, *laid], shape, value.axes, value.dtype)


TRANSLATORS: dict[str, Translator] = {"Pad": _pad}
