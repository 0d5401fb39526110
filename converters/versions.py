"""Operator versions: the lowest one that is right for the types used, so that old runtimes and compilers take the model.

The rules are those of ``GetBuiltinOperatorVersion`` in TensorFlow (``tensorflow/lite/tools/versioning/op_version.cc``).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from converters.graph import main_graph, operator_name, shape_of, type_name

_INT8 = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "GATHER": 2, "SVDF": 3, "MUL": 2, "MAX_POOL_2D": 2, "AVERAGE_POOL_2D": 2,
    "TRANSPOSE": 2, "TRANSPOSE_CONV": 2, "SPLIT": 2, "SPARSE_TO_DENSE": 3, "SLICE": 2, "UNPACK": 2, "DEQUANTIZE": 2, "FLOOR_DIV": 3,
    "FLOOR_MOD": 2, "L2_NORMALIZATION": 2, "ABS": 2, "RELU": 2, "STRIDED_SLICE": 2, "REVERSE_V2": 3, "RESIZE_BILINEAR": 2,
    "RESIZE_NEAREST_NEIGHBOR": 2, "MAXIMUM": 2, "MINIMUM": 2, "PACK": 2, "TILE": 3, "SPACE_TO_BATCH_ND": 2, "BATCH_TO_SPACE_ND": 2,
    "ADD": 2, "SUB": 2, "TANH": 2, "LOGISTIC": 2, "FILL": 3, "EQUAL": 2, "NOT_EQUAL": 2, "BATCH_MATMUL": 2, "PAD": 2, "PADV2": 2,
    "CONCATENATION": 2, "SOFTMAX": 2, "MEAN": 2, "MIRROR_PAD": 2, "REDUCE_MAX": 2, "REDUCE_MIN": 2, "RELU6": 2, "RSQRT": 2, "ARG_MAX": 2,
    "ARG_MIN": 2, "SELECT": 2, "LESS": 2, "GREATER_EQUAL": 2, "SPACE_TO_DEPTH": 2, "SPLIT_V": 2, "SUM": 2, "LOG_SOFTMAX": 2, "GREATER": 2,
    "LESS_EQUAL": 2, "SQUARED_DIFFERENCE": 2, "DEPTH_TO_SPACE": 2, "TOPK_V2": 2, "EXP": 2, "LOG": 2, "SQRT": 2, "REDUCE_PROD": 2,
    "BROADCAST_TO": 3, "CAST": 3, "GELU": 2,
}  # fmt: skip
_INT16 = {
    "MUL": 4, "MAX_POOL_2D": 3, "AVERAGE_POOL_2D": 3, "TRANSPOSE": 5, "SPLIT": 4, "SLICE": 4, "UNPACK": 4, "DEQUANTIZE": 3, "FLOOR_DIV": 3,
    "FLOOR_MOD": 2, "ABS": 3, "RELU": 3, "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4, "MAXIMUM": 4, "MINIMUM": 4, "PACK": 3,
    "SPACE_TO_BATCH_ND": 4, "BATCH_TO_SPACE_ND": 4, "ADD": 3, "SUB": 5, "GATHER": 4, "GATHER_ND": 3, "TANH": 3, "LOGISTIC": 3, "FILL": 3,
    "EQUAL": 5, "NOT_EQUAL": 4, "LEAKY_RELU": 2, "BATCH_MATMUL": 3, "PAD": 3, "PADV2": 3, "CONCATENATION": 3, "SOFTMAX": 3, "MEAN": 3,
    "MIRROR_PAD": 3, "REDUCE_MAX": 3, "REDUCE_MIN": 3, "RELU6": 3, "RSQRT": 3, "LESS": 3, "GREATER_EQUAL": 3, "TOPK_V2": 3, "EXP": 2,
    "LOG": 2, "SQRT": 2, "REDUCE_PROD": 2, "DYNAMIC_UPDATE_SLICE": 4, "BROADCAST_TO": 3, "QUANTIZE": 2,
}  # fmt: skip
_FLOAT16 = {"DEQUANTIZE": 3}
_HYBRID = {  # float activations, int8 weights: of one scale, and of one each channel
    "CONV_2D": (2, 5), "DEPTHWISE_CONV_2D": (4, 6), "FULLY_CONNECTED": (9, 12), "BATCH_MATMUL": (4, 4),
}  # fmt: skip
_ALWAYS = {"BROADCAST_TO": 2, "FLOOR_DIV": 2}  # version 1 of the first was withdrawn; the second was for int32 only
_FIVE_AXES = {
    "TRANSPOSE": 4,
    "SLICE": 5,
    "PAD": 4,
    "PADV2": 4,
    "STRIDED_SLICE": 4,
    "MAXIMUM": 3,
    "MINIMUM": 3,
    "SUB": 3,
    "DIV": 2,
}


def set_versions(model: Any) -> None:
    """Give every operator its version, in place; operators of one kind but different versions get codes of their own."""
    codes: list[Any] = []
    known: dict[tuple[int, int], int] = {}
    for operator in main_graph(model).operators:
        key = (int(operator.opcodeIndex), _version(model, operator))
        if key not in known:
            code = copy.copy(model.operatorCodes[key[0]])
            code.version = key[1]
            known[key] = len(codes)
            codes.append(code)
        operator.opcodeIndex = known[key]
    model.operatorCodes = codes


def _version(model: Any, operator: Any) -> int:
    tensors, name = main_graph(model).tensors, operator_name(model, operator)
    inputs = [tensors[i] for i in operator.inputs if i >= 0]
    output = tensors[operator.outputs[0]]
    axes = max((len(shape_of(tensor)) for tensor in inputs), default=0)
    by_axes = _FIVE_AXES.get(name, 1) if axes > 4 else 1
    return max(
        _by_type(name, inputs, output), by_axes, _ALWAYS.get(name, 1), *_demands(name, operator, inputs, output, axes)
    )


def _by_type(name: str, inputs: list[Any], output: Any) -> int:
    types = {type_name(tensor) for tensor in ([*inputs, output] if name == "CAST" else inputs)}
    if name in _HYBRID and type_name(output) == "FLOAT32" and "INT8" in types:
        weights = next(tensor for tensor in inputs if type_name(tensor) == "INT8")
        return _HYBRID[name][len(weights.quantization.scale) > 1]
    if name == "QUANTIZE":
        return _INT16[name] if type_name(output) == "INT16" else 1
    if "INT16" in types:
        return _INT16.get(name, 1)
    if "INT8" in types:
        return _INT8.get(name, 1)
    return _FLOAT16.get(name, 1) if "FLOAT16" in types else 1


def _demands(name: str, operator: Any, inputs: list[Any], output: Any, axes: int) -> Iterator[int]:
    """The versions in which what this operator uses came in; every one is above that of its plain use."""
    options = operator.builtinOptions
    yield 1
    if name == "TRANSPOSE" and axes > 5:
        yield 6
    if name in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND") and axes != 4:
        yield 3
    if name == "FULLY_CONNECTED" and options.keepNumDims:
        yield 5
    if name == "FULLY_CONNECTED" and len(operator.inputs) == 2:
        yield 6
    if name == "CONV_2D" and shape_of(inputs[0])[3] != shape_of(inputs[1])[3]:
        yield 6  # grouped
    if name == "DEPTHWISE_CONV_2D" and (options.dilationWFactor > 1 or options.dilationHFactor > 1):
        yield 2
    if name == "TRANSPOSE_CONV" and len(inputs) == 4:
        yield 3  # with a bias
    if name == "TRANSPOSE_CONV" and options.fusedActivationFunction:
        yield 4
    if name == "MUL" and type_name(output) == "INT8" and _product_scale(inputs, output) >= 1:
        yield 3
    if name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR") and _exact_centres(name, options):
        yield 3
    if name == "STRIDED_SLICE" and (options.ellipsisMask or options.newAxisMask):
        yield 6
    if name == "GATHER" and options.batchDims:
        yield 5


def _product_scale(inputs: list[Any], output: Any) -> float:
    first, second = (float(tensor.quantization.scale[0]) for tensor in inputs[:2])
    return first * second / float(output.quantization.scale[0])


def _exact_centres(name: str, options: Any) -> bool:
    return bool(options.halfPixelCenters or (name == "RESIZE_NEAREST_NEIGHBOR" and options.alignCorners))
