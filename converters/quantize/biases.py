"""Biases that do not fit their 32 bits.

A bias is stored in steps of input scale x weight scale. Where a channel's weights are nearly zero (batch normalisation leaves such
channels behind), that step is so small that the bias is cut off at 2^31 of them, and the channel comes out wrong. Such a channel gets
a larger weight scale: its weights, which do nothing, lose precision, and the bias fits.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, read_graph, set_constant, text
from edge_sdk.tensors import Array

_PLACES = {  # operator: where its input, weights and bias stand
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
_MOST_STEPS = 2**30  # half of what 32 bits hold: the products are added to it


def fit_biases(model: Any, content: bytes) -> int:
    """Widen weight scales where the bias was cut off, in place.

    Args:
        model: the quantized graph.
        content: the float model that it was made from.

    Returns:
        In how many operators that was needed.
    """
    floats = read_graph(content)
    before = main_graph(floats)
    biases = {
        text(before.tensors[op.outputs[0]].name): before.tensors[op.inputs[_PLACES[name][2]]]
        for op in before.operators
        if (name := operator_name(floats, op)) in _PLACES and _bias_place(op, name) is not None
    }
    fitted = 0
    for operator in main_graph(model).operators:
        name = operator_name(model, operator)
        made = text(main_graph(model).tensors[operator.outputs[0]].name)
        if name in _PLACES and made in biases and _bias_place(operator, name) is not None:
            real = constant_of(floats, biases[made])
            fitted += real is not None and _fit(model, operator, _PLACES[name], real)
    return fitted


def _bias_place(operator: Any, name: str) -> int | None:
    place = _PLACES[name][2]
    return place if place < len(operator.inputs) and operator.inputs[place] >= 0 else None


def _fit(model: Any, operator: Any, places: tuple[int, int, int], bias: Array) -> bool:
    tensors = main_graph(model).tensors
    entry, weights, stored = (tensors[operator.inputs[place]] for place in places)
    if entry.quantization is None or weights.quantization is None or stored.quantization is None:
        return False
    input_scale, old = float(entry.quantization.scale[0]), np.asarray(weights.quantization.scale, np.float64)
    least = np.abs(bias.astype(np.float64)) / (input_scale * _MOST_STEPS)
    least = least if old.size > 1 else least.max(keepdims=True)
    if (old >= least).all():
        return False
    values = constant_of(model, weights)
    if values is None:
        return False
    new = np.maximum(old, least).astype(np.float32)
    shape = np.ones(values.ndim, int)
    shape[weights.quantization.quantizedDimension] = old.size
    narrowed = np.rint(values * (old / new).reshape(shape)).astype(np.int8)
    steps = np.rint(bias / (input_scale * new.astype(np.float64))).astype(np.int32)
    operator.inputs = operator.inputs.copy()
    operator.inputs[places[1]] = _replaced(model, weights, narrowed, new)
    operator.inputs[places[2]] = _replaced(model, stored, steps, (input_scale * new).astype(np.float32))
    return True


def _replaced(model: Any, tensor: Any, values: Array, scale: Array) -> int:
    """A tensor of its own for this operator: others may share the old one."""
    new = copy.copy(tensor)
    new.quantization = copy.copy(tensor.quantization)
    new.quantization.scale = scale
    set_constant(model, new, values)
    tensors = main_graph(model).tensors
    new.name = f"{text(tensor.name)}_fitted_{len(tensors)}"
    tensors.append(new)
    return len(tensors) - 1
