"""Reductions over axes, and the places of the largest."""

from __future__ import annotations

from functools import partial

from converters.graph import schema
from converters.load.onnx.broadcast import add, last, multiply, subtract, unary
from converters.load.onnx.build import Inputs
from converters.load.onnx.call import Call, Translator, checked_axis
from converters.load.onnx.values import Operand, Value
from edge_sdk.errors import ModelError


def reduced(call: Call, name: str, value: Value, axes: tuple[int, ...], *, keep: bool) -> Value:
    """Reduce ``axes`` of ``value`` (ONNX's) with the .tflite operator ``name``."""
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(value.shape))
    places = call.build.integers(sorted(value.place(axis) for axis in axes))
    made = call.build.emit(name, [value, places], shape, value.axes, value.dtype, keepDims=True)
    if keep:
        return made
    return call.layout.reshaped(made, tuple(n for axis, n in enumerate(shape) if axis not in axes))


def _axes(call: Call, rank: int) -> tuple[int, ...]:
    axes = call.integers("axes", 1)
    if not axes:
        return () if call.node.integer("noop_with_empty_axes") else tuple(range(rank))
    return tuple(dict.fromkeys(checked_axis(axis, rank) for axis in axes))


def _reduce(name: str, call: Call, value: Value | None = None) -> Value:
    value = value or call.value(0)
    axes = _axes(call, len(value.shape))
    if not axes:
        return value
    return reduced(call, name, value, axes, keep=bool(call.node.integer("keepdims", 1)))


def _sum_of(inner: str, call: Call) -> Value:
    value = call.value(0)
    terms = {
        "SQUARE": lambda: multiply(call.graph, value, value),
        "ABS": lambda: unary(call.graph, "ABS", value),
        "EXP": lambda: unary(call.graph, "EXP", value),
    }
    return _reduce("SUM", call, terms[inner]())


def _l2(call: Call) -> Value:
    return unary(call.graph, "SQRT", _sum_of("SQUARE", call))


def _log_sum(call: Call) -> Value:
    return unary(call.graph, "LOG", _reduce("SUM", call))


def _log_sum_exp(call: Call) -> Value:
    """log(sum(e^(x - max))) + max, which does not overflow."""
    value = call.value(0)
    axes = _axes(call, len(value.shape))
    top = reduced(call, "REDUCE_MAX", value, axes, keep=True)
    inner = unary(call.graph, "EXP", subtract(call.graph, value, top))
    total = reduced(call, "SUM", inner, axes, keep=True)
    made = unary(call.graph, "LOG", total)
    return call.layout.reshaped(add(call.graph, made, top), call.shape)


def _arg(name: str, call: Call) -> Value:
    if call.node.integer("select_last_index"):
        raise ModelError("select_last_index is not 0, which TensorFlow Lite has not. Export without it")
    value, axis = call.value(0), call.axis()
    place, rank = value.place(axis), len(value.shape)
    shape = tuple(n for other, n in enumerate(value.shape) if other != axis)
    axes = tuple(other - (other > axis) for other in value.axes if other != axis)
    made = call.build.emit(
        name, [value, call.build.integers(place)], shape, axes, "int64", outputType=schema().TensorType.INT64
    )
    return made if len(call.shape) < rank else call.layout.reshaped(made, call.shape)


def _top_k(call: Call) -> list[Operand | None]:
    """The k largest along an axis; the smallest are the largest of the negated."""
    value, axis, graph = call.value(0), call.axis(-1), call.graph
    largest = bool(call.node.integer("largest", 1))
    value = last(graph, value if largest else multiply(graph, value, -1.0), axis)
    stored = tuple(call.shape[other] for other in value.axes)
    best = call.build.tensor(f"{call.build.scope}/top", stored, value.dtype)
    places = call.build.tensor(f"{call.build.scope}/places", stored, "int32")
    call.build.operator("TOPK_V2", [value, call.build.integers(call.shape[axis])], [best, places])
    found = Value(best, call.shape, value.axes, value.dtype)
    where = call.build.emit("CAST", [places], call.shape, value.axes, "int64")
    return [found if largest else multiply(graph, found, -1.0), where]


def _cumsum(call: Call) -> Value:
    value = call.value(0)
    axis = checked_axis(int(call.constant(1, "the axis").array().reshape(-1)[0]), len(value.shape))
    options = {"exclusive": bool(call.node.integer("exclusive")), "reverse": bool(call.node.integer("reverse"))}
    inputs: Inputs = [value, call.build.integers(value.place(axis))]
    return call.build.emit("CUMSUM", inputs, value.shape, value.axes, value.dtype, **options)


TRANSLATORS: dict[str, Translator] = {
    "ReduceMean": partial(_reduce, "MEAN"), "ReduceSum": partial(_reduce, "SUM"), "ReduceMax": partial(_reduce, "REDUCE_MAX"),
    "ReduceMin": partial(_reduce, "REDUCE_MIN"), "ReduceProd": partial(_reduce, "REDUCE_PROD"), "ReduceL2": _l2,
    "ReduceL1": partial(_sum_of, "ABS"), "ReduceSumSquare": partial(_sum_of, "SQUARE"), "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp, "ArgMax": partial(_arg, "ARG_MAX"), "ArgMin": partial(_arg, "ARG_MIN"), "TopK": _top_k,
    "CumSum": _cumsum,
}  # fmt: skip
