"""Cross-layer equalisation: channels that share one scale get like ranges, and the float function stays what it was.

For a positive factor s and any operator f between two layers with f(s x) = s f(x), a channel may leave the first layer s times smaller
and enter the second with weights s times larger (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
arXiv:1906.04721, section 4.1). Two ways to choose s for channel i:

- ``activations``: s = sqrt(a / w), a the channel's largest activation, w its share of the reading layers' weights. Where weights have a
  scale a channel, what a wide channel spoils is the activations. The square root is that of SmoothQuant (arXiv:2211.10438, formula 4,
  alpha = 0.5). A depthwise layer has a scale for every channel, so that its weights do not limit s: s = a.
- ``weights``: s = sqrt(r1 r2) / r2, ranges of the writing and reading layers' weights, as in the paper; for weights with one scale a
  tensor. It is repeated until nothing moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from converters.graph import (
    constant_of,
    is_constant,
    main_graph,
    operator_name,
    read_graph,
    schema,
    set_constant,
    shape_of,
    text,
)
from converters.repair.observe import Extremes
from converters.repair.rewiring import CannotRepairError, finish, has_activation, makers, readers
from edge_sdk.tensors import Array

By = Literal["activations", "weights"]
_MOST = 2.0**20  # beyond it float32 itself loses digits
_NEAR, _ROUNDS = 1e-3, 30
_CLIP = 6.0
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
class _Layer:
    """Where a layer has its input, weights, bias, and the axes of its output and input channels in the weights."""

    input: int
    weights: int
    bias: int
    out_axis: int
    in_axis: int


_LAYERS = {
    "CONV_2D": _Layer(0, 1, 2, 0, 3),
    "DEPTHWISE_CONV_2D": _Layer(0, 1, 2, 3, 3),
    "FULLY_CONNECTED": _Layer(0, 1, 2, 0, 1),
    "TRANSPOSE_CONV": _Layer(2, 1, 3, 0, 3),
}


@dataclass(frozen=True)
class Equalized:
    """What became of the float model.

    Attributes:
        content: the model, its function the same.
        groups: how many sets of tensors were equalised.
        skipped: how many could not be: what reads or makes them takes no factor.
        spread: the largest ratio of a channel's factor to the smallest of its group.
    """

    content: bytes
    groups: int
    skipped: int
    spread: float


def equalize(content: bytes, extremes: Mapping[str, Extremes], by: By = "activations") -> Equalized:
    """Equalise every group of tensors that allows it.

    Args:
        content: the float model.
        extremes: of its activations along their last axis, by name.
        by: what is made alike.

    Raises:
        CannotRepairError: if no group allows it, or all are equal already.
    """
    model = read_graph(content)
    groups, skipped = _find_groups(model, extremes)
    if not groups:
        raise CannotRepairError(
            f"no layers can be equalised: {skipped} sets of tensors are read or made by what takes no factor"
        )
    spread = 1.0
    for _ in range(_ROUNDS):
        moved = 1.0
        for group in groups:
            factors = group.factors(by)
            group.apply(factors)
            spread = max(spread, float(factors.max() / factors.min()))
            moved = max(moved, float(np.maximum(factors, 1 / factors).max()))
        if moved < 1 + _NEAR:
            break
    if spread < 1 + _NEAR:
        raise CannotRepairError("all channels are equal already")
    return Equalized(finish(model), len(groups), skipped, spread)


@dataclass
class _Group:
    """Tensors tied to each other channel by channel: layers write them, layers read them, and all take one factor a channel."""

    model: Any
    peak: Array  # the largest activation of each channel
    written: list[tuple[Any, _Layer]] = field(default_factory=list)
    read: list[tuple[Any, _Layer]] = field(default_factory=list)
    clipped: list[Any] = field(default_factory=list)  # operators with RELU6

    def factors(self, by: By) -> Array:
        """The factor of each channel, around 1."""
        reading = [
            self._share(operator, layer) for operator, layer in self.read if not _depthwise(self.model, operator)
        ]
        if by == "activations":
            wanted = self.peak / np.maximum(np.max(reading, axis=0), 1e-12) if reading else self.peak**2
        else:
            reading = [self._range(operator, layer.weights, layer.in_axis) for operator, layer in self.read]
            writing = [self._range(operator, layer.weights, layer.out_axis) for operator, layer in self.written]
            wanted = np.max(writing, axis=0) / np.maximum(np.max(reading, axis=0), 1e-30)
        alive = (self.peak > 1e-9) & (wanted > 1e-24)
        if not alive.any():
            return np.ones_like(self.peak)
        factors = np.sqrt(np.where(alive, wanted, 1.0))
        middle = np.exp(np.log(factors[alive]).mean())
        return np.where(alive, np.clip(factors / middle, 1 / _MOST, _MOST), 1.0)

    def apply(self, factors: Array) -> None:
        """Divide what is written, multiply what is read."""
        for operator, layer in self.written:
            self._scale(operator, layer.weights, layer.out_axis, 1 / factors)
            if layer.bias < len(operator.inputs) and operator.inputs[layer.bias] >= 0:
                self._scale(operator, layer.bias, 0, 1 / factors)
        for operator, layer in self.read:
            by_channel = factors
            if _depthwise(self.model, operator):
                by_channel = np.repeat(factors, self._values(operator, layer.weights).shape[3] // factors.size)
            self._scale(operator, layer.weights, layer.in_axis, by_channel)
        for operator in self.clipped:
            operator.builtinOptions.fusedActivationFunction = schema().ActivationFunctionType.RELU
        self.peak = self.peak / factors

    def _values(self, operator: Any, place: int) -> Array:
        values = constant_of(self.model, main_graph(self.model).tensors[operator.inputs[place]])
        assert values is not None  # noqa: S101 - checked when the group was found
        return values

    def _range(self, operator: Any, place: int, axis: int) -> Array:
        """The largest weight of each of the group's channels; of a depthwise layer that has several of each, the largest of all."""
        values = np.abs(self._values(operator, place).astype(np.float64))
        ranges = values.max(axis=tuple(a for a in range(values.ndim) if a != axis))
        return np.asarray(ranges.reshape(self.peak.size, -1).max(axis=1))

    def _share(self, operator: Any, layer: _Layer) -> Array:
        """Of each input channel, its largest weight relative to the largest that shares its scale."""
        values = np.abs(self._values(operator, layer.weights).astype(np.float64))
        values = np.moveaxis(values, (layer.out_axis, layer.in_axis), (0, 1)).reshape(
            values.shape[layer.out_axis], values.shape[layer.in_axis], -1
        )
        rows = values.max(axis=2)
        return np.asarray((rows / np.maximum(rows.max(axis=1, keepdims=True), 1e-30)).max(axis=0))

    def _scale(self, operator: Any, place: int, axis: int, factors: Array) -> None:
        values = self._values(operator, place)
        shape = np.ones(values.ndim, int)
        shape[axis] = factors.size
        scaled = (values.astype(np.float64) * factors.reshape(shape)).astype(np.float32)
        set_constant(self.model, main_graph(self.model).tensors[operator.inputs[place]], scaled)


def _depthwise(model: Any, operator: Any) -> bool:
    return operator_name(model, operator) == "DEPTHWISE_CONV_2D"


def _find_groups(model: Any, extremes: Mapping[str, Extremes]) -> tuple[list[_Group], int]:
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
        self._written: list[tuple[int, Any, _Layer]] = []
        self._read: list[tuple[int, Any, _Layer]] = []
        self._clipped: list[tuple[int, Any]] = []

    def see(self, operator: Any) -> None:
        name = operator_name(self._model, operator)
        output = int(operator.outputs[0])
        layer = _LAYERS.get(name)
        if layer is not None and self._own_weights(operator, layer):
            self._see_layer(operator, layer, output)
        elif self._passes(name, operator) and has_activation(operator, "RELU"):
            for index in self._tied(name, operator):
                self._parent[self._root(index)] = self._root(output)
        else:
            self._fixed.update(int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0)

    def _see_layer(self, operator: Any, layer: _Layer, output: int) -> None:
        entry = int(operator.inputs[layer.input])
        weights = shape_of(self._graph.tensors[operator.inputs[layer.weights]])
        channels = shape_of(self._graph.tensors[entry])[-1]
        if _depthwise(self._model, operator) or weights[layer.in_axis] == channels:
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

    def groups(self) -> tuple[list[_Group], int]:
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
            if root in fixed or peak is None or (clipped and peak.max() >= _CLIP * (1 - 1e-6)):
                skipped += 1
            else:
                found.append(_Group(self._model, peak, written, read, clipped))
        return found, skipped

    def _peak(self, tensors: list[int]) -> Array | None:
        """The largest activation of each channel over the group's tensors, float64."""
        found = [self._extremes.get(text(self._graph.tensors[index].name)) for index in tensors]
        peaks = [extremes.magnitude.astype(np.float64) for extremes in found if extremes is not None]
        if len(peaks) < len(tensors) or len({peak.size for peak in peaks}) != 1:
            return None
        return np.asarray(np.max(peaks, axis=0))

    def _own_weights(self, operator: Any, layer: _Layer) -> bool:
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
