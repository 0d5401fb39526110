"""Classification: the best of one score a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task
from edge_sdk.tasks.scores import ScoreReader, activate, descending, names_of
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

    Quantized outputs are ranked as stored, and only what is reported is dequantized; softmax alone needs all of them.

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
            found = f"output {self._spec.name!r} has shape {shape}"
            raise ConfigError(f"[task] kind = classify takes one score a class, (1, classes); {found}. Use kind = raw")
        self._top_k = settings.top_k
        with np.errstate(over="ignore"):  # above every float32 is infinity
            self._threshold = np.float32(settings.threshold)  # as wide as the scores: 0.7 reaches 0.7
        self._labels = names_of(classes, labels)
        self._read = None if settings.activation == "softmax" else ScoreReader(self._spec, settings.activation)

    def decode(
        self, outputs: Sequence[Array], placement: Placement | None, captured_ns: int = 0, input_: Array | None = None
    ) -> tuple[ClassScore, ...]:
        """The best classes with at least the threshold's score; ``placement`` is of no use here."""
        stored = outputs[0].reshape(-1)
        best = descending(stored, self._top_k)
        scores = self._scores(stored, best)
        above = scores >= self._threshold
        pairs = zip(best[above].tolist(), scores[above].tolist(), strict=True)
        return tuple([ClassScore(index, self._labels[index], score) for index, score in pairs])

    def _scores(self, stored: Array, best: Array) -> Array:
        if self._read is not None:
            return self._read(stored[best])
        return activate(self._spec.dequantize(stored), "softmax")[best]
