"""Normalisation: by trained statistics into the operator before it, by the sample's own as the operators that it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.load.onnx.broadcast import Term, add, combine, multiply, subtract, unary
from converters.load.onnx.call import Call, Translator, floats
from converters.load.onnx.reducing import reduced
from converters.load.onnx.values import Constant, Operand, Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


def _batch_norm(call: Call) -> list[Operand | None]:
    """scale * (x - mean) / sqrt(variance + epsilon) + bias, with constants of one number a channel."""
    if call.node.integer("training_mode"):
        raise ModelError("it is in training mode; export the model for inference")
    value = call.value(0)
    names = ("the scale", "the bias", "the mean", "the variance")
    scale, bias, mean, variance = (
        call.constant(place, name).array().astype(np.float64) for place, name in enumerate(names, 1)
    )
    factor = scale / np.sqrt(variance + call.node.number("epsilon", 1e-5))
    wide = (-1, *[1] * (len(value.shape) - 2))
    factor, shift = factor.reshape(wide), (bias - mean * factor).reshape(wide)
    linear = call.linear(0)
    made = linear.with_affine(factor, shift, value) if linear else None
    return [made or add(call.graph, multiply(call.graph, value, floats(factor)), floats(shift))]


def normalised(call: Call, value: Value, axes: tuple[int, ...], epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon) over ``axes``."""
    mean = reduced(call, "MEAN", value, axes, keep=True)
    centred = subtract(call.graph, value, mean)
    variance = reduced(call, "MEAN", multiply(call.graph, centred, centred), axes, keep=True)
    return multiply(call.graph, centred, unary(call.graph, "RSQRT", add(call.graph, variance, epsilon)))


def _layer_norm(call: Call) -> list[Operand | None]:
    if any(call.node.outputs[1:]):
        raise ModelError("its outputs of mean and deviation are not translated. Export without them")
    value = call.value(0)
    axis = call.axis(-1)
    made = normalised(call, value, tuple(range(axis, len(value.shape))), call.node.number("epsilon", 1e-5))
    return [_scaled(call, made, _term(call, 1), _term(call, 2))]


def _rms_norm(call: Call) -> Value:
    value, axis = call.value(0), call.axis(-1)
    square = reduced(call, "MEAN", multiply(call.graph, value, value), tuple(range(axis, len(value.shape))), keep=True)
    root = unary(call.graph, "RSQRT", add(call.graph, square, call.node.number("epsilon", 1e-5)))
    return _scaled(call, multiply(call.graph, value, root), _term(call, 1), None)


def _instance_norm(call: Call) -> Value:
    value = call.value(0)
    made = normalised(call, value, tuple(range(2, len(value.shape))), call.node.number("epsilon", 1e-5))
    return _per_channel(call, made, value.shape)


def _group_norm(call: Call) -> Value:
    value, groups = call.value(0), call.node.integer("num_groups", 1)
    if groups < 1 or value.shape[1] % groups:
        raise ModelError(f"{value.shape[1]} channels do not fall into {groups} groups; export the model again")
    made = _by_groups(call, value, groups, call.node.number("epsilon", 1e-5))
    if call.node.version < 21:  # one scale and bias for each group
        wide = (-1, *[1] * (len(value.shape) - 1))
        scale, bias = (_numbers(call, place).reshape(wide) for place in (1, 2))
        return call.layout.reshaped(_scaled(call, made, scale, bias), value.shape)
    return _per_channel(call, call.layout.reshaped(made, value.shape), value.shape)


def _by_groups(call: Call, value: Value, groups: int, epsilon: float) -> Value:
    """(batch, groups, channels of a group, ...), each group normalised."""
    batch, channels, *sizes = value.shape
    split = call.layout.reshaped(value, (batch, groups, channels // groups, *sizes))
    return normalised(call, split, tuple(range(2, len(split.shape))), epsilon)


def written_out_group_norm(call: Call) -> Value | None:
    """A group normalisation that ends in this Reshape, as exporters write it: reshaped, InstanceNormalization, reshaped back."""
    norm = call.source(0)
    before = norm.source(0) if norm and norm.node.operator == "InstanceNormalization" and call.alone(0) else None
    if norm is None or before is None or before.node.operator != "Reshape" or not norm.alone(0):
        return None
    value, shape = before.value(0), before.shape
    if value.shape != call.shape or len(shape) != 3 or shape[0] != value.shape[0] or value.shape[1] % shape[1]:
        return None
    made = _by_groups(call, value, shape[1], norm.node.number("epsilon", 1e-5))
    wide = (-1, *[1] * (len(value.shape) - 1))
    return call.layout.reshaped(
        _scaled(call, made, *(_numbers(norm, place).reshape(wide) for place in (1, 2))), value.shape
    )


def _per_channel(call: Call, value: Value, shape: tuple[int, ...]) -> Value:
    wide = (-1, *[1] * (len(shape) - 2))
    return _scaled(call, value, _numbers(call, 1).reshape(wide), _numbers(call, 2).reshape(wide))


def _numbers(call: Call, place: int) -> Array:
    return call.constant(place, "the scale or bias").array()


def _scaled(call: Call, value: Value, scale: Term | None, bias: Term | None) -> Value:
    if scale is not None and not (isinstance(scale, np.ndarray) and np.all(scale == 1)):
        value = multiply(call.graph, value, scale)
    if bias is not None and not (isinstance(bias, np.ndarray) and np.all(bias == 0)):
        value = add(call.graph, value, bias)
    return value


def _term(call: Call, place: int) -> Term | None:
    operand = call.given(place)
    return operand.array() if isinstance(operand, Constant) else operand


def _mean_variance(call: Call) -> Value:
    axes = call.node.integers("axes") or (0, 2, 3)
    return normalised(call, call.value(0), axes, 1e-9)


def _lp_norm(call: Call) -> Value:
    value, axis, power = call.value(0), call.axis(-1), call.node.integer("p", 2)
    if power not in (1, 2):
        raise ModelError(f"its p is {power}; 1 and 2 are allowed")
    parts = multiply(call.graph, value, value) if power == 2 else unary(call.graph, "ABS", value)
    total = reduced(call, "SUM", parts, (axis,), keep=True)
    return combine(call.graph, "DIV", [value, unary(call.graph, "SQRT", total) if power == 2 else total])


def _lrn(call: Call) -> Value:
    """Local response normalisation over neighbouring channels."""
    value, node = call.value(0), call.node
    size = node.integer("size", 1)
    if size < 1 or size % 2 == 0:
        raise ModelError(f"its size {size} is even, which TensorFlow Lite has not")
    value = call.layout.arranged(value, (0, *range(2, len(value.shape)), 1))
    options: dict[str, Any] = {
        "radius": size // 2,
        "bias": node.number("bias", 1.0),
        "alpha": node.number("alpha", 1e-4) / size,
        "beta": node.number("beta", 0.75),
    }
    return call.build.emit("LOCAL_RESPONSE_NORMALIZATION", [value], value.shape, value.axes, **options)


TRANSLATORS: dict[str, Translator] = {
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "RMSNormalization": _rms_norm,
    "InstanceNormalization": _instance_norm, "GroupNormalization": _group_norm, "MeanVarianceNormalization": _mean_variance,
    "LpNormalization": _lp_norm, "LRN": _lrn,
}  # fmt: skip
