"""Activations, and the patterns in which exporters write those that ONNX lacked."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from converters.load.onnx.broadcast import add, combine, last, multiply, unary
from converters.load.onnx.call import Call, Graph, Translator, floats
from converters.load.onnx.elementwise import TRANSLATORS as ELEMENTWISE
from converters.load.onnx.values import Constant, Value
from edge_sdk.tensors import Array

_SELU = (1.67326319217681884765625, 1.05070102214813232421875)  # defaults of ONNX's operator


def _relu(call: Call) -> Value:
    return _clipped(call, call.value(0), 0.0, math.inf)


def _clip(call: Call) -> Value:
    value = call.value(0)
    if value.dtype != "float32":
        bounds = [call.given(place) for place in (1, 2)]
        for name, bound in zip(("MAXIMUM", "MINIMUM"), bounds, strict=True):
            if isinstance(bound, Constant):
                value = combine(call.graph, name, [value, bound.array()], value.dtype)
        return value
    return _clipped(call, value, call.number(1, "min", -math.inf), call.number(2, "max", math.inf))


def _clipped(call: Call, value: Value, low: float, high: float) -> Value:
    """Between two bounds, by TensorFlow Lite's own activations where they have these."""
    largest = float(np.finfo(np.float32).max)  # older exporters write these bounds for "none"
    name = {(0.0, math.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}.get(
        (low, math.inf if high >= largest else high)
    )
    if name is not None:
        return call.bounded(unary(call.graph, name, value), low)
    if low == 0:
        value = unary(call.graph, "RELU", value)
    elif low > -largest:
        value = combine(call.graph, "MAXIMUM", [value, floats([low])])
    if high < largest:
        value = combine(call.graph, "MINIMUM", [value, floats([high])])
    return call.bounded(value, min(low, high))


def _leaky_relu(call: Call) -> Value:
    return unary(call.graph, "LEAKY_RELU", call.value(0), alpha=call.node.number("alpha", 0.01))


def _prelu(call: Call) -> Value:
    value, slope = call.value(0), call.constant(1, "the slope").array()
    wide = slope.reshape((1,) * (len(value.shape) - slope.ndim) + slope.shape)
    if wide.size == 1:
        return unary(call.graph, "LEAKY_RELU", value, alpha=float(wide.reshape(-1)[0]))
    laid = np.ascontiguousarray(wide.transpose(value.axes)[0])  # PRELU takes one slope for all of the batch
    return call.build.emit("PRELU", [value, call.build.constant(laid, "slope")], value.shape, value.axes)


def _elu(call: Call) -> Value:
    value, alpha = call.value(0), call.node.number("alpha", 1.0)
    if alpha == 1:
        return unary(call.graph, "ELU", value)
    return _scaled_elu(call.graph, value, alpha, 1.0)


def _selu(call: Call) -> Value:
    alpha, gamma = call.node.number("alpha", _SELU[0]), call.node.number("gamma", _SELU[1])
    return _scaled_elu(call.graph, call.value(0), alpha, gamma)


def _celu(call: Call) -> Value:
    alpha = call.node.number("alpha", 1.0)
    return multiply(call.graph, unary(call.graph, "ELU", multiply(call.graph, call.value(0), 1 / alpha)), alpha)


def _scaled_elu(graph: Graph, value: Value, alpha: float, gamma: float) -> Value:
    """gamma * (max(x, 0) + alpha * min(elu(x), 0))."""
    below = combine(graph, "MINIMUM", [unary(graph, "ELU", value), floats([0])])
    return multiply(graph, add(graph, unary(graph, "RELU", value), multiply(graph, below, alpha)), gamma)


def _sigmoid(call: Call) -> Value:
    return call.bounded(unary(call.graph, "LOGISTIC", call.value(0)), 0.0)


def _tanh(call: Call) -> Value:
    return unary(call.graph, "TANH", call.value(0))


def _hard_sigmoid(call: Call) -> Value:
    """max(0, min(1, alpha * x + beta)), by way of RELU6; what is linear before it takes up the factor and the shift."""
    value, alpha, beta = call.value(0), call.node.number("alpha", 0.2), call.node.number("beta", 0.5)
    linear = call.linear(0)
    made = linear.with_affine(np.full((), 6 * alpha), np.full((), 6 * beta), value) if linear else None
    if made is None:
        scaled = value if math.isclose(6 * alpha, 1, rel_tol=1e-6) else multiply(call.graph, value, 6 * alpha)
        made = add(call.graph, scaled, 6 * beta)
    return call.bounded(multiply(call.graph, unary(call.graph, "RELU6", made), 1 / 6), 0.0)


def _hard_swish(call: Call) -> Value:
    return unary(call.graph, "HARD_SWISH", call.value(0))


def _swish(call: Call) -> Value:
    value, alpha = call.value(0), call.node.number("alpha", 1.0)
    inner = value if alpha == 1 else multiply(call.graph, value, alpha)
    return multiply(call.graph, value, unary(call.graph, "LOGISTIC", inner))


def softplus(graph: Graph, value: Value) -> Value:
    """log(1 + e^x) as max(x, 0) + log(1 + e^-|x|), which does not overflow."""
    decay = unary(graph, "EXP", multiply(graph, unary(graph, "ABS", value), -1.0))
    return add(graph, unary(graph, "RELU", value), unary(graph, "LOG", add(graph, decay, 1.0)))


def _mish(call: Call) -> Value:
    value = call.value(0)
    return multiply(call.graph, value, unary(call.graph, "TANH", softplus(call.graph, value)))


def _softsign(call: Call) -> Value:
    value = call.value(0)
    return combine(call.graph, "DIV", [value, add(call.graph, unary(call.graph, "ABS", value), 1.0)])


def _gelu(call: Call) -> Value:
    return unary(call.graph, "GELU", call.value(0), approximate=call.node.text("approximate", "none") == "tanh")


def _softmax(name: str, call: Call) -> Value:
    """Along one axis; before opset 13 over all axes from the given one on, as a matrix."""
    value, old = call.value(0), call.node.version < 13
    axis = call.axis(1 if old else -1)
    options = {"beta": 1.0} if name == "SOFTMAX" else {}
    if not old or value.shape[axis] == math.prod(value.shape[axis:]):
        return unary(call.graph, name, last(call.graph, value, axis), **options)
    matrix = (math.prod(value.shape[:axis]), math.prod(value.shape[axis:]))
    flat = last(call.graph, call.layout.reshaped(value, matrix), 1)
    return call.layout.reshaped(unary(call.graph, name, flat, **options), value.shape)


def _mul(call: Call) -> Value:
    """Mul; the end of a written-out GELU or hard swish becomes that operator."""
    return _written_out(call) or ELEMENTWISE["Mul"](call)  # type: ignore[return-value] # a value, as it was


def _div(call: Call) -> Value:
    return _written_out(call) or ELEMENTWISE["Div"](call)  # type: ignore[return-value]


def _written_out(call: Call) -> Value | None:
    factors = _factors(call)
    if factors is None:
        return None
    scale, parts = factors
    for place, part in enumerate(parts):
        rest = [other for other in range(len(parts)) if other != place]
        if len(rest) != 1 or part[1] is None:
            continue
        found = _of(call, part, parts[rest[0]][0], scale)
        if found is not None:
            return found
    return None


Factor = tuple[Value, Call | None]


def _factors(call: Call) -> tuple[float, list[Factor]] | None:
    """The product that ends here as one number and what is multiplied, through Mul and Div by numbers."""
    scale, parts = 1.0, []
    for place in (0, 1):
        operand, maker = call.given(place), call.source(place)
        if isinstance(operand, Constant):
            if operand.size != 1:
                return None
            number = float(operand.array().reshape(-1)[0])
            if (call.node.operator == "Div" and place == 0) or number == 0:
                return None
            scale *= 1 / number if call.node.operator == "Div" else number
        elif isinstance(operand, Value):
            if call.node.operator == "Div" and place == 1:
                return None
            inner = _factors(maker) if maker and maker.node.operator in ("Mul", "Div") and call.alone(place) else None
            scale, more = (scale * inner[0], inner[1]) if inner else (scale, [(operand, maker)])
            parts += more
    return scale, parts


def _of(call: Call, part: Factor, value: Value, scale: float) -> Value | None:
    """x * (1 + erf(x / sqrt 2)) / 2 as GELU; x * min(max(x + 3, 0), 6) / 6 and x * hard_sigmoid(x) as HARD_SWISH."""
    maker = part[1]
    if maker is None:
        return None
    if maker.node.operator == "HardSigmoid" and scale == 1 and _is_sixth(maker) and _same(maker.value(0), value):
        return unary(call.graph, "HARD_SWISH", value)
    if maker.node.operator == "Clip" and math.isclose(scale, 1 / 6, rel_tol=1e-5):
        bounds = (maker.number(1, "min", -math.inf), maker.number(2, "max", math.inf))
        shifted = _plus(maker.source(0), 3.0)
        return (
            unary(call.graph, "HARD_SWISH", value)
            if bounds == (0.0, 6.0) and shifted and _same(shifted[0], value)
            else None
        )
    if maker.node.operator == "Add" and math.isclose(scale, 0.5, rel_tol=1e-5):
        one = _plus(maker, 1.0)
        return unary(call.graph, "GELU", value) if one and _is_erf_of(one[1], value) else None
    return None


def _plus(call: Call | None, number: float) -> Factor | None:
    """What ``number`` is added to, and the node that made it."""
    if call is None or call.node.operator != "Add":
        return None
    for place in (0, 1):
        other, operand = call.given(1 - place), call.given(place)
        if isinstance(other, Constant) and isinstance(operand, Value) and _is(other.array(), number):
            return operand, call.source(place)
    return None


def _is_erf_of(call: Call | None, value: Value) -> bool:
    if call is None or call.node.operator != "Erf":
        return False
    inner = call.source(0)
    factors = _factors(inner) if inner and inner.node.operator in ("Mul", "Div") else None
    if factors is None or len(factors[1]) != 1:
        return False
    return math.isclose(factors[0], math.sqrt(0.5), rel_tol=1e-4) and _same(factors[1][0][0], value)


def _is_sixth(call: Call) -> bool:
    return math.isclose(call.node.number("alpha", 0.2), 1 / 6, rel_tol=1e-5) and call.node.number("beta", 0.5) == 0.5


def _is(numbers: Array, number: float) -> bool:
    return numbers.size == 1 and math.isclose(float(numbers.reshape(-1)[0]), number, rel_tol=1e-6)


def _same(left: Value, right: Value) -> bool:
    return left.tensor == right.tensor and left.axes == right.axes


TRANSLATORS: dict[str, Translator] = {
    "Relu": _relu, "Clip": _clip, "LeakyRelu": _leaky_relu, "PRelu": _prelu, "Elu": _elu, "Selu": _selu, "Celu": _celu,
    "Sigmoid": _sigmoid, "Tanh": _tanh, "HardSigmoid": _hard_sigmoid, "HardSwish": _hard_swish, "Swish": _swish, "Mish": _mish,
    "Softplus": lambda call: softplus(call.graph, call.value(0)), "Softsign": _softsign, "Gelu": _gelu,
    "Softmax": partial(_softmax, "SOFTMAX"), "LogSoftmax": partial(_softmax, "LOG_SOFTMAX"), "Mul": _mul, "Div": _div,
}  # fmt: skip
