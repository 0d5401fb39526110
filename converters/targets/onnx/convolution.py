"""Convolutions: plain, grouped, depthwise and transposed. All lie NCHW, their weights (outputs, inputs, rows, columns)."""

from __future__ import annotations

from collections.abc import Sequence

from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.values import NCHW, Value
from converters.targets.onnx.windows import pads
from edge_sdk.errors import ModelError


def _conv(call: Call) -> Value:
    """Weights are (outputs, rows, columns, inputs of a group)."""
    depth = call.operand(1).shape[3]
    return _written(call, call.weight(1, NCHW, 0), call.operand(1).shape[1:3], call.value(0).shape[3] // depth)


def _depthwise(call: Call) -> Value:
    """Weights are (1, rows, columns, channels times multiplier)."""
    return _written(call, call.weight(1, (3, 0, 1, 2), 0), call.operand(1).shape[1:3], call.value(0).shape[3])


def _written(call: Call, weights: str, kernel: tuple[int, ...], groups: int) -> Value:
    strides = (call.option("strideH", 1), call.option("strideW", 1))
    dilations = (call.option("dilationHFactor", 1), call.option("dilationWFactor", 1))
    around = pads(call.option("padding"), call.value(0).shape[1:3], call.shape[1:3], kernel, strides, dilations)
    value, before = _before_padding(call)
    value = call.layout.arranged(value, NCHW)
    around = [own + zeros for own, zeros in zip(around, before, strict=True)]
    return call.build.emit(
        "Conv", [value, weights, *_bias(call, 2)], call.shape, NCHW,
        kernel_shape=kernel, strides=strides, dilations=dilations, pads=around, group=groups,
    )  # fmt: skip


def _before_padding(call: Call) -> tuple[Value, list[int]]:
    """The input before a Pad with zeros of rows and columns, and these pads; without one the input itself."""
    value = call.value(0)
    source, around = call.graph.padded.get(value.name, (value, ((0, 0),) * 4))
    if value.axes != source.axes or any(around[0]) or any(around[3]) or min(min(ends) for ends in around) < 0:
        return value, [0] * 4
    return source, [around[axis][end] for end in (0, 1) for axis in (1, 2)]


def _bias(call: Call, place: int) -> Sequence[str]:
    operand = call.given(place)
    return [] if operand is None else [call.layout.laid(operand, (0,))]


def _transpose_conv(call: Call) -> Value:
    """The gradient of a convolution: its padding is cut from the result. Weights are (outputs, rows, columns, inputs).

    tensorflow/lite/kernels/transpose_conv.cc: the padding is that of the convolution from the output's size to the input's.
    """
    value = call.layout.arranged(call.value(2), NCHW)
    kernel, strides = call.operand(1).shape[1:3], (call.option("strideH", 1), call.option("strideW", 1))
    cut = pads(call.option("padding"), call.shape[1:3], value.shape[1:3], kernel, strides, (1, 1))
    full = [(size - 1) * stride + width for size, stride, width in zip(value.shape[1:3], strides, kernel, strict=True)]
    ends = [whole - begin - size for whole, begin, size in zip(full, cut[:2], call.shape[1:3], strict=True)]
    beyond = [max(-end, 0) for end in ends]
    if any(more >= stride for more, stride in zip(beyond, strides, strict=True) if more):
        raise ModelError(f"its output {call.shape} reaches further than its strides {strides}; export it with a pad")
    return call.build.emit(
        "ConvTranspose", [value, call.weight(1, (3, 0, 1, 2), 1), *_bias(call, 3)], call.shape, NCHW,
        kernel_shape=kernel, strides=strides, pads=[*cut[:2], *(max(end, 0) for end in ends)], output_padding=beyond,
    )  # fmt: skip


TRANSLATORS: dict[str, Translator] = {
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "TRANSPOSE_CONV": _transpose_conv,
}  # fmt: skip
