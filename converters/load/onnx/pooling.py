"""Pools, over windows and over the whole image."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from converters.graph import schema
from converters.load.onnx.broadcast import multiply
from converters.load.onnx.call import Call, Translator
from converters.load.onnx.reducing import reduced
from converters.load.onnx.values import Operand, Value
from converters.load.onnx.windows import Windows, as_before, image, pad_zero, read_windows
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

_NHWC = (0, 2, 3, 1)
_LOWEST = float(np.finfo(np.float32).min)


def _windows(call: Call) -> tuple[Value, Windows]:
    value = call.value(0)
    kernel = call.node.integers("kernel_shape") or ()
    windows = read_windows(call, value.shape[2:], kernel, call.shape[2:]).lifted()
    if any(d != 1 for d in windows.dilations):
        raise ModelError(
            f"its dilations {windows.dilations} are not 1, which TensorFlow Lite's pools have not. Export without"
        )
    return image(call, value), windows


def _pooled(call: Call, name: str, value: Value, windows: Windows, padding: str) -> Value:
    options = {
        "padding": getattr(schema().Padding, padding),
        "strideH": windows.strides[0],
        "strideW": windows.strides[1],
        "filterHeight": windows.kernel[0],
        "filterWidth": windows.kernel[1],
    }
    return call.build.emit(name, [value], (*value.shape[:2], *windows.counts), _NHWC, **options)


def _max_pool(call: Call) -> list[Operand | None]:
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        raise ModelError("its second output, the places of the maxima, is not translated. Export without it")
    value, windows = _windows(call)
    padding = windows.tflite_padding()
    if padding is None:
        value, padding = _pad_for_max(call, value, windows), "VALID"
    made = _pooled(call, "MAX_POOL_2D", value, windows, padding)
    least = call.graph.least.get(call.value(0).tensor)
    if least is not None:
        call.bounded(made, least)
    return [as_before(call, made, call.shape)]


def _pad_for_max(call: Call, value: Value, windows: Windows) -> Value:
    """Padding that no maximum shows: zeros where nothing is below 0, else the image mirrored at its border."""
    pads = windows.needed
    if call.graph.least.get(call.value(0).tensor, -math.inf) >= 0:
        return pad_zero(call, value, pads)
    around = [(max(begin, 0), max(end, 0)) for begin, end in pads]
    shape = (*value.shape[:2], *(size + sum(pad) for size, pad in zip(value.shape[2:], around, strict=True)))
    paddings = call.build.constant(np.array([(0, 0), *around, (0, 0)], np.int32), "paddings")
    seen = all(
        2 * max(pad) <= kernel and max(pad) <= size
        for pad, kernel, size in zip(around, windows.kernel, windows.sizes, strict=True)
    )
    if seen:  # a mirrored number stands in every window that reaches its mirror image
        kind = schema().MirrorPadMode.SYMMETRIC
        return call.build.emit("MIRROR_PAD", [value, paddings], shape, value.axes, mode=kind)
    lowest = call.build.constant(np.array([_LOWEST], np.float32), "lowest")
    return call.build.emit("PADV2", [value, paddings, lowest], shape, value.axes)


def _average_pool(call: Call) -> Value:
    value, windows = _windows(call)
    counted = bool(call.node.integer("count_include_pad"))
    padding = windows.tflite_padding()
    if padding == "VALID" or (padding == "SAME" and not counted):
        return as_before(call, _pooled(call, "AVERAGE_POOL_2D", value, windows, padding), call.shape)
    made = _pooled(call, "AVERAGE_POOL_2D", pad_zero(call, value, windows.needed), windows, "VALID")
    share = math.prod(windows.kernel) / _counts(windows, counted)
    if np.any(share != 1):
        made = multiply(call.graph, made, share[None, None].astype(np.float32))
    return as_before(call, made, call.shape)


def _counts(windows: Windows, counted: bool) -> Array:
    """Over how many numbers ONNX averages in each window: all, without padding, or without what lies behind the padding."""
    lines = []
    for size, (begin, end), kernel, stride, count in zip(
        windows.sizes, windows.pads, windows.kernel, windows.strides, windows.counts, strict=True
    ):
        low, high = (-begin, size + end) if counted else (0, size)
        starts = np.arange(count) * stride - begin
        lines.append(np.minimum(starts + kernel, high) - np.maximum(starts, low))
    return np.outer(np.maximum(lines[0], 1), np.maximum(lines[1], 1))


def _over_all(name: str, call: Call) -> Value:
    value = call.value(0)
    return reduced(call, name, value, tuple(range(2, len(value.shape))), keep=True)


TRANSLATORS: dict[str, Translator] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": partial(_over_all, "MEAN"),
    "GlobalMaxPool": partial(_over_all, "REDUCE_MAX"),
}
