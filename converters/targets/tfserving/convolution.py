"""Convolutions, matrix products and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.targets.tfserving.call import Call, Steps, Translators
from edge_sdk.tensors import Array


def _linear(call: Call, function: Callable[[Any, Array], Any], x: int = 0, weights: int = 1, bias: int = 2) -> Any:
    """function(x, weights) + bias, ``function`` being linear in both.

    Quantized, it is computed in steps: sums of whole numbers are exact in float32 up to 2^24, and what follows is what LiteRT's kernels
    (XNNPACK, "fp32" requantization) do: the sum times one float32, rounded to even.
    """
    stored = call.constant(weights)
    has_bias = call.given(bias) is not None
    known_x, known_w = call.known[x], call.known[weights]
    if not call.in_steps(x, weights) or known_x is None or known_w is None:
        made = function(call.x(x), stored)
        return made + call.x(bias) if has_bias else made
    summed = function(call.steps(x), call.steps(weights))
    if has_bias:
        summed += call.steps(bias)
    return Steps(call.tf.round(summed * (known_x.scales[0] * known_w.scales / call.made[0].scales[0])))


def _conv_2d(call: Call) -> Any:
    """Weights are (out, height, width, in) in TensorFlow Lite, (height, width, in, out) in TensorFlow."""
    tf = call.tf
    given = {"strides": call.strides, "padding": call.padding, "dilations": call.dilations}

    def convolve(x: Any, weights: Array) -> Any:
        weights = np.transpose(weights, (1, 2, 3, 0))
        groups = call.shape_of()[-1] // weights.shape[2]
        if groups == 1:
            return tf.nn.conv2d(x, weights, **given)
        parts = zip(tf.split(x, groups, -1), np.split(weights, groups, -1), strict=True)  # no groups on CPUs
        return tf.concat([tf.nn.conv2d(part, its, **given) for part, its in parts], -1)

    return _linear(call, convolve)


def _depthwise_conv_2d(call: Call) -> Any:
    """TensorFlow's has one stride for both axes, and none beside dilation: then every place is computed, and some are taken."""
    tf, (down, across), dilations = call.tf, call.strides, call.dilations

    def convolve(x: Any, weights: Array) -> Any:
        height, width = weights.shape[1:3]
        weights = weights.reshape(height, width, call.shape_of()[-1], -1)
        if down == across and (down == 1 or dilations == (1, 1)):
            return tf.nn.depthwise_conv2d(x, weights, (1, down, across, 1), call.padding, dilations=dilations)
        if call.padding == "SAME":
            x = tf.pad(x, [(0, 0), *_padded(call, (height, width)), (0, 0)])
        return tf.nn.depthwise_conv2d(x, weights, (1, 1, 1, 1), "VALID", dilations=dilations)[:, ::down, ::across]

    return _linear(call, convolve)


def _padded(call: Call, window: tuple[int, int]) -> list[tuple[int, int]]:
    """What SAME puts (before, behind) height and width."""
    made = []
    for axis in (0, 1):
        size, stride = call.shape_of()[1 + axis], call.strides[axis]
        reach = (window[axis] - 1) * call.dilations[axis] + 1
        all_ = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
        made.append((all_ // 2, all_ - all_ // 2))
    return made


def _transpose_conv(call: Call) -> Any:
    """Inputs are: shape of the output, weights (out, height, width, in), x, bias."""

    def convolve(x: Any, weights: Array) -> Any:
        weights = np.transpose(weights, (1, 2, 0, 3))
        return call.tf.nn.conv2d_transpose(x, weights, call.shape, strides=call.strides, padding=call.padding)

    return _linear(call, convolve, x=2, bias=3)


def _fully_connected(call: Call) -> Any:
    """Weights are (out, in); they may be computed."""
    tf = call.tf

    def multiply(x: Any, weights: Any) -> Any:
        return tf.matmul(tf.reshape(x, (-1, weights.shape[-1])), weights, transpose_b=True)

    if isinstance(call.x(1), np.ndarray):
        made = _linear(call, multiply)
        return Steps(tf.reshape(made.values, call.shape)) if isinstance(made, Steps) else tf.reshape(made, call.shape)
    made = multiply(call.x(), call.x(1))
    return tf.reshape(made if call.given(2) is None else made + call.x(2), call.shape)


def _batch_matmul(call: Call) -> Any:
    adjoint = {"adjoint_a": bool(call.option("adjX", False)), "adjoint_b": bool(call.option("adjY", False))}
    return call.tf.linalg.matmul(call.x(), call.x(1), **adjoint)


def _pool(call: Call, function: Any) -> Any:
    window = int(call.option("filterHeight")), int(call.option("filterWidth"))
    return function(call.x(), window, call.strides, call.padding)


def _embedding_lookup(call: Call) -> Any:
    return call.tf.gather(call.x(1), call.x())


TRANSLATORS: Translators = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "TRANSPOSE_CONV": _transpose_conv,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "AVERAGE_POOL_2D": lambda call: _pool(call, call.tf.nn.avg_pool2d),
    "MAX_POOL_2D": lambda call: _pool(call, call.tf.nn.max_pool2d),
}
