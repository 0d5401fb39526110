"""The mean output of a layer before its activation, without running the layer: its weights applied to the mean patch of its input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, schema, shape_of, text
from converters.interpreter import open_interpreter
from converters.repair.rewiring import CannotRepairError
from edge_sdk.tensors import Array, TensorSpec

Places = tuple[int, int, int]
"""Where a layer has its input, weights and bias."""


class Run:
    """A model, and its tensors after each input in real numbers."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = open_interpreter(content)
        self._entry = self._interpreter.get_input_details()[0]
        self._specs = {details["index"]: _spec(details) for details in self._interpreter.get_tensor_details()}

    def on(self, tensor: Array) -> None:
        """Run on a float input tensor."""
        self._interpreter.set_tensor(self._entry["index"], self._specs[self._entry["index"]].quantize(tensor))
        self._interpreter.invoke()

    def real(self, index: int) -> Array:
        """A tensor, float64."""
        return self._specs[index].dequantize(self._interpreter.get_tensor(index)).astype(np.float64)


def mean_patches(content: bytes, wanted: list[tuple[Any, Any, int]], inputs: list[Array]) -> Iterator[Array]:
    """The mean patch that each operator sees of its input, over samples and output positions: float64, (taps, channels).

    Args:
        content: the model.
        wanted: operator, its graph, index of its input tensor.
        inputs: float input tensors.
    """
    run, sums = Run(content), [np.zeros(())] * len(wanted)
    for tensor in inputs:
        run.on(tensor)
        for place, (operator, graph, index) in enumerate(wanted):
            sums[place] = sums[place] + _patch(graph, operator, run.real(int(index)))
    return iter([total / len(inputs) for total in sums])


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


def mean_output(model: Any, operator: Any, places: Places, patch: Array) -> Array:
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
    if has_bias(operator, places):
        mean = mean + _real(model, tensors[operator.inputs[places[2]]])
    return np.asarray(mean)


def has_bias(operator: Any, places: Places) -> bool:
    """Whether the layer has one."""
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


def _spec(details: Any) -> TensorSpec:
    scale, zero_point = details["quantization"]
    return TensorSpec(
        details["name"], tuple(details["shape"]), np.dtype(details["dtype"]).name, float(scale), int(zero_point)
    )
