"""Layers as others with the same weights: a dilated kernel filled up with zeros, an activation that stands alone, a mean in two steps."""

from __future__ import annotations

import copy
from math import prod
from typing import Any

import numpy as np

from converters.graph import set_constant, text
from converters.targets.edgetpu.fixes import Fix
from converters.targets.edgetpu.fixes.editor import ACTIVATIONS, Editor
from edge_sdk.tensors import Array

_SAME = 0  # schema.Padding
_LARGEST_KERNEL = 64  # along one axis


def _unfuse(editor: Editor, operator: Any) -> list[Any] | None:
    """Clamping in the operator, or behind it at the same scale, is the same."""
    fused, output = operator.builtinOptions.fusedActivationFunction, int(operator.outputs[0])
    if fused not in ACTIVATIONS:
        return None
    part = editor.tensor(output, editor.shape(output))
    alone = copy.copy(operator)
    alone.builtinOptions = copy.copy(operator.builtinOptions)
    alone.builtinOptions.fusedActivationFunction = 0
    alone.outputs = np.array([part], np.int32)
    return [alone, editor.operator(ACTIVATIONS[fused], [part], [output])]


def _fill_dilated(editor: Editor, operator: Any) -> list[Any] | None:
    """The same kernel with zeros where it skips."""
    options = operator.builtinOptions
    by = options.dilationHFactor, options.dilationWFactor
    weights = int(operator.inputs[1])
    values, name = editor.values(weights), text(editor.graph.tensors[weights].name)
    if by == (1, 1) or values is None or values.ndim != 4:
        return None
    height, width = ((n - 1) * step + 1 for n, step in zip(values.shape[1:3], by, strict=True))
    if max(height, width) > _LARGEST_KERNEL:
        return None
    filled = _zeros_like(editor, weights, (values.shape[0], height, width, values.shape[3]), values)
    filled[:, :: by[0], :: by[1]] = values
    made = copy.copy(operator)
    made.builtinOptions = copy.copy(options)
    made.builtinOptions.dilationHFactor = made.builtinOptions.dilationWFactor = 1
    kernel = copy.copy(editor.graph.tensors[weights])
    kernel.name = f"{name}/filled"
    set_constant(editor.model, kernel, filled)
    editor.graph.tensors.append(kernel)
    made.inputs = np.array([operator.inputs[0], len(editor.graph.tensors) - 1, *operator.inputs[2:]], np.int32)
    return [made]


def _zeros_like(editor: Editor, weights: int, shape: tuple[int, ...], values: Array) -> Array:
    """An array full of the stored form of 0."""
    quantization = editor.graph.tensors[weights].quantization
    points = quantization.zeroPoint if quantization is not None and quantization.zeroPoint is not None else [0]
    return np.full(shape, int(points[0]), values.dtype)


def _dense_by_convolution(editor: Editor, operator: Any) -> list[Any] | None:
    """A dense layer on each of several rows is a 1x1 convolution over them."""
    entry, weights, output = int(operator.inputs[0]), int(operator.inputs[1]), int(operator.outputs[0])
    values, options = editor.values(weights), operator.builtinOptions
    if values is None or values.ndim != 2 or options.weightsFormat or values.dtype not in (np.int8, np.uint8):
        return None
    units, channels = values.shape
    rows = prod(editor.shape(entry)) // channels
    bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
    if rows < 2 or prod(editor.shape(output)) != rows * units:
        return None
    kernel = copy.copy(editor.graph.tensors[weights])
    kernel.name = f"{text(kernel.name)}/kernel"
    set_constant(editor.model, kernel, values.reshape(units, 1, 1, channels))
    editor.graph.tensors.append(kernel)
    place = len(editor.graph.tensors) - 1
    if bias < 0:
        bias = editor.constant("bias", np.zeros(units, np.int32), quantization=_bias_scale(editor, entry, weights))
    wide, made = editor.tensor(entry, (1, rows, 1, channels)), editor.tensor(output, (1, rows, 1, units))
    fused = options.fusedActivationFunction
    return [
        editor.reshape(entry, wide),
        editor.operator(
            "CONV_2D", [wide, place, bias], [made], strideH=1, strideW=1, padding=1, fusedActivationFunction=fused
        ),
        editor.reshape(made, output),
    ]


def _bias_scale(editor: Editor, entry: int, weights: int) -> tuple[float, int] | None:
    one, other = editor.quantization(entry), editor.quantization(weights)
    return None if one is None or other is None else (one[0] * other[0], 0)


def _mean_in_steps(editor: Editor, operator: Any) -> list[Any] | None:
    """One axis after the other: first along the rows, then along the columns."""
    entry, output = int(operator.inputs[0]), int(operator.outputs[0])
    axes, shape = editor.values(int(operator.inputs[1])), editor.shape(entry)
    if axes is None or len(shape) != 4 or editor.quantization(entry) is None:
        return None
    wanted = sorted({int(a) % 4 for a in axes.reshape(-1)})
    if wanted != [1, 2]:
        return None
    part = editor.tensor(entry, (shape[0], 1, shape[2], shape[3]))
    made = [editor.operator("MEAN", [entry, editor.numbers("rows", [1])], [part], keepDims=True)]
    keep = bool(operator.builtinOptions.keepDims)
    axis = editor.numbers("columns", [2])
    if keep:
        return [*made, editor.operator("MEAN", [part, axis], [output], keepDims=True)]
    point = editor.tensor(output, (shape[0], 1, 1, shape[3]))
    made.append(editor.operator("MEAN", [part, axis], [point], keepDims=True))
    return [*made, editor.reshape(point, output)]


def _mean_as_pool(editor: Editor, operator: Any) -> list[Any] | None:
    """The mean of a whole plane is an average pool as large as the plane."""
    entry, output = int(operator.inputs[0]), int(operator.outputs[0])
    axes, shape = editor.values(int(operator.inputs[1])), editor.shape(entry)
    if axes is None or len(shape) != 4 or {int(a) % 4 for a in axes.reshape(-1)} != {1, 2}:
        return None
    point = editor.tensor(entry, (shape[0], 1, 1, shape[3]))
    made = [
        editor.operator(
            "AVERAGE_POOL_2D",
            [entry],
            [point],
            padding=1,
            strideH=1,
            strideW=1,
            filterHeight=shape[1],
            filterWidth=shape[2],
        )
    ]
    if not editor.alike(entry, output):
        again = editor.tensor(output, editor.shape(point))
        made.append(editor.operator("QUANTIZE", [point], [again]))
        point = again
    return [*made, editor.reshape(point, output)]


def _depth_to_space(editor: Editor, operator: Any) -> list[Any] | None:
    """A transposed convolution whose kernel has one 1 for each value that moves."""
    entry, output = int(operator.inputs[0]), int(operator.outputs[0])
    size, shape, wide = operator.builtinOptions.blockSize, editor.shape(entry), editor.shape(output)
    if len(shape) != 4 or not editor.alike(entry, output) or editor.graph.tensors[entry].type != 9:
        return None
    channels = wide[3]
    kernel = np.zeros((channels, size, size, shape[3]), np.int8)
    for row in range(size):
        for column in range(size):
            for channel in range(channels):
                kernel[channel, row, column, (row * size + column) * channels + channel] = 1
    weights = editor.constant("ones", kernel, quantization=(1.0, 0))
    wanted = editor.numbers("shape", wide)
    return [
        editor.operator("TRANSPOSE_CONV", [wanted, weights, entry], [output], padding=_SAME, strideH=size, strideW=size)
    ]


FIXES = (
    Fix("unfuse", ("AVERAGE_POOL_2D", "MAX_POOL_2D"), "its fused activation becomes an operator of its own", 0, _unfuse),
    Fix("fill-kernel", ("DEPTHWISE_CONV_2D", "CONV_2D"), "the dilated kernel is filled up with zeros", 0, _fill_dilated),
    Fix("dense-rows", ("FULLY_CONNECTED",), "a dense layer on several rows is a 1x1 CONV_2D", 1, _dense_by_convolution),
    Fix("split-mean", ("MEAN",), "the mean is taken along one axis, then along the other", 1, _mean_in_steps),
    Fix("mean-pool", ("MEAN",), "the mean of a plane is an AVERAGE_POOL_2D as large as it", 1, _mean_as_pool),
    Fix("depth-to-space", ("DEPTH_TO_SPACE",), "a TRANSPOSE_CONV with a kernel of ones moves the values", 0, _depth_to_space),
)  # fmt: skip
