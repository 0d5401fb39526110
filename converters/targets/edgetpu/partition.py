"""Which runs of operators the compiler could make, and the one that it makes.

It divides a model as TensorFlow Lite divides one for a delegate (``PartitionGraphIntoIndependentNodeSubsets`` in
tensorflow/lite/graph_info.cc): first everything of the first operator's kind that needs nothing of the other kind, then everything of
the other kind that needs nothing beyond that, and so on by turns. Of the runs for the Edge TPU it takes the first ("More than one
subgraph is not supported").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """An operator: which tensors it takes and makes, and whether the Edge TPU could run it."""

    takes: frozenset[int]
    makes: frozenset[int]
    supported: bool


def partitions(nodes: Sequence[Node]) -> list[list[int]]:
    """The runs for the Edge TPU, each the places of its nodes in the order of execution; the first is what will be mapped."""
    turn_of: dict[int, int] = {}  # of each tensor: the turn that makes it
    runs: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        turn = _next_turn((turn_of.get(tensor, 0) for tensor in node.takes), node.supported == nodes[0].supported)
        turn_of.update(dict.fromkeys(node.makes, turn))
        if node.supported:
            runs.setdefault(turn, []).append(place)
    return [runs[turn] for turn in sorted(runs)]


def _next_turn(before: Iterable[int], is_first_kind: bool) -> int:
    """The first turn of the node's kind that is not before those of its inputs: the first kind has the even turns."""
    latest = max(before, default=0)
    return latest if (latest % 2 == 0) == is_first_kind else latest + 1
