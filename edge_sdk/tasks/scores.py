"""From a model's raw scores to scores, and where a threshold lies among the stored numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_sdk.errors import ConfigError
from edge_sdk.tensors import Array, TensorSpec

Activation = Literal["none", "sigmoid", "softmax"]
Floats = npt.NDArray[np.float32]


def activate(raw: Floats, activation: Activation) -> Floats:
    """Raw scores to scores; softmax is over the last axis. Neither overflows."""
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(np.float32(0), -raw))  # 1 / (1 + e^-x)
    if activation == "softmax":
        powers = np.exp(raw - raw.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]
    return raw


class ScoreReader:
    """Reads single scores of a tensor, with ``none`` or ``sigmoid``: both rise with the stored number.

    A quantized number can only take 256 (int8) or 65,536 (int16) values, so their scores are a table, and a threshold is one
    stored number: candidates are found without dequantizing anything.

    Args:
        spec: the tensor of the scores.
        activation: ``"none"`` or ``"sigmoid"``.
        threshold: the lowest score of interest.

    Attributes:
        lowest: the smallest stored number with a score of at least ``threshold``; beyond the dtype where there is none.
    """

    def __init__(self, spec: TensorSpec, activation: Activation, threshold: float) -> None:
        self._activation = activation
        self._table: Floats | None = None
        self._first = 0
        if not spec.quantized:
            self.lowest: float = threshold if activation == "none" else float(np.log(threshold / (1 - threshold)))
            return
        limits = np.iinfo(spec.dtype)
        if limits.bits > 16:
            raise ConfigError(
                f"[task] scores {spec.name!r} are {spec.dtype}; int8, uint8, int16 and float32 can be read"
            )
        self._first = int(limits.min)
        self._table = activate(spec.dequantize(np.arange(limits.min, limits.max + 1)), activation)
        self.lowest = self._first + int(np.searchsorted(self._table, np.float32(threshold)))

    def __call__(self, stored: Array) -> Floats:
        """Scores of these stored numbers."""
        if self._table is None:
            return activate(stored.astype(np.float32, copy=False), self._activation)
        return self._table[stored.astype(np.intp) - self._first]


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
            f"there are {len(labels)} labels, and the model has {count} classes; give one label a class, in order"
        )
    return labels
