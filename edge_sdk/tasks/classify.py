"""Classification: the best of one score a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task
from edge_sdk.tasks.scores import Floats, ScoreReader, activate, names_of
from edge_sdk.tasks.settings import ClassifySettings
from edge_sdk.tensors import Array, TensorSpec


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: its place in the model's output, its label (``class 3`` where the bundle has none) and its score."""

    index: int
    label: str
    score: float


class Classify(Task):
    """Gives the best classes, the best first; of equal ones the lower index first.

    Quantized outputs are ranked as stored and only what is reported is dequantized, except for softmax, which needs the sum.

    Args:
        settings: how many, from which score on.
        outputs: the variant's output tensors: one, of shape (1, ..., classes).
        labels: one a class, in order, or none at all.

    Raises:
        ConfigError: if the output or the labels do not fit.
    """

    def __init__(self, settings: ClassifySettings, outputs: tuple[TensorSpec, ...], labels: tuple[str, ...]) -> None:
        if len(outputs) != 1:
            found = ", ".join(f"{o.name!r} {o.shape}" for o in outputs)
            raise ConfigError(
                f"[task] kind = classify takes a model with one output; this one has {found}. Use kind = raw"
            )
        self._spec = outputs[0]
        shape = self._spec.shape
        classes = math.prod(shape)
        if classes == 0 or classes != shape[-1]:
            raise ConfigError(
                f"[task] kind = classify takes one score a class, shape (1, classes); output {self._spec.name!r} has {shape}. "
                "Use kind = raw"
            )
        self._settings = settings
        self._labels = names_of(classes, labels)
        self._last = classes - 1
        self._read = None if settings.activation == "softmax" else ScoreReader(self._spec, settings.activation, 0.5)

    def decode(self, outputs: Sequence[Array], placement: Placement | None) -> tuple[ClassScore, ...]:
        """The best classes with at least the threshold's score; ``placement`` is of no use here."""
        stored = outputs[0].reshape(-1)
        # A stable sort of the reversed scores, read backwards: descending, and equal ones in the order of their index.
        ranks = np.argsort(stored[::-1], kind="stable")[: -self._settings.top_k - 1 : -1]
        best = self._last - ranks
        scores = self._scores(stored, best)
        return tuple(
            [
                ClassScore(index, self._labels[index], score)
                for index, score in zip(best.tolist(), scores.tolist(), strict=True)
                if score >= self._settings.threshold
            ]
        )

    def _scores(self, stored: Array, best: Array) -> Floats:
        if self._read is not None:
            return self._read(stored[best])
        return activate(self._spec.dequantize(stored), "softmax")[best]
