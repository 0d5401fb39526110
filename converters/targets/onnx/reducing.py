"""Reductions along axes."""

from __future__ import annotations

from functools import partial

from converters.axes import plain
from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.elementwise import cast
from converters.targets.onnx.values import NCHW, Value

_AXES_ARE_AN_INPUT = {"ReduceSum": 13}  # since which opset; of the others since 18
_LEAST_NORM = 1e-6


def reduced(call: Call, operator: str, value: Value, axes: tuple[int, ...], keep: bool) -> Value:
    """The value reduced along .tflite axes by a Reduce operator."""
    rank, keeps = len(value.shape), int(keep)
    axes = tuple(sorted({axis % rank for axis in axes}))
    if not axes:
        return value
    places = sorted(value.place(axis) for axis in axes)
    if call.build.opset >= _AXES_ARE_AN_INPUT.get(operator, 18):
        made = call.build.node(operator, [value, call.build.integers(places)], keepdims=keeps)
    else:
        made = call.build.node(operator, [value], axes=places, keepdims=keeps)
    if keep:
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        return Value(made[0], shape, value.axes, value.dtype)
    kept = tuple(axis for axis in plain(rank) if axis not in axes)
    left = tuple(kept.index(axis) for axis in value.axes if axis in kept)
    return Value(made[0], tuple(value.shape[axis] for axis in kept), left, value.dtype)


def _reduce(operator: str, call: Call) -> Value:
    value, keep = call.value(0), bool(call.option("keepDims", False))
    axes = tuple(axis % len(value.shape) for axis in call.integers(1, "the axes"))
    if operator == "ReduceMean" and value.axes == NCHW and sorted(axes) == [1, 2]:
        made = call.build.emit("GlobalAveragePool", [value], (value.shape[0], 1, 1, value.shape[3]), NCHW)
        return call.layout.reshaped(made, call.shape)
    return reduced(call, operator, value, axes, keep)


def _logical(operator: str, call: Call) -> Value:
    """Any and all, of whole numbers."""
    numbers = cast(call, call.value(0), "int32")
    made = reduced(call, operator, numbers, call.integers(1, "the axes"), bool(call.option("keepDims", False)))
    return cast(call, made, "bool")


def _arg(operator: str, call: Call) -> Value:
    """Of equal numbers the first; ONNX gives int64."""
    value = call.value(0)
    axis = call.integers(1, "the axis")[0] % len(value.shape)
    left = tuple(other - (other > axis) for other in value.axes if other != axis)
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    made = call.build.emit(operator, [value], shape, left, "int64", axis=value.place(axis), keepdims=0)
    return cast(call, made, call.dtype)


def _top_k(call: Call) -> list[Value]:
    value, count = call.value(0), call.integers(1, "the number of places")[0]
    inputs = [value.name, call.build.integers([count])]
    numbers, places = call.build.node("TopK", inputs, 2, axis=value.place(-1), largest=1, sorted=1)
    found = Value(places, call.shape, value.axes, "int64")
    return [Value(numbers, call.shape, value.axes, value.dtype), cast(call, found, call.dtypes[1])]


def _cumsum(call: Call) -> Value:
    value = call.value(0)
    place = value.place(call.integers(1, "the axis")[0])
    exclusive, reverse = int(call.option("exclusive", False)), int(call.option("reverse", False))
    return call.build.like("CumSum", value, call.build.integers(place), exclusive=exclusive, reverse=reverse)


def _l2_normalization(call: Call) -> Value:
    """x / max(sqrt(sum of x x), 1e-6) along the last axis (tensorflow/lite/kernels/internal/reference/l2normalization.h)."""
    build, value = call.build, call.value(0)
    norm = reduced(call, "ReduceL2", value, (-1,), True)
    norm = build.like("Max", norm, build.number(_LEAST_NORM))
    return build.like("Div", value, norm)


def _local_response(call: Call) -> Value:
    """x / (bias + alpha times the sum of x x over 2 radius + 1 channels) ** beta; ONNX divides alpha by their number."""
    value, size = call.layout.arranged(call.value(0), NCHW), 2 * int(call.option("radius")) + 1
    alpha, beta, bias = (float(call.option(name)) for name in ("alpha", "beta", "bias"))
    return call.build.like("LRN", value, size=size, alpha=alpha * size, beta=beta, bias=bias)


TRANSLATORS: dict[str, Translator] = {
    "MEAN": partial(_reduce, "ReduceMean"), "SUM": partial(_reduce, "ReduceSum"), "REDUCE_MAX": partial(_reduce, "ReduceMax"),
    "REDUCE_MIN": partial(_reduce, "ReduceMin"), "REDUCE_PROD": partial(_reduce, "ReduceProd"),
    "REDUCE_ANY": partial(_logical, "ReduceMax"), "REDUCE_ALL": partial(_logical, "ReduceMin"),
    "ARG_MAX": partial(_arg, "ArgMax"), "ARG_MIN": partial(_arg, "ArgMin"), "TOPK_V2": _top_k, "CUMSUM": _cumsum,
    "LOCAL_RESPONSE_NORMALIZATION": _local_response, "L2_NORMALIZATION": _l2_normalization,
}  # fmt: skip
