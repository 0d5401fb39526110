"""Weights and biases of the operators that multiply by them.

Weights are symmetric int8, -127 to 127, a scale each output channel or one for all. A bias stands in steps of input scale x weight scale.
Where a channel's weights are nearly zero (batch normalisation leaves such channels behind), that step is so small that the bias would
be cut off at 2^31 of them, and the channel come out wrong. Such a channel gets a larger weight scale: its weights, which do nothing,
lose precision, and the bias fits.
"""

from __future__ import annotations

import numpy as np

from converters.quantize.quantization import Quantization
from edge_sdk.tensors import Array

_MOST_STEPS = 2**30  # half of what 32 bits hold: the products are added to it
_LEAST_RATIO = 2.0**-30  # of input scale x weight scale to output scale: kernels shift by no more
_NEVER_ZERO = 1e-30


def weight_scales(values: Array, axis: int | None) -> Array:
    """Symmetric int8 scales of weights, float32: along ``axis``, or one if it is None."""
    others = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
    largest = np.max(np.abs(values), axis=others, initial=0.0)
    scales: Array = np.maximum(np.atleast_1d(largest) / 127, _NEVER_ZERO).astype(np.float32)
    return scales


def fitted_scales(scales: Array, entry: Quantization, output: Quantization, bias: Array | None) -> Array:
    """Weight scales wide enough for the bias and for what kernels can shift, float32.

    Args:
        scales: the weights' own, float32.
        entry, output: of the operator's input and output.
        bias: real numbers, one for each output channel, or None.
    """
    least = np.full(scales.shape, output.scale * _LEAST_RATIO / entry.scale)
    if bias is not None and entry.dtype == "int8":
        needed = np.abs(bias.astype(np.float64)) / (entry.scale * _MOST_STEPS)
        least = np.maximum(least, needed if scales.size > 1 else needed.max(initial=0.0))
    fitted: Array = np.maximum(scales, least).astype(np.float32)
    return fitted


def quantize_weights(values: Array, scales: Array, axis: int) -> Array:
    """Weights as int8 of these scales."""
    shape = np.ones(values.ndim, int)
    if scales.size > 1:
        shape[axis] = scales.size
    return np.clip(np.rint(values / scales.reshape(shape)), -127, 127).astype(np.int8)


def quantize_bias(bias: Array, entry: Quantization, scales: Array) -> tuple[Array, Array]:
    """A bias as int32 (int64 where the activations are int16), and its scales."""
    steps = entry.scale * scales.astype(np.float64)
    dtype = np.int64 if entry.dtype == "int16" else np.int32
    return np.rint(bias / steps).astype(dtype), steps.astype(np.float32)
