"""Parameters on the Edge TPU: what a model's constants become there, which stay on the chip and which are sent at every inference.

The layout shows in any compiled model, where weights and biases stand as they stood in the original. An array of 64 x 64 multipliers
takes 64 output channels at a time, four inputs each: weights come in groups of 64 output channels (a layer of at most 64 is one group,
filled up to a multiple of 16), input channels filled up to a multiple of 4. A depthwise convolution is one of groups of 4 channels, whose
4 x 4 weights are zero off the diagonal. Each channel has its bias; with a scale a channel (int8) also its scale and its zero point.

The same layout was found independently by RingCanary/coral-usb-oxidized (docs/dense_layout_probe.md, docs/conv_layout_probe.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from converters.graph import is_constant, main_graph, operator_name, shape_of, type_name
from converters.targets.edgetpu.mapping import Mapped

CHIP_BYTES = 8 << 20  # coral.ai/docs/edgetpu/compiler: "roughly 8 MB of SRAM"
RESERVED_BYTES = 276 << 10  # compilers' logs of tiny models: 7.67 to 7.87 MiB are left of 8 (google-coral/edgetpu#463)
_GROUP, _FILL, _INPUTS = 64, 16, 4
_NUMBER = 4  # bytes of a bias, a scale, a zero point
_LINE = 64  # bytes; blocks start on a multiple
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_PAIRWISE = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "CONCATENATION")
_EXCHANGES = 8  # of an LSTM's input lanes: 4, there and back


@dataclass(frozen=True)
class Memory:
    """Bytes of what runs on the Edge TPU.

    Attributes:
        weights: constants as the .tflite has them.
        cached: parameters on the chip; streamed: sent at every inference.
        inputs, outputs: tensors sent to and from the device.
    """

    weights: int
    cached: int
    streamed: int
    inputs: int
    outputs: int


def memory_of(model: Any, mapped: list[Mapped]) -> Memory:
    """What the mapped operators take."""
    operators = [each.operator for each in mapped if each.maps]
    parameters = sum(parameter_bytes(model, operator) for operator in operators)
    cached = cached_bytes(model, operators, parameters)
    inputs, outputs = _ends(model, mapped)
    state = _state_bytes(model, operators)
    return Memory(
        weights=_raw(model, operators),
        cached=cached,
        streamed=parameters - cached + sum(constant_bytes(model, operator) for operator in operators),
        inputs=state + sum(up(prod(shape), 8) for shape in inputs),
        outputs=state + sum(up(prod(shape[:-1]) * up(prod(shape[-1:]), _INPUTS), 8) for shape in outputs),
    )


def cached_bytes(model: Any, operators: list[Any], parameters: int) -> int:
    """All of them where there is room beside the activations, else as many as there is room for.

    The compilers' logs of larger models leave less than 10 kB of the room free, so it is filled group by group and not layer by layer
    (google-coral/edgetpu#60, #427, #518).
    """
    room = max(CHIP_BYTES - max(RESERVED_BYTES, activation_bytes(model, operators)), 0)
    return min(parameters, room)


def parameter_bytes(model: Any, operator: Any) -> int:
    """What one operator's constants become."""
    name, tensors = operator_name(model, operator), main_graph(model).tensors
    if name in _WEIGHTED:
        return layer_bytes(name, tensors[operator.inputs[1]])
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return _lstm_bytes(model, operator)
    if name == "SOFTMAX":  # three sums over all channels: of the exponents, and two that bring them into range
        return 3 * _FILL * up(shape_of(tensors[operator.inputs[0]])[-1], _INPUTS)
    if name in ("CONCATENATION", "SPLIT", "SPLIT_V"):
        return _moving_bytes(model, operator)
    return 0


def constant_bytes(model: Any, operator: Any) -> int:
    """Constants that stand where activations do, as in the addition of a constant: they are sent like inputs."""
    name, tensors = operator_name(model, operator), main_graph(model).tensors
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":  # zeros, in which the outputs of all steps are gathered
        return up(prod(shape_of(tensors[operator.outputs[0]])), _LINE)
    if name not in _PAIRWISE:
        return 0
    return sum(
        up(_held(tensors[int(i)]), _LINE) for i in operator.inputs if i >= 0 and is_constant(model, tensors[int(i)])
    )


def layer_bytes(name: str, weights: Any) -> int:
    """A layer's weights with biases, and scales and zero points where it has a scale a channel.

    Args:
        name: of the operator.
        weights: (output channels, ..., input channels), of a DEPTHWISE_CONV_2D (1, height, width, channels).
    """
    shape = shape_of(weights)
    numbers = _NUMBER * (3 if _scale_a_channel(weights) else 1)
    if name == "DEPTHWISE_CONV_2D":
        return up(up(shape[-1], _INPUTS) * (_INPUTS * prod(shape[1:-1]) + numbers), _LINE)
    return channels_on_chip(shape[0]) * (prod(shape[1:-1]) * up(shape[-1], _INPUTS) + numbers)


def channels_on_chip(count: int) -> int:
    """Output channels with those that fill up."""
    return up(count, _FILL if count <= _GROUP else _GROUP)


def up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def activation_bytes(model: Any, operators: list[Any]) -> int:
    """The most that tensors in use take at once, channels filled up to a multiple of 4; an ADD writes over one of its inputs."""
    tensors = main_graph(model).tensors
    last: dict[int, int] = {}
    for place, operator in enumerate(operators):
        last |= {int(i): place for i in operator.inputs if i >= 0 and not is_constant(model, tensors[int(i)])}
    alive = {i: _held(tensors[i]) for i in _entries(model, operators)}
    most = sum(alive.values())
    for place, operator in enumerate(operators):
        if operator_name(model, operator) in (
            "ADD",
            "RESHAPE",
            "SQUEEZE",
            "QUANTIZE",
        ):  # in place, or only another view
            alive = {i: size for i, size in alive.items() if last.get(i, place) > place}
        alive |= {int(i): _held(tensors[int(i)]) for i in operator.outputs}
        most = max(most, sum(alive.values()))
        alive = {i: size for i, size in alive.items() if last.get(i, -1) > place}
    return most


def _held(tensor: Any) -> int:
    shape = shape_of(tensor)
    return prod(shape[:-1]) * up(prod(shape[-1:]), _INPUTS)


def _entries(model: Any, operators: list[Any]) -> list[int]:
    """Tensors that these operators take and none of them makes."""
    tensors = main_graph(model).tensors
    made = {int(i) for operator in operators for i in operator.outputs}
    taken = {int(i): None for operator in operators for i in operator.inputs if i >= 0}
    return [i for i in taken if i not in made and not is_constant(model, tensors[i]) and not tensors[i].isVariable]


def _lstm_bytes(model: Any, operator: Any) -> int:
    """Each of four gates is a layer over input and state together; tables of ones take each step's input out and put its output in."""
    tensors = main_graph(model).tensors
    features = shape_of(tensors[operator.inputs[0]])[-1]
    steps = prod(shape_of(tensors[operator.inputs[0]])[:-1])
    units = shape_of(tensors[operator.outputs[0]])[-1]
    gate = channels_on_chip(units) * (up(features, _INPUTS) + up(units, _INPUTS) + _NUMBER)
    return 4 * gate + _EXCHANGES * _table(features) + steps * _table(units)


def _moving_bytes(model: Any, operator: Any) -> int:
    """Channels whose place is no multiple of 4 are moved by multiplication with a table of ones."""
    tensors = main_graph(model).tensors
    joins = operator_name(model, operator) == "CONCATENATION"
    parts, whole = (operator.inputs, operator.outputs[0]) if joins else (operator.outputs, operator.inputs[-1])
    channels = [prod(shape_of(tensors[int(i)])[-1:]) for i in parts]
    along_channels = sum(channels) == prod(shape_of(tensors[int(whole)])[-1:])
    return _table(max(channels)) if along_channels and any(n % _INPUTS for n in channels[:-1]) else 0


def _table(channels: int) -> int:
    return channels_on_chip(channels) * up(channels, _INPUTS)


def _scale_a_channel(tensor: Any) -> bool:
    quantization = tensor.quantization
    return quantization is not None and quantization.scale is not None and len(quantization.scale) > 1


def _raw(model: Any, operators: list[Any]) -> int:
    tensors = main_graph(model).tensors
    constants = {int(i) for o in operators for i in o.inputs if i >= 0 and is_constant(model, tensors[int(i)])}
    return sum(len(model.buffers[b].data) for b in {tensors[i].buffer for i in constants})


def _ends(model: Any, mapped: list[Mapped]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Shapes of the tensors that go to the device and of those that come from it."""
    graph = main_graph(model)
    operators = [each.operator for each in mapped if each.maps]
    wanted = {int(i) for each in mapped if not each.maps for i in each.operator.inputs}
    wanted |= {int(i) for i in graph.outputs}
    made = [int(i) for operator in operators for i in operator.outputs]
    inputs = [shape_of(graph.tensors[i]) for i in _entries(model, operators)]
    return inputs, [shape_of(graph.tensors[i]) for i in made if i in wanted]


def _state_bytes(model: Any, operators: list[Any]) -> int:
    """What an LSTM keeps between two inferences goes there and back with each."""
    tensors = main_graph(model).tensors
    kept = {int(i) for operator in operators for i in operator.inputs if i >= 0 and tensors[int(i)].isVariable}
    bits = {i: 16 if type_name(tensors[i]) == "INT16" else 8 for i in kept}
    return sum(up(prod(shape_of(tensors[i])) * bits[i] // 8, 8) for i in kept)
