"""Weights in the form in which OpenVINO's plugins take a convolution for int8.

OpenVINO reads the weights of a .tflite's depthwise convolution as int8 numbers, a scale, and then transposes and reshapes of both. Its
plugins look for the scale right before the convolution, do not find it, and compute all depthwise convolutions in floating point. Here the
transposes and reshapes are done on the numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_sdk.tensors import Array

_CONVOLUTIONS = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
_RESHAPES = {"Reshape", "Unsqueeze", "Squeeze"}


def settle_weights(model: Any) -> int:
    """Do so for every convolution of a model; how many needed it.

    Args:
        model: an ``openvino.Model``, which is changed.
    """
    settled = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() in _CONVOLUTIONS and (made := _settled(node.input_value(1).get_node())) is not None:
            node.input(1).replace_source_output(made.output(0))
            settled += 1
    if settled:
        model.validate_nodes_and_infer_types()
    return settled


def _settled(node: Any) -> Any:
    """The weights anew, or None where they are of another form, or of the right one already."""
    from openvino import opset8

    moves = []
    while node.get_type_name() == "Transpose" or node.get_type_name() in _RESHAPES:
        moves.append(node)
        node = node.input_value(0).get_node()
    if not moves or node.get_type_name() != "Multiply":
        return None
    converted, scale = (node.input_value(side).get_node() for side in (0, 1))
    if converted.get_type_name() != "Convert" or scale.get_type_name() != "Constant":
        return None
    stored = converted.input_value(0).get_node()
    if stored.get_type_name() != "Constant":
        return None
    numbers, scales = stored.data, np.broadcast_to(scale.data, stored.data.shape)
    for move in reversed(moves):
        numbers, scales = _moved(numbers, move), _moved(scales, move)
    for axis in range(scales.ndim):
        first = scales.take([0], axis=axis)
        scales = first if np.array_equal(np.broadcast_to(first, scales.shape), scales) else scales
    real = opset8.convert(opset8.constant(np.ascontiguousarray(numbers)), "f32")
    return opset8.multiply(real, opset8.constant(np.ascontiguousarray(scales)))


def _moved(array: Array, move: Any) -> Array:
    if move.get_type_name() == "Transpose":
        return array.transpose(move.input_value(1).get_node().data)
    return array.reshape(tuple(move.output(0).shape))
