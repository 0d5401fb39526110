"""Resizing: TensorFlow Lite's coordinates in the words of ONNX.

tensorflow/lite/kernels/internal/reference/resize_bilinear.h and resize_nearest_neighbor.h; ONNX, Resize,
coordinate_transformation_mode and nearest_mode.
"""

from __future__ import annotations

import numpy as np

from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.selecting import picked
from converters.targets.onnx.values import NCHW, Value
from edge_sdk.tensors import Array


def _coordinates(call: Call) -> str:
    if call.option("alignCorners", False):
        return "align_corners"
    return "half_pixel" if call.option("halfPixelCenters", False) else "asymmetric"


def _bilinear(call: Call) -> Value:
    return _resized(call, mode="linear", coordinate_transformation_mode=_coordinates(call))


def _nearest(call: Call) -> Value:
    """By Resize where every way to compute it picks the same rows and columns, else by picking those that TensorFlow Lite does."""
    value, coordinates = call.value(0), _coordinates(call)
    tables = {axis: _tflite(value.shape[axis], call.shape[axis], coordinates) for axis in (1, 2)}
    rounding = "floor" if coordinates == "asymmetric" else "round_prefer_ceil"
    same = (
        np.array_equal(table, _onnx(value.shape[axis], call.shape[axis], coordinates, dtype))
        for axis, table in tables.items()
        for dtype in ("float32", "float64")
    )
    if all(same):
        return _resized(call, mode="nearest", coordinate_transformation_mode=coordinates, nearest_mode=rounding)
    for axis, table in tables.items():
        value = picked(call, value, axis, table)
    return value


def _tflite(before: int, after: int, coordinates: str) -> Array:
    """Which place each one of the result comes from, computed as there, in float32."""
    x = np.arange(after, dtype=np.float32)
    corners = coordinates == "align_corners"
    factor = (before - 1) / (after - 1) if corners and after > 1 else before / after
    scaled = (x + np.float32(0.5 if coordinates == "half_pixel" else 0)) * np.float32(factor)
    rounded: Array = np.floor(scaled + np.float32(0.5)) if corners else np.floor(scaled)
    return np.clip(rounded, 0, before - 1).astype(np.int64)


def _onnx(before: int, after: int, coordinates: str, dtype: str) -> Array:
    """The same as ONNX has it, with the rounding that is asked for above."""
    number = np.dtype(dtype).type
    x, scale, half = np.arange(after).astype(dtype), number(after / before), number(0.5)
    if coordinates == "asymmetric":
        rounded: Array = np.floor(x / scale)
    elif coordinates == "half_pixel":
        rounded = np.floor((x + half) / scale - half + half)
    else:
        rounded = np.floor(x * number(before - 1) / number(max(after - 1, 1)) + half)
    return np.clip(rounded, 0, before - 1).astype(np.int64)


def _resized(call: Call, **attributes: str) -> Value:
    value = call.layout.arranged(call.value(0), NCHW)
    sizes = call.build.integers(call.shape[axis] for axis in NCHW)
    return call.build.emit("Resize", [value, "", "", sizes], call.shape, NCHW, value.dtype, **attributes)


TRANSLATORS: dict[str, Translator] = {"RESIZE_BILINEAR": _bilinear, "RESIZE_NEAREST_NEIGHBOR": _nearest}
