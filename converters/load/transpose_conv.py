"""MediaPipe's custom operator Convolution2DTransposeBias as the built-in TRANSPOSE_CONV, which computes the same and has an int8 kernel.

The custom options are the bytes of a ``TfLiteTransposeConvParams``: padding, stride of the columns, stride of the rows, int32 each
(mediapipe/util/tflite/operations/transpose_conv_bias.cc).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from converters.graph import main_graph, operator_name, schema, set_constant, shape_of, text
from edge_sdk.errors import ModelError

_NAME = "Convolution2DTransposeBias"
_PADDINGS = {1: "SAME", 2: "VALID"}  # TfLitePadding


def replace_transpose_conv(model: Any) -> list[str]:
    """Replace in place; returns what was replaced, in words.

    Raises:
        ModelError: if such an operator's options are none.
    """
    graph = main_graph(model)
    found = [operator for operator in graph.operators if operator_name(model, operator) == _NAME]
    for operator in found:
        _replace(model, operator)
    return [f"{_NAME} was replaced by TRANSPOSE_CONV, which has an int8 kernel: {len(found)}."] if found else []


def _replace(model: Any, operator: Any) -> None:
    raw = bytes(np.asarray(() if operator.customOptions is None else operator.customOptions, np.uint8))
    padding, width, height = struct.unpack_from("<3i", raw) if len(raw) >= 12 else (0, 0, 0)
    if padding not in _PADDINGS or min(width, height) < 1 or len(operator.inputs) != 3:
        raise ModelError(f"the options of a {_NAME} are damaged: {raw!r}. Get the file again")
    options = schema().TransposeConvOptionsT()
    options.padding = getattr(schema().Padding, _PADDINGS[padding])
    options.strideW, options.strideH = width, height
    operator.builtinOptionsType, operator.builtinOptions = schema().BuiltinOptions.TransposeConvOptions, options
    operator.customOptions = None
    image, weights, bias = operator.inputs
    operator.inputs = np.array([_output_shape(model, operator), weights, image, bias], np.int32)
    operator.opcodeIndex = _code(model)


def _output_shape(model: Any, operator: Any) -> int:
    graph = main_graph(model)
    output = graph.tensors[operator.outputs[0]]
    tensor = schema().TensorT()
    tensor.name = f"{text(output.name)}/output_shape"
    set_constant(model, tensor, np.array(shape_of(output), np.int32))
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _code(model: Any) -> int:
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.TRANSPOSE_CONV
    code.version = 3  # the first with a bias
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
