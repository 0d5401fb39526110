"""Operators whose every output element depends on one element of each input: arithmetic, comparisons, activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.targets.tfserving.call import Call, Translators
from edge_sdk.errors import ModelError

_FUSED: dict[int, Callable[[Any, Any], Any]] = {  # ActivationFunctionType
    0: lambda tf, x: x,
    1: lambda tf, x: tf.nn.relu(x),
    2: lambda tf, x: tf.clip_by_value(x, -1.0, 1.0),
    3: lambda tf, x: tf.nn.relu6(x),
    4: lambda tf, x: tf.tanh(x),
}


BOUNDS = {0: (-math.inf, math.inf), 1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}  # of those that only clip


def activated(tf: Any, value: Any, function: int) -> Any:
    """With an operator's fused activation.

    Raises:
        ModelError: if there is no translation of it.
    """
    if function not in _FUSED:
        raise ModelError(f"its fused activation {function} has no translation; known are 0 to 4")
    return _FUSED[function](tf, value)


def _two(path: str) -> Callable[[Call], Any]:
    """A function of TensorFlow of two inputs."""
    return lambda call: _function(call.tf, path)(call.x(), call.x(1))


def _one(path: str) -> Callable[[Call], Any]:
    return lambda call: _function(call.tf, path)(call.x())


def _function(tf: Any, path: str) -> Any:
    for name in path.split("."):
        tf = getattr(tf, name)
    return tf


def _div(call: Call) -> Any:
    """Whole numbers are divided towards zero, as in C."""
    floating = call.made[0].dtype.startswith("float") or call.made[0].quantized
    return (call.tf.divide if floating else call.tf.truncatediv)(call.x(), call.x(1))


def _softmax(call: Call) -> Any:
    return call.tf.nn.softmax(call.x() * np.float32(call.option("beta", 1.0)))


def _hard_swish(call: Call) -> Any:
    x = call.x()
    return x * call.tf.nn.relu6(x + 3.0) / 6.0


def _prelu(call: Call) -> Any:
    x, tf = call.x(), call.tf
    return tf.nn.relu(x) + call.x(1) * tf.minimum(x, 0.0)


def _leaky_relu(call: Call) -> Any:
    return call.tf.nn.leaky_relu(call.x(), float(call.option("alpha", 0.0)))


def _gelu(call: Call) -> Any:
    return call.tf.nn.gelu(call.x(), approximate=bool(call.option("approximate", False)))


def _add_n(call: Call) -> Any:
    return call.tf.add_n([call.x(place) for place in range(len(call.inputs))])


def _cast(call: Call) -> Any:
    """Of a quantized tensor TensorFlow Lite takes what is stored."""
    known = call.known[0]
    if known is None or not known.quantized:
        return call.tf.cast(call.x(), call.made[0].dtype)
    return call.tf.cast(call.steps(0) + np.float32(known.zero_points[0]), call.made[0].dtype)


def _dequantize(call: Call) -> Any:
    """What is quantized is held as real numbers already; float16 becomes float32, and weights stay known."""
    x = call.x()
    return x.astype(np.float32) if isinstance(x, np.ndarray) else call.tf.cast(x, "float32")


def _select(call: Call) -> Any:
    """The older SELECT takes whole entries of the first axis where its condition has one axis only."""
    condition, tf = call.x(), call.tf
    missing = len(call.shape) - len(call.shape_of())
    if missing > 0 and call.shape_of() == call.shape[:1]:
        condition = tf.reshape(condition, call.shape[:1] + (1,) * missing)
    return tf.where(condition, call.x(1), call.x(2))


TRANSLATORS: Translators = {
    "ADD": _two("add"), "SUB": _two("subtract"), "MUL": _two("multiply"), "DIV": _div, "ADD_N": _add_n, "POW": _two("pow"),
    "MAXIMUM": _two("maximum"), "MINIMUM": _two("minimum"), "FLOOR_DIV": _two("math.floordiv"), "FLOOR_MOD": _two("math.floormod"),
    "SQUARED_DIFFERENCE": _two("math.squared_difference"), "ATAN2": _two("math.atan2"),
    "EQUAL": _two("equal"), "NOT_EQUAL": _two("not_equal"), "GREATER": _two("greater"), "GREATER_EQUAL": _two("greater_equal"),
    "LESS": _two("less"), "LESS_EQUAL": _two("less_equal"), "LOGICAL_AND": _two("logical_and"), "LOGICAL_OR": _two("logical_or"),
    "LOGICAL_NOT": _one("logical_not"), "ABS": _one("abs"), "NEG": _one("negative"), "SIGN": _one("sign"), "CEIL": _one("math.ceil"),
    "FLOOR": _one("floor"), "ROUND": _one("round"), "SQRT": _one("sqrt"), "RSQRT": _one("math.rsqrt"), "SQUARE": _one("square"),
    "EXP": _one("exp"), "LOG": _one("math.log"), "SIN": _one("sin"), "COS": _one("cos"), "TANH": _one("tanh"),
    "LOGISTIC": _one("sigmoid"), "ELU": _one("nn.elu"), "RELU": _one("nn.relu"), "RELU6": _one("nn.relu6"),
    "LOG_SOFTMAX": _one("nn.log_softmax"), "RELU_N1_TO_1": lambda call: call.tf.clip_by_value(call.x(), -1.0, 1.0),
    "RELU_0_TO_1": lambda call: call.tf.clip_by_value(call.x(), 0.0, 1.0), "SOFTMAX": _softmax, "HARD_SWISH": _hard_swish,
    "PRELU": _prelu, "LEAKY_RELU": _leaky_relu, "GELU": _gelu, "CAST": _cast, "DEQUANTIZE": _dequantize,
    "QUANTIZE": lambda call: call.tf.cast(call.x(), "float32"), "SELECT": _select,
    "SELECT_V2": lambda call: call.tf.where(call.x(), call.x(1), call.x(2)),
}  # fmt: skip
