"""Float models with smaller weights: float16, or int8 with activations that the kernels quantize while they run."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from converters.graph import constant_of, is_constant, main_graph, operator_name, type_name
from converters.quantize.assembly import Assembly
from converters.quantize.kernels import WEIGHTED
from converters.quantize.steps import tensor_name
from converters.quantize.weights import quantize_weights, weight_scales

_LEAST_ELEMENTS = 64  # of a constant that is worth storing in another form
_HYBRID = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # have kernels for float activations and int8 weights


def store_float16(model: Any) -> list[str]:
    """Store float32 constants as float16 behind a DEQUANTIZE, which interpreters run once, in place.

    Returns:
        What was left float32, in words.
    """
    graph = main_graph(model)
    work, halves, left = Assembly(model, {}), {}, []
    for index in list(dict.fromkeys(int(i) for operator in graph.operators for i in operator.inputs)):
        values = _weights(model, index)
        if values is None:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            left.append(f"Constant {tensor_name(model, index)!r} stays float32: it is beyond what float16 can store.")
            continue
        halves[index] = work.tensor(f"{tensor_name(model, index)}_as_float32", graph.tensors[index].shape, "float32")
        work.add("DEQUANTIZE", [work.constant(tensor_name(model, index), half)], [halves[index]])
    for operator in graph.operators:
        operator.inputs = np.array([halves.get(int(i), int(i)) for i in operator.inputs], np.int32)
    work.operators += graph.operators
    work.finish()
    return left


def store_int8(model: Any, *, per_channel: bool) -> list[str]:
    """Store the weights of the operators that have hybrid kernels as int8, in place.

    Returns:
        What was left float32, in words.
    """
    work, left = Assembly(model, {}), []
    for number, operator in enumerate(main_graph(model).operators):
        name = operator_name(model, operator)
        place = WEIGHTED[name][1] if name in WEIGHTED else -1
        values = _weights(model, int(operator.inputs[place])) if place >= 0 else None
        if values is None:
            continue
        if name not in _HYBRID:
            left.append(
                f"{name} (operator {number}) keeps float32 weights: it has no kernel for int8 weights and float activations."
            )
            continue
        axis = WEIGHTED[name][3]
        scales = weight_scales(values, axis if per_channel else None)
        stored = quantize_weights(values, scales, axis)
        inputs = operator.inputs.copy()
        inputs[place] = work.constant(tensor_name(model, int(inputs[place])), stored, scales=scales, axis=axis)
        operator.inputs = inputs
        if name == "FULLY_CONNECTED":
            operator.builtinOptions = copy.copy(operator.builtinOptions)
            operator.builtinOptions.asymmetricQuantizeInputs = True
    work.operators += main_graph(model).operators
    work.finish()
    return left


def _weights(model: Any, index: int) -> Any:
    """A float32 constant that is large enough to matter, or None."""
    if index < 0:
        return None
    tensor = main_graph(model).tensors[index]
    if type_name(tensor) != "FLOAT32" or not is_constant(model, tensor):
        return None
    values = constant_of(model, tensor)
    return values if values is not None and values.size >= _LEAST_ELEMENTS else None
