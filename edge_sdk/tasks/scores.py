"""From a model's raw scores to scores, and where a threshold lies among the stored numbers."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_sdk.errors import ConfigError
from edge_sdk.tensors import Array, TensorSpec

Activation = Literal["none", "sigmoid", "softmax"]
Floats = npt.NDArray[np.float32]


def activate(raw: Array, activation: Activation) -> Array:
    """Raw scores (floats) to scores of the same width; softmax is over the last axis. Neither overflows."""
    scores = raw
    if activation == "sigmoid":
        scores = np.exp(-np.logaddexp(raw.dtype.type(0), -raw))  # 1 / (1 + e^-x)
    elif activation == "softmax":
        powers = np.exp(raw - raw.max(axis=-1, keepdims=True))
        scores = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def descending(values: Array, count: int) -> npt.NDArray[np.intp]:
    """Places of the ``count`` largest of ``values`` (one axis), the largest first, of equal ones the lower place first, NaN last."""
    falling = -values if values.dtype.kind == "f" else ~values  # ~ is -1 - x, and does not overflow
    return np.argsort(falling, kind="stable")[:count]


class ScoreReader:
    """Reads single scores of a tensor, with ``none`` or ``sigmoid``: both rise with the stored number.

    A quantized number can only take 256 (int8) or 65,536 (int16) values, so their scores are a table, and a threshold is one
    stored number: candidates are found without dequantizing anything.

    Args:
        spec: the tensor of the scores.
        activation: ``"none"`` or ``"sigmoid"``.

    Raises:
        ConfigError: if the tensor is quantized to more than 16 bits.
    """

    def __init__(self, spec: TensorSpec, activation: Activation) -> None:
        self._activation = activation
        self._table: Floats | None = None
        if not spec.quantized:
            return
        limits = np.iinfo(spec.dtype)
        if limits.bits > 16:
            found = f"[task] scores {spec.name!r} are {spec.dtype}"
            raise ConfigError(f"{found}; int8, uint8, int16, uint16 and float32 can be read. Convert the model again")
        self._first = int(limits.min)
        real = spec.dequantize(np.arange(limits.min, limits.max + 1))
        self._table = activate(real.astype(np.float64), activation).astype(np.float32)  # float64 so that it never falls

    def __call__(self, stored: Array) -> Floats:
        """Scores of these stored numbers."""
        if self._table is None:
            return activate(stored.astype(np.float32, copy=False), self._activation)
        return self._table[stored.astype(np.intp) - self._first]

    def lowest(self, threshold: float) -> float:
        """The smallest stored number with a score of at least ``threshold``; beyond the dtype where there is none."""
        if self._table is not None:
            return self._first + int(np.searchsorted(self._table, np.float32(threshold)))
        return threshold if self._activation == "none" else math.log(threshold / (1 - threshold))


def names_of(count: int, labels: tuple[str, ...], background: int | None = None) -> tuple[str, ...]:
    """The name of each of ``count`` classes: its label, or ``class 3`` where there are no labels.

    Where one class means background, the labels may leave it out.

    Raises:
        ConfigError: if the labels are of another number.
    """
    if not labels:
        return tuple(f"class {i}" for i in range(count))
    if background is not None and len(labels) == count - 1:
        return (*labels[:background], "background", *labels[background:])
    if len(labels) != count:
        raise ConfigError(
            f"there are {len(labels)} labels, and the model has {count} classes; give one a class, in order"
        )
    return labels
