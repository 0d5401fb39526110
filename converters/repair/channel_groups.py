"""Groups of tensors that are tied channel by channel: what scales one of them scales all.

Layers write them and layers read them; between, there are only operators f with f(s x) = s f(x) for every positive s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.graph import constant_of, is_constant, main_graph, operator_name, shape_of, text
from converters.repair.observe import Extremes
from converters.repair.rewiring import has_activation, makers, readers
from edge_sdk.tensors import Array

CLIP = 6.0  # of RELU6
_SAME_CHANNELS = (
    "RELU",
    "LEAKY_RELU",
    "PRELU",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
)
"""f(s x) = s f(x) channel by channel, whatever their constants."""


@dataclass(frozen=True)
class Layer:
    """Where a layer has its input, weights, bias, and the axes of its output and input channels in the weights."""

    input: int
    weights: int
    bias: int
    out_axis: int
    in_axis: int


LAYERS = {
    "CONV_2D": Layer(0, 1, 2, 0, 3),
    "DEPTHWISE_CONV_2D": Layer(0, 1, 2, 3, 3),
    "FULLY_CONNECTED": Layer(0, 1, 2, 0, 1),
    "TRANSPOSE_CONV": Layer(2, 1, 3, 0, 3),
}


@dataclass
class Group:
    """Tensors that take one factor a channel.

    Attributes:
        model: the float graph.
        peak: the largest activation of each channel, float64.
        written, read: the layers that write and read them.
        clipped: the operators of those that have RELU6.
    """

    model: Any
    peak: Array
    written: list[tuple[Any, Layer]] = field(default_factory=list)
    read: list[tuple[Any, Layer]] = field(default_factory=list)
    clipped: list[Any] = field(default_factory=list)


def is_depthwise(model: Any, operator: Any) -> bool:
    """Whether the operator's weights have a scale for each input channel."""
    return operator_name(model, operator) == "DEPTHWISE_CONV_2D"


def find_groups(model: Any, extremes: Mapping[str, Extremes]) -> tuple[list[Group], int]:
    """The groups that take a factor, and how many others there are with a layer on both sides.

    Args:
        model: the float graph.
        extremes: of its activations along their last axis, by name.
    """
    finder = _Finder(model, extremes)
    for operator in main_graph(model).operators:
        finder.see(operator)
    return finder.groups()


class _Finder:
    """Ties tensors into groups (union-find) and notes what cannot be scaled."""

    def __init__(self, model: Any, extremes: Mapping[str, Extremes]) -> None:
        self._model, self._extremes = model, extremes
        self._graph = main_graph(model)
        self._readers, self._makers = readers(model), makers(model)
        self._parent = list(range(len(self._graph.tensors)))
        self._fixed = {int(i) for i in (*self._graph.inputs, *self._graph.outputs)}
        self._written: list[tuple[int, Any, Layer]] = []
        self._read: list[tuple[int, Any, Layer]] = []
        self._clipped: list[tuple[int, Any]] = []

    def see(self, operator: Any) -> None:
        name = operator_name(self._model, operator)
        output = int(operator.outputs[0])
        layer = LAYERS.get(name)
        if layer is not None and self._own_weights(operator, layer):
            self._see_layer(operator, layer, output)
        elif self._passes(name, operator) and has_activation(operator, "RELU"):
            for index in self._tied(name, operator):
                self._parent[self._root(index)] = self._root(output)
        else:
            self._fixed.update(int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0)

    def _see_layer(self, operator: Any, layer: Layer, output: int) -> None:
        entry = int(operator.inputs[layer.input])
        weights = shape_of(self._graph.tensors[operator.inputs[layer.weights]])
        channels = shape_of(self._graph.tensors[entry])[-1]
        if is_depthwise(self._model, operator) or weights[layer.in_axis] == channels:
            self._read.append((entry, operator, layer))
        else:  # grouped, or the input flattened on the way
            self._fixed.add(entry)
        self._written.append((output, operator, layer))
        if has_activation(operator, "RELU"):
            return
        if has_activation(operator, "RELU6"):
            self._clipped.append((output, operator))
        else:
            self._fixed.add(output)

    def groups(self) -> tuple[list[Group], int]:
        """The groups that take a factor, and how many others there are with a layer on both sides."""
        members: dict[int, list[int]] = {}
        for index in {place for place, *_ in (*self._written, *self._read)} | set(self._makers):
            members.setdefault(self._root(index), []).append(index)
        fixed = {self._root(index) for index in self._fixed}
        found, skipped = [], 0
        for root, tensors in members.items():
            written = [(o, layer) for place, o, layer in self._written if self._root(place) == root]
            read = [(o, layer) for place, o, layer in self._read if self._root(place) == root]
            if not written or not read:
                continue
            clipped = [operator for place, operator in self._clipped if self._root(place) == root]
            peak = self._peak(tensors)
            if root in fixed or peak is None or (clipped and peak.max() > CLIP * (1 + 1e-6)):
                skipped += 1
            else:
                found.append(Group(self._model, peak, written, read, clipped))
        return found, skipped

    def _peak(self, tensors: list[int]) -> Array | None:
        """The largest activation of each channel over the group's tensors, float64."""
        found = [self._extremes.get(text(self._graph.tensors[index].name)) for index in tensors]
        peaks = [extremes.magnitude.astype(np.float64) for extremes in found if extremes is not None]
        if len(peaks) < len(tensors) or len({peak.size for peak in peaks}) != 1:
            return None
        return np.asarray(np.max(peaks, axis=0))

    def _own_weights(self, operator: Any, layer: Layer) -> bool:
        """Whether weights and bias are constants that no other operator reads."""
        places = [layer.weights] + ([layer.bias] if layer.bias < len(operator.inputs) else [])
        indices = [int(operator.inputs[place]) for place in places]
        return all(
            index < 0 or (is_constant(self._model, self._graph.tensors[index]) and len(self._readers[index]) == 1)
            for index in indices
        )

    def _passes(self, name: str, operator: Any) -> bool:
        tensors = self._graph.tensors
        shapes = [shape_of(tensors[i]) for i in (*operator.inputs[:1], *operator.outputs)]
        if name in _SAME_CHANNELS:
            return True
        if name in ("ADD", "SUB", "MAXIMUM", "MINIMUM"):
            return len({shape_of(tensors[i]) for i in (*operator.inputs, *operator.outputs)}) == 1 and not any(
                is_constant(self._model, tensors[i]) for i in operator.inputs
            )
        if name in ("PAD", "RESHAPE"):
            return len({shape[-1:] for shape in shapes}) == 1
        if name == "MEAN":
            axes = constant_of(self._model, tensors[operator.inputs[1]])
            rank = len(shapes[0])
            return axes is not None and rank - 1 not in {int(a) % rank for a in np.atleast_1d(axes)}
        return False

    def _tied(self, name: str, operator: Any) -> list[int]:
        return [
            int(i) for i in (operator.inputs if name in ("ADD", "SUB", "MAXIMUM", "MINIMUM") else operator.inputs[:1])
        ]

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index
