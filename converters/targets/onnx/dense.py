"""Matrix products: fully connected, and batched."""

from __future__ import annotations

from converters.axes import plain
from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.values import NCHW, Constant, Value


def _fully_connected(call: Call) -> Value:
    """Gemm of two axes; a 1x1 convolution where the channels stand first; else MatMul. Weights are (outputs, inputs)."""
    value = call.value(0)
    outputs, depth = call.operand(1).shape
    kept = bool(call.option("keepNumDims", False)) and value.shape[-1] == depth
    if kept and value.axes == NCHW and call.given(2) is not None and isinstance(call.operand(1), Constant):
        return _pointwise(call, value)
    if kept and len(value.shape) > 2:
        return _product(call, call.layout.plain(value), (*value.shape[:-1], outputs))
    rows = value.size // depth
    flat = value if value.columns is not None else call.layout.plain(call.layout.reshaped(value, (rows, depth)))
    made = call.build.emit("Gemm", [flat, _weights(call, value), *_bias(call)], (rows, outputs), plain(2), transB=1)
    return call.layout.reshaped(made, call.shape)


def _weights(call: Call, value: Value) -> str:
    """(outputs, inputs), the inputs in the order in which they come."""
    operand = call.operand(1)
    if value.columns is None or not isinstance(operand, Constant):
        return call.weight(1, plain(2), 0)
    return call.weigh(Constant(operand.name, operand.values[:, value.columns]), plain(2), 0)


def _pointwise(call: Call, value: Value) -> Value:
    operand = call.operand(1)
    assert isinstance(operand, Constant)  # noqa: S101 - the caller knows
    weights = call.weigh(Constant(operand.name, operand.values[:, :, None, None]), plain(4), 0)
    return call.build.emit("Conv", [value, weights, *_bias(call)], (*value.shape[:-1], len(operand.values)), NCHW)


def _product(call: Call, value: Value, shape: tuple[int, ...]) -> Value:
    made = call.build.emit("MatMul", [value, call.weight(1, (1, 0), 1)], shape, plain(len(shape)))
    return call.build.like("Add", made, *bias) if (bias := _bias(call)) else made


def _bias(call: Call) -> list[str]:
    operand = call.given(2)
    return [] if operand is None else [call.layout.laid(operand, plain(len(operand.shape)))]


def _batch_matmul(call: Call) -> Value:
    left, right = (
        _turned(call.value(place), bool(call.option(field, False))) for place, field in ((0, "adjX"), (1, "adjY"))
    )
    inputs = [call.layout.plain(left), call.layout.plain(right)]
    return call.build.emit("MatMul", inputs, call.shape, plain(len(call.shape)))


def _turned(value: Value, turn: bool) -> Value:
    rank = len(value.shape)
    return value.transposed((*range(rank - 2), rank - 1, rank - 2)) if turn else value


TRANSLATORS: dict[str, Translator] = {"FULLY_CONNECTED": _fully_connected, "BATCH_MATMUL": _batch_matmul}
