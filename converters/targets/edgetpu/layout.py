"""What a model's constants become on the chip: computed from shapes, no number here is fitted to a file.

The layout shows in any compiled model, where weights and biases stand as they stood in the original. An array of 64 x 64 multipliers
takes 64 output channels at a time, four inputs each: weights come in groups of 64 output channels (a layer of at most 64 is one group,
filled up to a multiple of 16), input channels filled up to a multiple of 4. A depthwise convolution is one of groups of 4 channels, whose
4 x 4 weights are zero off the diagonal. Each channel has its bias; with a scale a channel (int8) also its scale and its zero point.

The same layout was found by RingCanary/coral-usb-oxidized (docs/dense_layout_probe.md, docs/conv_layout_probe.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from converters.graph import is_constant, main_graph, operator_name, shape_of

CHANNELS = 4  # are stored side by side: their number is filled up to a multiple
_GROUP, _FILL = 64, 16
_NUMBER = 4  # bytes of a bias, a scale, a zero point
_LINE = 64  # bytes; blocks start on a multiple
_EXCHANGES = 8  # of an LSTM's input lanes: 4, there and back
_PAIRWISE = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "CONCATENATION")


@dataclass(frozen=True)
class Block:
    """Parameters of one operator: so many pieces that can be cached one without the other, of so many bytes each."""

    pieces: int
    piece_bytes: int

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return self.pieces * self.piece_bytes


def parameters_of(model: Any, operator: Any) -> Block:
    """What one operator keeps on the chip, where there is room."""
    name, tensors = operator_name(model, operator), main_graph(model).tensors
    if name in ("CONV_2D", "TRANSPOSE_CONV"):
        return _groups(tensors[operator.inputs[1]])
    return Block(1, _whole_bytes(name, model, operator))


def _whole_bytes(name: str, model: Any, operator: Any) -> int:
    """Of what is cached whole or not at all, as dense layers are (ricardodeazambuja/LibrEdgeTPU docs/HARDWARE_ANALYSIS.md, section 17)."""
    tensors = main_graph(model).tensors
    if name == "FULLY_CONNECTED":
        return _groups(tensors[operator.inputs[1]]).bytes
    if name == "DEPTHWISE_CONV_2D":
        return _depthwise_bytes(tensors[operator.inputs[1]])
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return _lstm_bytes(model, operator)
    if name == "SOFTMAX":  # three sums over all channels: of the exponents, and two that bring them into range
        return 3 * _FILL * up(shape_of(tensors[operator.inputs[0]])[-1], CHANNELS)
    return _moving_bytes(model, operator) if name in ("CONCATENATION", "SPLIT") else 0


def streamed_constants(model: Any, operator: Any) -> int:
    """Bytes of constants that stand where activations do: they are sent like inputs, however much room there is.

    So the logs of models that multiply by constants and add them (google-coral/edgetpu#324). A single number is part of the instructions.
    """
    name, tensors = operator_name(model, operator), main_graph(model).tensors
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":  # zeros, in which all steps' outputs are gathered
        return up(prod(shape_of(tensors[operator.outputs[0]])), _LINE)
    taken = [tensors[int(i)] for i in operator.inputs if i >= 0] if name in _PAIRWISE else []
    return sum(up(held_bytes(t), _LINE) for t in taken if is_constant(model, t) and prod(shape_of(t)) > 1)


def held_bytes(tensor: Any) -> int:
    """An activation's bytes, its channels filled up."""
    shape = shape_of(tensor)
    return prod(shape[:-1]) * up(prod(shape[-1:]), CHANNELS)


def up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def channels_on_chip(count: int) -> int:
    """Output channels with those that fill up."""
    return up(count, _FILL if count <= _GROUP else _GROUP)


def _groups(weights: Any) -> Block:
    """Weights are (output channels, ..., input channels)."""
    shape = shape_of(weights)
    channels = channels_on_chip(shape[0])
    each = prod(shape[1:-1]) * up(shape[-1], CHANNELS) + _numbers(weights)
    pieces = max(channels // _GROUP, 1)
    return Block(pieces, channels // pieces * each)


def _depthwise_bytes(weights: Any) -> int:
    """Weights are (1, height, width, channels)."""
    shape = shape_of(weights)
    return up(up(shape[-1], CHANNELS) * (CHANNELS * prod(shape[1:-1]) + _numbers(weights)), _LINE)


def _numbers(weights: Any) -> int:
    """Bytes that each output channel has besides its weights."""
    quantization = weights.quantization
    scale_a_channel = quantization is not None and quantization.scale is not None and len(quantization.scale) > 1
    return _NUMBER * (3 if scale_a_channel else 1)


def _lstm_bytes(model: Any, operator: Any) -> int:
    """Each of four gates is a layer over input and state together; tables of ones take each step's input out and put its output in."""
    tensors = main_graph(model).tensors
    features = shape_of(tensors[operator.inputs[0]])[-1]
    steps = prod(shape_of(tensors[operator.inputs[0]])[:-1])
    units = shape_of(tensors[operator.outputs[0]])[-1]
    gate = channels_on_chip(units) * (up(features, CHANNELS) + up(units, CHANNELS) + _NUMBER)
    return 4 * gate + _EXCHANGES * _table_bytes(features) + steps * _table_bytes(units)


def _moving_bytes(model: Any, operator: Any) -> int:
    """Channels whose place is no multiple of 4 are moved by multiplication with a table of ones."""
    tensors = main_graph(model).tensors
    joins = operator_name(model, operator) == "CONCATENATION"
    parts, whole = (operator.inputs, operator.outputs[0]) if joins else (operator.outputs, operator.inputs[-1])
    channels = [prod(shape_of(tensors[int(i)])[-1:]) for i in parts]
    along_channels = sum(channels) == prod(shape_of(tensors[int(whole)])[-1:])
    return _table_bytes(max(channels)) if along_channels and any(n % CHANNELS for n in channels[:-1]) else 0


def _table_bytes(channels: int) -> int:
    return channels_on_chip(channels) * up(channels, CHANNELS)
