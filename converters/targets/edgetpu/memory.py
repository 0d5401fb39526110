"""What a model takes of the chip: which parameters stay there, which are sent at every inference, and what goes there and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from converters.graph import is_constant, main_graph, operator_name, shape_of, type_name
from converters.targets.edgetpu.layout import Block, held_bytes, parameters_of, streamed_constants, up
from converters.targets.edgetpu.mapping import Mapped

CHIP_BYTES = 8 << 20  # coral.ai/docs/edgetpu/compiler: "roughly 8 MB of SRAM"
RESERVED_BYTES = 276 << 10  # logs of tiny models leave 7.67 to 7.87 MiB of 8 (google-coral/edgetpu#463)
# Of the largest activations, what is really held: the compiler works in bands. The one number that is fitted, to the "narrow memory" of
# two models (0.777 and 0.769); docs/edgetpu.md leaves each out.
ACTIVATION_SHARE = 0.774
_TRANSFER = 8  # bytes; tensors are sent in multiples
_IN_PLACE = (
    "ADD",
    "RESHAPE",
    "SQUEEZE",
    "EXPAND_DIMS",
    "QUANTIZE",
)  # written over an input, or only another view of it


@dataclass(frozen=True)
class Memory:
    """Bytes of what runs on the Edge TPU.

    Attributes:
        weights: constants as the .tflite has them.
        cached: parameters on the chip; streamed: sent at every inference.
        inputs, outputs: tensors sent to and from the device at every inference.
    """

    weights: int
    cached: int
    streamed: int
    inputs: int
    outputs: int


def memory_of(model: Any, mapped: list[Mapped]) -> Memory:
    """What the mapped operators take."""
    graph = main_graph(model)
    operators = [each.operator for each in mapped if each.maps]
    blocks = [parameters_of(model, operator) for operator in operators]
    cached = cached_bytes(blocks, room_bytes(activation_bytes(model, operators)))
    wanted = {int(i) for each in mapped if not each.maps for i in each.operator.inputs} | set(map(int, graph.outputs))
    made = [int(i) for operator in operators for i in operator.outputs if int(i) in wanted]
    state = _state_bytes(model, operators)
    return Memory(
        weights=_raw_bytes(model, operators),
        cached=cached,
        streamed=sum(block.bytes for block in blocks) - cached + sum(streamed_constants(model, o) for o in operators),
        inputs=state + sum(up(prod(shape_of(graph.tensors[i])), _TRANSFER) for i in _entries(model, operators)),
        outputs=state + sum(up(held_bytes(graph.tensors[i]), _TRANSFER) for i in made),
    )


def room_bytes(activations: int) -> int:
    """What is left for parameters."""
    return max(CHIP_BYTES - RESERVED_BYTES - round(ACTIVATION_SHARE * activations), 0)


def cached_bytes(blocks: Iterable[Block], room: int) -> int:
    """In the order of execution, each piece that still finds room.

    So the compiler's logs read: of larger models they leave a few kilobytes of the room free (google-coral/edgetpu#60, #427, #518), but
    much where a single layer is larger than what is left (#572).
    """
    cached = 0
    for block in blocks:
        if block.piece_bytes:
            cached += min(block.pieces, max(room - cached, 0) // block.piece_bytes) * block.piece_bytes
    return cached


def activation_bytes(model: Any, operators: list[Any]) -> int:
    """The most that tensors in use take at once."""
    tensors = main_graph(model).tensors
    last: dict[int, int] = {}
    for place, operator in enumerate(operators):
        last |= {int(i): place for i in operator.inputs if i >= 0 and not is_constant(model, tensors[int(i)])}
    alive = {i: held_bytes(tensors[i]) for i in _entries(model, operators)}
    now = most = sum(alive.values())
    for place, operator in enumerate(operators):
        made = {int(i): held_bytes(tensors[int(i)]) for i in operator.outputs}
        done = [i for i in map(int, operator.inputs) if last.get(i) == place and i in alive]
        gone = sum(alive.pop(i) for i in dict.fromkeys(done))
        alive |= made
        now += sum(made.values()) - gone
        most = max(most, now if operator_name(model, operator) in _IN_PLACE else now + gone)
        now -= sum(alive.pop(i) for i in made if i not in last)
    return most


def _entries(model: Any, operators: list[Any]) -> list[int]:
    """Tensors that these operators take and none of them makes."""
    tensors = main_graph(model).tensors
    made = {int(i) for operator in operators for i in operator.outputs}
    taken = dict.fromkeys(int(i) for operator in operators for i in operator.inputs if i >= 0)
    return [i for i in taken if i not in made and not is_constant(model, tensors[i]) and not tensors[i].isVariable]


def _state_bytes(model: Any, operators: list[Any]) -> int:
    """What an LSTM keeps between two inferences goes there and back with each."""
    tensors = main_graph(model).tensors
    kept = {int(i) for operator in operators for i in operator.inputs if i >= 0 and tensors[int(i)].isVariable}
    width = {i: 2 if type_name(tensors[i]) == "INT16" else 1 for i in kept}
    return sum(up(prod(shape_of(tensors[i])) * width[i], _TRANSFER) for i in kept)


def _raw_bytes(model: Any, operators: list[Any]) -> int:
    tensors = main_graph(model).tensors
    constants = {int(i) for o in operators for i in o.inputs if i >= 0 and is_constant(model, tensors[int(i)])}
    return sum(len(model.buffers[b].data) for b in {tensors[i].buffer for i in constants})
