"""Arithmetic, comparisons and logic, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce

import numpy as np

from converters.load.onnx.broadcast import Term, add, combine, divide, multiply, subtract, unary
from converters.load.onnx.call import Call, Graph, Translator
from converters.load.onnx.values import Operand, Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: the error is below 1.5e-7
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_P = 0.3275911


def terms_of(call: Call) -> list[Term]:
    """The inputs, constants as numbers."""
    return [
        call.value(place) if isinstance(entry, Value) else _numbers(entry) for place, entry in enumerate(call.inputs)
    ]


def _numbers(operand: Operand | None) -> Array:
    if operand is None or isinstance(operand, Value):
        raise ModelError("an input is missing; export the model again")
    return operand.array()


def _arithmetic(name: str, call: Call) -> Value:
    if call.dtype != "float32":
        return combine(call.graph, name, terms_of(call), call.dtype)
    return _absorbed(name, call) or _plain_arithmetic(name, call)


def _plain_arithmetic(name: str, call: Call) -> Value:
    left, right = terms_of(call)
    if name == "DIV" and isinstance(left, Value) and not isinstance(right, Value) and np.all(right != 0):
        return combine(call.graph, "MUL", [left, (1 / right.astype(np.float64)).astype(np.float32)])  # type: ignore[union-attr]
    root = call.source(1)
    if name == "DIV" and root is not None and root.node.operator == "Sqrt" and call.alone(1):
        return combine(call.graph, "MUL", [left, unary(call.graph, "RSQRT", root.value(0))])
    return combine(call.graph, name, [left, right])


def _absorbed(name: str, call: Call) -> Value | None:
    """A constant taken up by the linear operator before it."""
    for place in (0, 1):
        linear, other = call.linear(place), call.inputs[1 - place]
        if linear is None or other is None or isinstance(other, Value):
            continue
        scale_shift = _affine(name, place, other.array().astype(np.float64))
        source = call.value(place)
        if scale_shift is not None and call.shape == source.shape:
            return linear.with_affine(*scale_shift, source)
    return None


def _affine(name: str, place: int, numbers: Array) -> tuple[Array, Array] | None:
    """``name`` of the value at ``place`` and constant numbers, as a scale and a shift of the value."""
    one, zero = np.ones(()), np.zeros(())
    if name == "ADD":
        return one, numbers
    if name == "SUB":
        return (one, -numbers) if place == 0 else (-one, numbers)
    if name == "MUL":
        return numbers, zero
    if name == "DIV" and place == 0 and np.all(numbers != 0):
        return 1 / numbers, zero
    return None


def _many(name: str, call: Call) -> Value:
    """Min, Max, Sum, Mean of any number of inputs, two at a time."""
    terms = terms_of(call)
    constants = [term for term in terms if not isinstance(term, Value)]
    ordered = [*(term for term in terms if isinstance(term, Value)), *constants]
    if len(ordered) == 1:
        return ordered[0]  # type: ignore[return-value] # all constant is folded
    return reduce(lambda left, right: combine(call.graph, name, [left, right], call.dtype), ordered)  # type: ignore[return-value]


def _mean(call: Call) -> Value:
    return multiply(call.graph, _many("ADD", call), 1 / len(call.inputs))


def _pow(call: Call) -> Value:
    base, exponent = terms_of(call)
    if isinstance(base, Value) and not isinstance(exponent, Value):
        known = _POWERS.get(float(np.reshape(exponent, -1)[0])) if np.unique(exponent).size == 1 else None
        if known is not None:
            return known(call.graph, base)
    terms = [term if isinstance(term, Value) else np.asarray(term, call.dtype) for term in (base, exponent)]
    return combine(call.graph, "POW", terms, call.dtype)


def _square(graph: Graph, value: Value) -> Value:
    return combine(graph, "MUL", [value, value], value.dtype)


_POWERS: dict[float, Callable[[Graph, Value], Value]] = {
    1: lambda graph, value: value,
    2: _square,
    3: lambda graph, value: combine(graph, "MUL", [_square(graph, value), value], value.dtype),
    0.5: lambda graph, value: unary(graph, "SQRT", value),
    -0.5: lambda graph, value: unary(graph, "RSQRT", value),
    -1: lambda graph, value: divide(graph, 1.0, value),
}  # an int8 kernel exists for these, and none for POW


def _neg(call: Call) -> Value:
    value, linear = call.value(0), call.linear(0)
    turned = linear.with_affine(-np.ones(()), np.zeros(()), value) if linear else None
    return turned or unary(call.graph, "NEG", value)


def _unary(name: str, call: Call) -> Value:
    return unary(call.graph, name, call.value(0))


def _reciprocal(call: Call) -> Value:
    root = call.source(0)
    if root is not None and root.node.operator == "Sqrt" and call.alone(0):
        return unary(call.graph, "RSQRT", root.value(0))
    return divide(call.graph, 1.0, call.value(0))


def erf(graph: Graph, value: Value) -> Value:
    """The error function, of operators that TensorFlow Lite has."""
    size = unary(graph, "ABS", value)
    t = divide(graph, 1.0, add(graph, multiply(graph, size, _ERF_P), 1.0))
    poly: Term = _ERF[-1]
    for factor in _ERF[-2::-1]:
        poly = add(graph, multiply(graph, t, poly), factor)
    decay = unary(graph, "EXP", multiply(graph, multiply(graph, size, size), -1.0))
    rest = multiply(graph, multiply(graph, poly, t), decay)
    return multiply(graph, unary(graph, "SIGN", value), subtract(graph, 1.0, rest))


def _compare(name: str, call: Call) -> Value:
    return combine(call.graph, name, terms_of(call), "bool")


def _where(call: Call) -> Value:
    return combine(call.graph, "SELECT_V2", terms_of(call), call.dtype)


def _mod(call: Call) -> Value:
    if call.node.integer("fmod") and call.dtype == "float32":
        raise ModelError(
            "fmod of floats takes the sign of the dividend, which TensorFlow Lite has not. Export without it"
        )
    return combine(call.graph, "FLOOR_MOD", terms_of(call), call.dtype)


def _cast(call: Call) -> Value:
    value = call.value(0)
    if value.dtype == call.dtype:
        return value
    return call.build.emit("CAST", [value], value.shape, value.axes, call.dtype)


def _same(call: Call) -> Sequence[Operand | None]:
    """Identity, and Dropout as it is after training; a mask that is asked for stays unknown."""
    return [call.value(0)]


TRANSLATORS: dict[str, Translator] = {
    "Add": partial(_arithmetic, "ADD"), "Sub": partial(_arithmetic, "SUB"), "Mul": partial(_arithmetic, "MUL"),
    "Div": partial(_arithmetic, "DIV"), "Min": partial(_many, "MINIMUM"), "Max": partial(_many, "MAXIMUM"),
    "Sum": partial(_many, "ADD"), "Mean": _mean, "Pow": _pow, "Mod": _mod,
    "Sqrt": partial(_unary, "SQRT"), "Exp": partial(_unary, "EXP"), "Log": partial(_unary, "LOG"), "Abs": partial(_unary, "ABS"),
    "Neg": _neg, "Floor": partial(_unary, "FLOOR"), "Ceil": partial(_unary, "CEIL"),
    "Round": partial(_unary, "ROUND"), "Sin": partial(_unary, "SIN"), "Cos": partial(_unary, "COS"), "Sign": partial(_unary, "SIGN"),
    "Reciprocal": _reciprocal, "Erf": lambda call: erf(call.graph, call.value(0)),
    "Equal": partial(_compare, "EQUAL"), "Greater": partial(_compare, "GREATER"), "Less": partial(_compare, "LESS"),
    "GreaterOrEqual": partial(_compare, "GREATER_EQUAL"), "LessOrEqual": partial(_compare, "LESS_EQUAL"),
    "And": partial(_compare, "LOGICAL_AND"), "Or": partial(_compare, "LOGICAL_OR"), "Xor": partial(_compare, "NOT_EQUAL"),
    "Not": partial(_unary, "LOGICAL_NOT"), "Where": _where, "Cast": _cast, "Identity": _same, "Dropout": _same,
}  # fmt: skip
