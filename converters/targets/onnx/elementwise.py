"""Arithmetic, comparison and choice, number by number."""

from __future__ import annotations

from functools import partial

from converters.targets.onnx.activations import unary
from converters.targets.onnx.broadcast import aligned
from converters.targets.onnx.build import data_type
from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.values import Constant, Operand, Value


def cast(call: Call, value: Value, dtype: str) -> Value:
    """The value as another type."""
    return value if value.dtype == dtype else call.build.like("Cast", value, dtype=dtype, to=data_type(dtype))


def _binary(operator: str, call: Call) -> Value:
    inputs, shape, axes = aligned(call, [call.operand(0), call.operand(1)])
    return call.build.emit(operator, inputs, shape, axes, call.dtype)


def _squared_difference(call: Call) -> Value:
    difference = _binary("Sub", call)
    return call.build.like("Mul", difference, difference)


def _square(call: Call) -> Value:
    value = call.value(0)
    return call.build.like("Mul", value, value)


def _rsqrt(call: Call) -> Value:
    """By a division: TensorRT 8 does not list Reciprocal."""
    root = call.build.like("Sqrt", call.value(0))
    return call.build.emit("Div", [call.build.number(1), root.name], root.shape, root.axes)


def _dequantize(call: Call) -> Operand:
    """Float16 weights, stored so to save space, are float32 from the start."""
    operand = call.operand(0)
    return Constant(operand.name, operand.values.astype("float32")) if isinstance(operand, Constant) else _cast(call)


def _cast(call: Call) -> Value:
    return cast(call, call.value(0), call.dtype)


def _not_equal(call: Call) -> Value:
    return call.build.like("Not", _binary("Equal", call))


def _floor_div(call: Call) -> Value:
    """Towards minus infinity; ONNX's Div of whole numbers goes towards zero."""
    if call.dtype == "float32":
        return call.build.like("Floor", _binary("Div", call))
    inputs, shape, axes = aligned(call, [call.operand(0), call.operand(1)])
    rest = call.build.emit("Mod", inputs, shape, axes, call.dtype)
    whole = call.build.emit("Sub", [inputs[0], rest], shape, axes, call.dtype)
    return call.build.like("Div", whole, inputs[1])


def _floor_mod(call: Call) -> Value:
    """The rest has the divisor's sign, as ONNX's Mod of whole numbers."""
    if call.dtype != "float32":
        return _binary("Mod", call)
    inputs, shape, axes = aligned(call, [call.operand(0), call.operand(1)])
    whole = call.build.like("Floor", call.build.emit("Div", inputs, shape, axes))
    return call.build.emit("Sub", [inputs[0], call.build.like("Mul", whole, inputs[1])], shape, axes)


def _add_n(call: Call) -> Value:
    inputs, shape, axes = aligned(call, [call.operand(place) for place in range(len(call.inputs))])
    return call.build.emit("Sum", inputs, shape, axes, call.dtype)


TRANSLATORS: dict[str, Translator] = {
    "ADD": partial(_binary, "Add"), "SUB": partial(_binary, "Sub"), "MUL": partial(_binary, "Mul"), "DIV": partial(_binary, "Div"),
    "MAXIMUM": partial(_binary, "Max"), "MINIMUM": partial(_binary, "Min"), "POW": partial(_binary, "Pow"),
    "SQUARED_DIFFERENCE": _squared_difference, "SQUARE": _square, "RSQRT": _rsqrt, "SQRT": partial(unary, "Sqrt"),
    "EXP": partial(unary, "Exp"), "LOG": partial(unary, "Log"), "NEG": partial(unary, "Neg"), "ABS": partial(unary, "Abs"),
    "FLOOR": partial(unary, "Floor"), "CEIL": partial(unary, "Ceil"), "ROUND": partial(unary, "Round"),
    "SIN": partial(unary, "Sin"), "COS": partial(unary, "Cos"), "SIGN": partial(unary, "Sign"),
    "DEQUANTIZE": _dequantize, "CAST": _cast, "ADD_N": _add_n,
    "EQUAL": partial(_binary, "Equal"), "NOT_EQUAL": _not_equal, "GREATER": partial(_binary, "Greater"),
    "GREATER_EQUAL": partial(_binary, "GreaterOrEqual"), "LESS": partial(_binary, "Less"),
    "LESS_EQUAL": partial(_binary, "LessOrEqual"), "LOGICAL_AND": partial(_binary, "And"), "LOGICAL_OR": partial(_binary, "Or"),
    "LOGICAL_NOT": partial(unary, "Not"), "FLOOR_DIV": _floor_div, "FLOOR_MOD": _floor_mod,
}  # fmt: skip
