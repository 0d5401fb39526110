"""Resize: by TensorFlow Lite's operator where one computes the same, else by picking rows and columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converters.load.onnx.call import Call, Translator, checked_axis
from converters.load.onnx.values import Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


@dataclass(frozen=True)
class _Scaling:
    """One axis: its size before and after, and ONNX's factor between them."""

    before: int
    after: int
    factor: float

    def positions(self, mode: str) -> Array:
        """Where in the input each place of the output lies (ONNX, Resize, coordinate_transformation_mode)."""
        x = np.arange(self.after, dtype=np.float64)
        if mode == "asymmetric":
            return x / self.factor
        if mode == "align_corners":
            return x * (self.before - 1) / (self.after - 1) if self.after > 1 else np.zeros(1)
        if mode == "pytorch_half_pixel" and self.after == 1:
            return np.zeros(1)
        if mode in ("half_pixel", "pytorch_half_pixel"):
            return (x + 0.5) / self.factor - 0.5
        if mode == "half_pixel_symmetric":
            adjustment = self.after / (self.factor * self.before)
            return self.before / 2 * (1 - adjustment) + (x + 0.5) / self.factor - 0.5
        if mode == "tf_half_pixel_for_nn":
            return (x + 0.5) / self.factor
        raise ModelError(
            f"its coordinate_transformation_mode {mode!r} is not translated; asymmetric, align_corners, half_pixel, "
            "pytorch_half_pixel, half_pixel_symmetric are"
        )


_ROUNDED: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}


def _resize(call: Call) -> Value:
    node, value = call.node, call.value(0)
    scalings = _scalings(call, value)
    changed = [axis for axis, one in enumerate(scalings) if one.before != one.after or one.factor != 1]
    mode = node.text("mode", "nearest")
    coordinates = node.text("coordinate_transformation_mode", "half_pixel" if node.version > 10 else "asymmetric")
    if mode == "nearest":
        rounding = node.text("nearest_mode", "round_prefer_floor") if node.version > 10 else "floor"
        return _nearest(call, value, scalings, changed, coordinates, rounding)
    if mode != "linear" or node.integer("antialias") or coordinates == "tf_crop_and_resize":
        raise ModelError(
            f"mode {mode!r}{' with antialias' if node.integer('antialias') else ''} with {coordinates!r} is not translated; "
            "nearest and linear without antialias are. Export the model with one of these"
        )
    if not changed:
        return value
    return _linear(call, value, scalings, changed, coordinates)


def _scalings(call: Call, value: Value) -> list[_Scaling]:
    rank = len(value.shape)
    place = 2 if call.node.operator == "Resize" and call.node.version > 10 else 1
    axes = call.node.integers("axes")
    places = [checked_axis(axis, rank) for axis in axes] if axes else list(range(rank))
    factors = dict.fromkeys(range(rank), 1.0)
    scales = call.given(place)
    if scales is not None and scales.size:
        given = call.constant(place, "the scales").array().reshape(-1).tolist()
        factors |= dict(zip(places, given, strict=False))
    else:
        factors |= {axis: call.shape[axis] / value.shape[axis] for axis in places}
    if any(not math.isfinite(factor) or factor <= 0 for factor in factors.values()):
        raise ModelError("its scales are not all above 0; export the model again")
    return [_Scaling(value.shape[axis], call.shape[axis], factors[axis]) for axis in range(rank)]


def _nearest(
    call: Call, value: Value, scalings: list[_Scaling], changed: list[int], coordinates: str, rounding: str
) -> Value:
    if rounding not in _ROUNDED:
        raise ModelError(f"its nearest_mode {rounding!r} is not one of {', '.join(_ROUNDED)}")
    tables = {}
    for axis in changed:
        positions = _ROUNDED[rounding](scalings[axis].positions(coordinates))
        tables[axis] = np.clip(positions, 0, scalings[axis].before - 1).astype(np.int32)
    changed = [axis for axis in changed if not np.array_equal(tables[axis], np.arange(scalings[axis].before))]
    if not changed:
        return value
    for corners, centres in ((False, False), (True, False), (False, True)):
        fits = (np.array_equal(tables[axis], _tflite_nearest(scalings[axis], corners, centres)) for axis in changed)
        if len(changed) <= 2 and len(value.shape) <= 4 and all(fits):
            return _by_operator(call, value, changed, "RESIZE_NEAREST_NEIGHBOR", corners, centres)
    for axis in changed:
        shape = (*value.shape[:axis], scalings[axis].after, *value.shape[axis + 1 :])
        picked = call.build.constant(tables[axis], "places")
        value = call.build.emit("GATHER", [value, picked], shape, value.axes, value.dtype, axis=value.place(axis))
    return value


def _tflite_nearest(scaling: _Scaling, corners: bool, centres: bool) -> Array:
    """tensorflow/lite/kernels/internal/reference/resize_nearest_neighbor.h, which computes in float32."""
    x = np.arange(scaling.after, dtype=np.float32)
    spread = corners and scaling.after > 1
    factor = (
        np.float32((scaling.before - 1) / (scaling.after - 1)) if spread else np.float32(scaling.before / scaling.after)
    )
    scaled = (x + np.float32(0.5 if centres else 0)) * factor
    rounded: Array = np.floor(scaled + np.float32(0.5)) if corners else np.floor(scaled)
    return np.asarray(np.clip(rounded, 0, scaling.before - 1), np.int32)


def _linear(call: Call, value: Value, scalings: list[_Scaling], changed: list[int], coordinates: str) -> Value:
    wanted = [np.clip(scalings[axis].positions(coordinates), 0, scalings[axis].before - 1) for axis in changed]
    for corners, centres in ((False, False), (True, False), (False, True)):
        ours = (_tflite_linear(scalings[axis], corners, centres) for axis in changed)
        if all(np.allclose(a, b, atol=1e-5 * max(a.max(), 1)) for a, b in zip(wanted, ours, strict=True)):
            if len(changed) <= 2 and len(value.shape) <= 4:
                return _by_operator(call, value, changed, "RESIZE_BILINEAR", corners, centres)
            raise ModelError(
                f"it interpolates along {len(changed)} of {len(value.shape)} axes; two of four are allowed"
            )
    raise ModelError(
        f"linear with {coordinates!r} from {[scalings[axis].before for axis in changed]} to {[scalings[axis].after for axis in changed]} "
        "is not what TensorFlow Lite computes. Export it with half_pixel or align_corners and sizes in place of scales"
    )


def _tflite_linear(scaling: _Scaling, corners: bool, centres: bool) -> Array:
    """tensorflow/lite/kernels/internal/reference/resize_bilinear.h."""
    x = np.arange(scaling.after, dtype=np.float64)
    spread = corners and scaling.after > 1
    factor = (scaling.before - 1) / (scaling.after - 1) if spread else scaling.before / scaling.after
    positions = (x + 0.5) * factor - 0.5 if centres else x * factor
    return np.clip(positions, 0, scaling.before - 1)


def _by_operator(call: Call, value: Value, changed: list[int], name: str, corners: bool, centres: bool) -> Value:
    """TensorFlow Lite resizes places 1 and 2 of four: the changed axes are brought there."""
    shape = value.shape
    if len(shape) < 4:
        missing = 4 - len(shape)
        value = call.layout.reshaped(value, (*shape[:1], *(1,) * missing, *shape[1:]))
        changed = [axis + missing if axis else axis for axis in changed]
    rest = [axis for axis in range(4) if axis not in changed]
    if len(changed) == 1:
        changed = (
            sorted([*changed, next(axis for axis in reversed(rest) if axis not in (0, 1))])
            if max(rest) > 1
            else [*changed, rest[-1]]
        )
        rest = [axis for axis in range(4) if axis not in changed]
    value = call.layout.arranged(value, (rest[0], *changed, rest[1]))
    full = (*call.shape[:1], *(1,) * (4 - len(shape)), *call.shape[1:])
    size = call.build.integers([full[axis] for axis in changed])
    made = call.build.emit(
        name, [value, size], full, value.axes, value.dtype, alignCorners=corners, halfPixelCenters=centres
    )
    return call.layout.reshaped(made, call.shape)


TRANSLATORS: dict[str, Translator] = {"Resize": _resize, "Upsample": _resize}
