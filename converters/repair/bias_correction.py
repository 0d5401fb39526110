"""Bias correction: the mean error of each output channel, found on samples, goes into the integer biases.

Rounding weights, and clipping what comes before, moves the mean of a layer's output (Nagel et al., arXiv:1906.04721, section 4.2). Layers
are corrected in the order of execution, each on what the corrected layers before it give. The mean can be taken in two ways:

- ``linear``: before the activation function, which would hide it. A layer is linear in its input there, so its mean output is the weights
  applied to the mean patch of the input: no layer is run again, and what the activation does is of no concern.
- ``clipped``: behind it, within the range of the int8 output, divided by the share of values that are not clipped, as they alone move with
  the bias. That is right where most of a channel lies far in a flat part, such as below a swish: errors there must not count.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from converters.graph import (
    constant_of,
    is_constant,
    main_graph,
    operator_name,
    read_graph,
    schema,
    set_constant,
    text,
    type_name,
    write_graph,
)
from converters.repair.mean_output import Places, Run, has_bias, mean_output, mean_patches
from edge_sdk.tensors import Array

_PLACES = {  # operator: where its input, weights and bias stand
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
_Pair = tuple[Any, Any, Places]  # float operator, its quantized twin, places of input, weights and bias
_LEAST_FREE = 0.1  # a channel of which less moves with the bias is left alone
_LEAST_STEPS = 1.0  # of a bias; below it nothing changes


Way = Literal["linear", "clipped"]


@dataclass(frozen=True)
class Corrected:
    """The int8 model with corrected biases, in how many operators, and the largest correction in steps of its layer's output."""

    content: bytes
    operators: int
    largest_steps: float


def correct_biases(
    float_content: bytes,
    int8_content: bytes,
    inputs: Iterable[Array],
    check: Callable[[], None] = lambda: None,
    *,
    way: Way = "linear",
) -> Corrected:
    """Correct the biases of every convolution and fully connected layer that both models have.

    Args:
        float_content: the float model.
        int8_content: the same quantized; activations of the same meaning have the same name.
        inputs: float input tensors of a few samples (8 do); they are held in memory.
        check: called between layers.
        way: where the mean is taken.

    Returns:
        The corrected model; the same as given if no bias is off by as much as one of its steps.
    """
    kept = [tensor.copy() for tensor in inputs]
    before, after = read_graph(float_content), read_graph(int8_content)
    pairs = _pairs(before, after)
    gaps: _Linear | _Clipped = (_Linear if way == "linear" else _Clipped)(before, after, pairs, kept, float_content)
    corrected, largest, content = 0, 0.0, int8_content
    for number, (_, twin, places) in enumerate(pairs):
        check()
        steps = _add_to_bias(after, twin, places, gaps.gap(number, content))
        if steps:
            corrected, largest, content = corrected + 1, max(largest, steps), write_graph(after)
    return Corrected(content, corrected, largest)


class _Linear:
    """Gaps of the mean before the activation."""

    def __init__(self, before: Any, after: Any, pairs: list[_Pair], inputs: list[Array], content: bytes) -> None:
        self._before, self._after, self._pairs, self._inputs = before, after, pairs, inputs
        entries = [(operator, before, operator.inputs[places[0]]) for operator, _, places in pairs]
        self._real = list(mean_patches(content, entries, inputs)) if pairs else []

    def gap(self, number: int, content: bytes) -> Array:
        """What the channels of one layer lack: float64, (channels,)."""
        operator, twin, places = self._pairs[number]
        seen = next(mean_patches(content, [(twin, self._after, twin.inputs[places[0]])], self._inputs))
        wanted = mean_output(self._before, operator, places, self._real[number])
        return wanted - mean_output(self._after, twin, places, seen)


class _Clipped:
    """Gaps of the mean behind activation and clipping, by the share of values that are not clipped."""

    def __init__(self, before: Any, after: Any, pairs: list[_Pair], inputs: list[Array], content: bytes) -> None:
        self._pairs, self._inputs = pairs, inputs
        tensors = main_graph(after).tensors
        self._limits = [_limits(tensors[twin.outputs[0]]) for _, twin, _ in pairs]
        self._real = [np.zeros(())] * len(pairs)
        run = Run(content)
        for tensor in inputs:
            run.on(tensor)
            for number, ((operator, _, _), (low, high)) in enumerate(zip(pairs, self._limits, strict=True)):
                clipped = np.clip(run.real(int(operator.outputs[0])), low, high)
                self._real[number] = self._real[number] + _channel_mean(clipped) / len(inputs)

    def gap(self, number: int, content: bytes) -> Array:
        """What the channels of one layer lack: float64, (channels,)."""
        index, (low, high) = int(self._pairs[number][1].outputs[0]), self._limits[number]
        run, made, free = Run(content), np.zeros(()), np.zeros(())
        for tensor in self._inputs:
            run.on(tensor)
            real = run.real(index)
            step = (high - low) / 1e6
            made = made + _channel_mean(real) / len(self._inputs)
            free = free + _channel_mean((real > low + step) & (real < high - step)) / len(self._inputs)
        share = np.maximum(free, _LEAST_FREE)
        return np.asarray(np.where(free < _LEAST_FREE, 0.0, (self._real[number] - made) / share))


def _channel_mean(values: Array) -> Array:
    return np.asarray(values.reshape(-1, values.shape[-1]).mean(axis=0))


def _limits(tensor: Any) -> tuple[float, float]:
    """The smallest and largest real number that a quantized tensor can hold."""
    scale, zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    bits = np.iinfo(type_name(tensor).lower())
    return scale * (int(bits.min) - zero), scale * (int(bits.max) - zero)


def _pairs(before: Any, after: Any) -> list[_Pair]:
    """Operators with weights that both models have: float, quantized, places of their tensors, in the quantized model's order."""
    names = main_graph(before).tensors
    known = {
        text(names[o.outputs[0]].name): o for o in main_graph(before).operators if operator_name(before, o) in _PLACES
    }
    found = []
    tensors = main_graph(after).tensors
    for twin in main_graph(after).operators:
        name = operator_name(after, twin)
        operator = known.get(text(tensors[twin.outputs[0]].name).removesuffix("_inner"))
        if name not in _PLACES or operator is None or operator_name(before, operator) != name:
            continue
        places = _PLACES[name]
        sides = ((before, operator), (after, twin))
        if all(is_constant(m, main_graph(m).tensors[o.inputs[places[1]]]) for m, o in sides):
            found.append((operator, twin, places))
    return found


def _add_to_bias(model: Any, operator: Any, places: Places, gap: Array) -> float:
    """Add real numbers to the biases, in place. Returns the largest in steps of the output; 0 if nothing changed."""
    tensors = main_graph(model).tensors
    entry, weights = (tensors[operator.inputs[place]] for place in places[:2])
    scale = float(entry.quantization.scale[0]) * np.asarray(weights.quantization.scale, np.float64)
    steps = np.rint(gap / scale)
    if np.abs(steps).max() < _LEAST_STEPS:
        return 0.0
    wide = "INT64" if entry.type == schema().TensorType.INT16 else "INT32"
    dtype = np.int64 if wide == "INT64" else np.int32
    if has_bias(operator, places):
        tensor = copy.copy(tensors[operator.inputs[places[2]]])
        old = constant_of(model, tensors[operator.inputs[places[2]]])
        if old is None:
            return 0.0
        dtype = old.dtype.type
    else:
        tensor, old = schema().TensorT(), np.zeros(gap.size, dtype)
        tensor.quantization = schema().QuantizationParametersT()
        tensor.quantization.scale = scale.astype(np.float32) if scale.size > 1 else scale.astype(np.float32).reshape(1)
        tensor.quantization.zeroPoint = np.zeros(scale.size, np.int64)
        operator.inputs = np.append(operator.inputs[: places[2]], -1).astype(np.int32)
    limits = np.iinfo(dtype)
    new = np.clip(old.astype(np.float64) + steps, limits.min, limits.max if dtype == np.int32 else 2.0**62).astype(
        dtype
    )
    set_constant(model, tensor, new)  # a tensor of its own: others may share the old one
    tensor.name = f"{text(tensors[operator.outputs[0]].name)}/corrected_bias"
    tensors.append(tensor)
    operator.inputs = operator.inputs.copy()
    operator.inputs[places[2]] = len(tensors) - 1
    output = tensors[operator.outputs[0]]
    return float(np.abs(steps * scale).max() / float(output.quantization.scale[0]))
