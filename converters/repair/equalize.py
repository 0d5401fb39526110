"""Cross-layer equalisation: channels that share one scale get like ranges, and the float function stays what it was.

For a positive factor s and any operator f between two layers with f(s x) = s f(x), a channel may leave the first layer s times smaller
and enter the second with weights s times larger (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
arXiv:1906.04721, section 4.1). Two ways to choose s for channel i:

- ``activations``: s = sqrt(a / w), a the channel's largest activation, w its share of the reading layers' weights. Where weights have a
  scale a channel, what a wide channel spoils is the activations. The square root is that of SmoothQuant (arXiv:2211.10438, formula 4,
  alpha = 0.5). A depthwise layer has a scale for every channel, so that its weights do not limit s: s = a.
- ``weights``: s = sqrt(r1 r2) / r2, ranges of the writing and reading layers' weights, as in the paper; for weights with one scale a
  tensor. It is repeated until nothing moves.

RELU6 takes no factor. Where no channel reaches 6 it becomes RELU; where some do, they keep their scale, and the others are widened
to half of 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from converters.graph import (
    constant_of,
    main_graph,
    read_graph,
    schema,
    set_constant,
)
from converters.repair.channel_groups import CLIP, Group, Layer, find_groups, is_depthwise
from converters.repair.observe import Extremes
from converters.repair.rewiring import CannotRepairError, finish
from edge_sdk.tensors import Array

By = Literal["activations", "weights"]
_MOST = 2.0**20  # beyond it float32 itself loses digits
_NEAR, _ROUNDS = 1e-3, 30
_HEADROOM = 2.0


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
    groups, skipped = find_groups(model, extremes)
    if not groups:
        raise CannotRepairError(
            f"no layers can be equalised: {skipped} sets of tensors are read or made by what takes no factor"
        )
    spread = 1.0
    for _ in range(_ROUNDS):
        moved = 1.0
        for group in groups:
            scaling = _Scaling(group)
            factors = scaling.factors(by)
            scaling.apply(factors)
            spread = max(spread, float(factors.max() / factors.min()))
            moved = max(moved, float(np.maximum(factors, 1 / factors).max()))
        if moved < 1 + _NEAR:
            break
    if spread < 1 + _NEAR:
        raise CannotRepairError("all channels are equal already")
    return Equalized(finish(model), len(groups), skipped, spread)


@dataclass(frozen=True)
class _Scaling:
    """Finds and applies the factors of one group."""

    group: Group

    def factors(self, by: By) -> Array:
        """The factor of each channel, around 1."""
        reading = [
            self._share(operator, layer)
            for operator, layer in self.group.read
            if not is_depthwise(self.group.model, operator)
        ]
        if by == "activations":
            wanted = self.group.peak / np.maximum(np.max(reading, axis=0), 1e-12) if reading else self.group.peak**2
        else:
            reading = [self._range(operator, layer.weights, layer.in_axis) for operator, layer in self.group.read]
            writing = [self._range(operator, layer.weights, layer.out_axis) for operator, layer in self.group.written]
            wanted = np.max(writing, axis=0) / np.maximum(np.max(reading, axis=0), 1e-30)
        alive = (self.group.peak > 1e-9) & (wanted > 1e-24)
        if not alive.any():
            return np.ones_like(self.group.peak)
        factors = np.sqrt(np.where(alive, wanted, 1.0))
        full = self._clips()
        if full.any():
            return self._below_the_clip(factors, full, alive)
        middle = np.exp(np.log(factors[alive]).mean())
        return np.where(alive, np.clip(factors / middle, 1 / _MOST, _MOST), 1.0)

    def _clips(self) -> Array:
        """Channels that RELU6 clips: theirs must stay where it is."""
        return (
            np.asarray(self.group.peak >= CLIP * (1 - 1e-6))
            if self.group.clipped
            else np.zeros(self.group.peak.size, bool)
        )

    def _below_the_clip(self, factors: Array, full: Array, alive: Array) -> Array:
        """Factors that leave clipped channels alone and widen the others, to half of 6 at most: the other half is for what was not seen."""
        wanted = np.maximum(factors / np.median(factors[full & alive]), self.group.peak * _HEADROOM / CLIP)
        return np.where(alive & ~full, np.clip(wanted, 1 / _MOST, 1.0), 1.0)

    def apply(self, factors: Array) -> None:
        """Divide what is written, multiply what is read."""
        for operator, layer in self.group.written:
            self._scale(operator, layer.weights, layer.out_axis, 1 / factors)
            if layer.bias < len(operator.inputs) and operator.inputs[layer.bias] >= 0:
                self._scale(operator, layer.bias, 0, 1 / factors)
        for operator, layer in self.group.read:
            by_channel = factors
            if is_depthwise(self.group.model, operator):
                by_channel = np.repeat(factors, self._values(operator, layer.weights).shape[3] // factors.size)
            self._scale(operator, layer.weights, layer.in_axis, by_channel)
        if not self._clips().any():
            for operator in self.group.clipped:
                operator.builtinOptions.fusedActivationFunction = schema().ActivationFunctionType.RELU
            self.group.clipped.clear()
        self.group.peak = self.group.peak / factors

    def _values(self, operator: Any, place: int) -> Array:
        values = constant_of(self.group.model, main_graph(self.group.model).tensors[operator.inputs[place]])
        assert values is not None  # noqa: S101 - checked when the group was found
        return values

    def _range(self, operator: Any, place: int, axis: int) -> Array:
        """The largest weight of each of the group's channels; of a depthwise layer that has several of each, the largest of all."""
        values = np.abs(self._values(operator, place).astype(np.float64))
        ranges = values.max(axis=tuple(a for a in range(values.ndim) if a != axis))
        return np.asarray(ranges.reshape(self.group.peak.size, -1).max(axis=1))

    def _share(self, operator: Any, layer: Layer) -> Array:
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
        set_constant(self.group.model, main_graph(self.group.model).tensors[operator.inputs[place]], scaled)
