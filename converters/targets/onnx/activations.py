"""Activations: those of their own, and those that TensorFlow Lite fuses into another operator."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from converters.graph import schema
from converters.targets.onnx.broadcast import aligned
from converters.targets.onnx.build import Builder
from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.values import Value
from edge_sdk.errors import ModelError

_BOUNDS = {"RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}
_GELU_TANH = (math.sqrt(2 / math.pi), 0.044715)  # tensorflow/lite/kernels/internal/reference/gelu.h


def activated(build: Builder, value: Value, fused: int) -> Value:
    """The value behind an ``ActivationFunctionType``. TensorFlow Lite's kernels have no others than these."""
    kinds = {getattr(schema().ActivationFunctionType, name): name for name in ("RELU", "RELU6", "RELU_N1_TO_1")}
    if fused not in kinds:
        raise ModelError(f"it has fused activation {fused}; {', '.join(kinds.values())} are allowed. Export it apart")
    return _bounded(build, value, *_BOUNDS[kinds[fused]])


def _bounded(build: Builder, value: Value, least: float, most: float) -> Value:
    if least == 0 and most == math.inf:
        return build.like("Relu", value)
    return build.like("Clip", value, build.number(least, value.dtype), build.number(most, value.dtype))


def _relu(call: Call) -> Value:
    return _bounded(call.build, call.value(0), *_BOUNDS[call.operator])


def unary(operator: str, call: Call) -> Value:
    """An operator of one input that ONNX has under another name."""
    return call.build.like(operator, call.value(0))


def _leaky_relu(call: Call) -> Value:
    return call.build.like("LeakyRelu", call.value(0), alpha=float(call.option("alpha")))


def _prelu(call: Call) -> Value:
    value = call.value(0)
    (_, slope), shape, axes = aligned(call, [value, call.operand(1)])
    return call.build.emit("PRelu", [value, slope], shape, axes)


def _elu(call: Call) -> Value:
    return call.build.like("Elu", call.value(0), alpha=1.0)


def _hard_swish(call: Call) -> Value:
    """x relu6(x + 3) / 6. ONNX has HardSwish from opset 14, but TensorRT 8 does not."""
    build, value = call.build, call.value(0)
    return build.like("Mul", value, build.like("HardSigmoid", value, alpha=1 / 6, beta=0.5))


def _gelu(call: Call) -> Value:
    """x P(X <= x), X of the standard normal distribution, in operators that every opset has."""
    build, value = call.build, call.value(0)
    if call.option("approximate", False):
        slope, cubic = _GELU_TANH
        cube = build.like("Mul", build.like("Mul", value, value), value)
        inner = build.like("Add", value, build.like("Mul", cube, build.number(cubic)))
        inner = build.like("Tanh", build.like("Mul", inner, build.number(slope)))
    else:
        inner = build.like("Erf", build.like("Mul", value, build.number(np.sqrt(0.5))))
    half = build.like("Mul", value, build.number(0.5))
    return build.like("Mul", half, build.like("Add", inner, build.number(1)))


def _softmax(operator: str, call: Call) -> Value:
    build, value = call.build, call.value(0)
    beta = float(call.option("beta", 1.0)) if operator == "Softmax" else 1.0
    if beta != 1:
        value = build.like("Mul", value, build.number(beta))
    return build.like(operator, value, axis=value.place(-1))


TRANSLATORS: dict[str, Translator] = {
    **dict.fromkeys(_BOUNDS, _relu), "LEAKY_RELU": _leaky_relu, "PRELU": _prelu, "ELU": _elu, "HARD_SWISH": _hard_swish, "GELU": _gelu,
    "LOGISTIC": partial(unary, "Sigmoid"), "TANH": partial(unary, "Tanh"),
    "SOFTMAX": partial(_softmax, "Softmax"), "LOG_SOFTMAX": partial(_softmax, "LogSoftmax"),
}  # fmt: skip
