"""Bias correction: the mean error of each output channel, found on samples, goes into the integer biases.

Rounding weights, and clipping what comes before, moves the mean of a layer's output (Nagel et al., arXiv:1906.04721, section 4.2). That
mean is taken before the activation function, which would hide it. A layer is linear in its input there, so its mean output is the
weights applied to the mean patch of the input: no layer is run again, and what the activation does is of no concern. Layers are corrected
in the order of execution, each on what the corrected layers before it give.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.graph import (
    constant_of,
    is_constant,
    main_graph,
    operator_name,
    read_graph,
    schema,
    set_constant,
    shape_of,
    text,
    write_graph,
)
from converters.interpreter import open_interpreter
from converters.repair.candidate import Check
from converters.repair.rewiring import CannotRepairError
from edge_sdk.tensors import Array, TensorSpec

_PLACES = {  # operator: where its input, weights and bias stand
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
_LEAST_STEPS = 1.0  # of a bias; below it nothing changes
_INTEGERS = ("INT8", "UINT8", "INT16")


@dataclass(frozen=True)
class Corrected:
    """The int8 model with corrected biases, in how many operators, and the largest correction in steps of its layer's output."""

    content: bytes
    operators: int
    largest_steps: float


def correct_biases(
    float_content: bytes, int8_content: bytes, inputs: Iterable[Array], check: Check = lambda: None
) -> Corrected:
    """Correct the biases of every convolution and fully connected layer that both models have.

    Args:
        float_content: the float model.
        int8_content: the same quantized; activations of the same meaning have the same name.
        inputs: float input tensors of a few samples (16 do); they are held in memory.
        check: called between layers.

    Returns:
        The corrected model; the same as given if no bias is off by as much as one of its steps.
    """
    kept = [tensor.copy() for tensor in inputs]
    before, after = read_graph(float_content), read_graph(int8_content)
    pairs = _pairs(before, after)
    real = _mean_patches(float_content, [(operator, before, operator.inputs[p[0]]) for operator, _, p in pairs], kept)
    corrected, largest, content = 0, 0.0, int8_content
    for (operator, twin, places), mean in zip(pairs, real, strict=True):
        check()
        entry = int(twin.inputs[places[0]])
        seen = next(_mean_patches(content, [(twin, after, entry)], kept))
        wanted = _mean_output(before, operator, places, mean)
        gap = wanted - _mean_output(after, twin, places, seen)
        steps = _add_to_bias(after, twin, places, gap)
        if steps:
            corrected, largest, content = corrected + 1, max(largest, steps), write_graph(after)
    return Corrected(content, corrected, largest)


def _pairs(before: Any, after: Any) -> list[tuple[Any, Any, tuple[int, int, int]]]:
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


def _mean_patches(content: bytes, wanted: list[tuple[Any, Any, int]], inputs: list[Array]) -> Iterator[Array]:
    """The mean patch that each operator sees of its input, over samples and output positions: float64, (taps, channels).

    Args:
        content: the model.
        wanted: operator, its graph, index of its input tensor.
        inputs: float input tensors.
    """
    interpreter = open_interpreter(content)
    entry = interpreter.get_input_details()[0]
    spec, sums = _spec(entry), [np.zeros(())] * len(wanted)
    specs = {d["index"]: _spec(d) for d in interpreter.get_tensor_details()}
    for tensor in inputs:
        interpreter.set_tensor(entry["index"], spec.quantize(tensor))
        interpreter.invoke()
        for place, (operator, graph, index) in enumerate(wanted):
            real = specs[int(index)].dequantize(interpreter.get_tensor(int(index)))
            sums[place] = sums[place] + _patch(graph, operator, real.astype(np.float64))
    return iter([total / len(inputs) for total in sums])


def _spec(details: Any) -> TensorSpec:
    scale, zero_point = details["quantization"]
    return TensorSpec(
        details["name"], tuple(details["shape"]), np.dtype(details["dtype"]).name, float(scale), int(zero_point)
    )


def _patch(model: Any, operator: Any, values: Array) -> Array:
    """The mean patch of one input: what each tap of the kernel meets, averaged over the output positions."""
    name = operator_name(model, operator)
    tensors = main_graph(model).tensors
    if name == "FULLY_CONNECTED":
        width = shape_of(tensors[operator.inputs[1]])[1]
        return np.asarray(values.reshape(-1, width).mean(axis=0, keepdims=True))
    weights = shape_of(tensors[operator.inputs[1]])
    out = shape_of(tensors[operator.outputs[0]])[1:3]
    taps_y, taps_x = (
        _axis(operator, name, axis, weights[axis + 1], values.shape[axis + 1], out[axis]) for axis in (0, 1)
    )
    patch = np.empty((len(taps_y), len(taps_x), values.shape[3]))
    for y, rows in enumerate(taps_y):
        line = values[:, rows].sum(axis=(0, 1))
        for x, columns in enumerate(taps_x):
            patch[y, x] = line[columns].sum(axis=0)
    return np.asarray(patch.reshape(-1, values.shape[3]) / (values.shape[0] * out[0] * out[1]))


def _axis(operator: Any, name: str, axis: int, kernel: int, size: int, out: int) -> list[Array]:
    """For each tap along an axis, the input positions that it meets within the input."""
    options = operator.builtinOptions
    stride = int(options.strideH if axis == 0 else options.strideW)
    dilation = 1 if name == "TRANSPOSE_CONV" else int((options.dilationHFactor, options.dilationWFactor)[axis]) or 1
    same = options.padding == schema().Padding.SAME
    if name == "TRANSPOSE_CONV":  # input position i reaches output position i * stride + tap - padding
        padding = max((size - 1) * stride + kernel - out, 0) // 2 if same else 0
        places = np.arange(size)
        reached = [places * stride + tap - padding for tap in range(kernel)]
        return [places[(r >= 0) & (r < out)] for r in reached]
    padding = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2 if same else 0
    met = [np.arange(out) * stride + tap * dilation - padding for tap in range(kernel)]
    return [m[(m >= 0) & (m < size)] for m in met]


def _mean_output(model: Any, operator: Any, places: tuple[int, int, int], patch: Array) -> Array:
    """The mean of each output channel before the activation, in real numbers."""
    tensors = main_graph(model).tensors
    weights = _real(model, tensors[operator.inputs[places[1]]])
    name = operator_name(model, operator)
    if name == "DEPTHWISE_CONV_2D":
        several = weights.shape[3] // patch.shape[1]
        mean = (weights.reshape(-1, weights.shape[3]) * np.repeat(patch, several, axis=1)).sum(axis=0)
    elif patch.shape[1] != weights.shape[-1]:  # grouped: each group of outputs sees its share of the channels
        groups = patch.shape[1] // weights.shape[-1]
        shares = patch.reshape(-1, groups, weights.shape[-1])
        by_group = weights.reshape(groups, weights.shape[0] // groups, -1, weights.shape[-1])
        mean = np.einsum("gotc,tgc->go", by_group, shares).reshape(-1)
    else:
        mean = weights.reshape(weights.shape[0], -1) @ patch.reshape(-1)
    if _has_bias(operator, places):
        mean = mean + _real(model, tensors[operator.inputs[places[2]]])
    return np.asarray(mean)


def _has_bias(operator: Any, places: tuple[int, int, int]) -> bool:
    return places[2] < len(operator.inputs) and operator.inputs[places[2]] >= 0


def _real(model: Any, tensor: Any) -> Array:
    """A constant in real numbers, float64."""
    values = constant_of(model, tensor)
    if values is None:
        raise CannotRepairError(f"{text(tensor.name)!r} is not constant")
    if values.dtype.kind == "f" or tensor.quantization is None or tensor.quantization.scale is None:
        return values.astype(np.float64)
    scale = np.asarray(tensor.quantization.scale, np.float64)
    shape = np.ones(values.ndim, int)
    if scale.size > 1:
        shape[tensor.quantization.quantizedDimension] = scale.size
    zero = np.asarray(tensor.quantization.zeroPoint if tensor.quantization.zeroPoint is not None else 0, np.float64)
    return np.asarray((values - zero.reshape(shape if zero.size > 1 else -1)) * scale.reshape(shape))


def _add_to_bias(model: Any, operator: Any, places: tuple[int, int, int], gap: Array) -> float:
    """Add real numbers to the biases, in place. Returns the largest in steps of the output; 0 if nothing changed."""
    tensors = main_graph(model).tensors
    entry, weights = (tensors[operator.inputs[place]] for place in places[:2])
    scale = float(entry.quantization.scale[0]) * np.asarray(weights.quantization.scale, np.float64)
    steps = np.rint(gap / scale)
    if np.abs(steps).max() < _LEAST_STEPS:
        return 0.0
    wide = "INT64" if entry.type == schema().TensorType.INT16 else "INT32"
    dtype = np.int64 if wide == "INT64" else np.int32
    if _has_bias(operator, places):
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
