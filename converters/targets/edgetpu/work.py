"""What an inference does, operator by operator, as far as it costs time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from converters.graph import is_constant, main_graph, operator_name, shape_of
from converters.targets.edgetpu.mapping import Mapped

Kind = Literal["conv", "depthwise", "dense", "other"]
_KINDS: dict[str, Kind] = {
    "CONV_2D": "conv",
    "TRANSPOSE_CONV": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "dense",
}


@dataclass(frozen=True)
class Work:
    """One operator.

    Attributes:
        kind: how it multiplies.
        mapped: whether it runs on the Edge TPU.
        macs: multiply-accumulate operations.
        taken, made: elements of its activations.
    """

    kind: Kind
    mapped: bool
    macs: int
    taken: int
    made: int


def works_of(model: Any, mapped: Iterable[tuple[Mapped, int]]) -> list[Work]:
    """The work of each operator, given with its multiply-accumulate operations."""
    tensors = main_graph(model).tensors
    works = []
    for each, macs in mapped:
        operator = each.operator
        inputs = [tensors[int(i)] for i in operator.inputs if i >= 0]
        taken = sum(prod(shape_of(t)) for t in inputs if not is_constant(model, t))
        made = sum(prod(shape_of(tensors[int(i)])) for i in operator.outputs)
        works.append(Work(_KINDS.get(operator_name(model, operator), "other"), each.maps, macs, taken, made))
    return works
