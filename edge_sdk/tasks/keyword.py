"""Keyword spotting: scores that come several times a second become one report for each time a word was said.

Smoothing, threshold and refractory time as in TensorFlow's RecognizeCommands (``examples/speech_commands/recognize_commands.cc``,
``average_window_ms``, ``detection_threshold``, ``suppression_ms``) and, over a count of results, as microWakeWord models are trained
for (``sliding_window_size``, ``probability_cutoff``). Time is that of capture: dropped and skipped windows do not stretch it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task, output_of
from edge_sdk.tasks.scores import ScoreReader, activate, names_of
from edge_sdk.tasks.settings import KeywordSettings
from edge_sdk.tensors import Array, TensorSpec

_MOST_RESULTS = 10_000  # remembered: a source gone wild must not fill the memory
_SILENCE_NS = 1_000_000_000  # after so long without any result a score that is still high is a new word
_NEVER_NS = -(1 << 62)
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Keyword:
    """A word that was said: its place in the model's output, its label and its smoothed score."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Spotting:
    """What was heard up to one window.

    Attributes:
        keyword: the word, in the one result that reports it; else None.
        scores: the smoothed score of every class by its label, background and all.
    """

    keyword: Keyword | None
    scores: dict[str, float]

    def __str__(self) -> str:
        if self.keyword is not None:
            return f"heard {self.keyword.label!r} {self.keyword.score:.2f}"
        label = max(self.scores, key=self.scores.__getitem__)
        return f"listening ({label} {self.scores[label]:.2f})"


class FindKeyword(Task):
    """Gives a ``Spotting``: reports the best class when its smoothed score comes to the threshold.

    A word is reported once: again only after the refractory time, and only if its score fell below the threshold in between or no result
    came for a second and for the refractory time.

    Args:
        settings: smoothing, threshold and times.
        outputs: the variant's output tensors.
        labels: one a class, in order, or none at all; of a single score one, the word.

    Raises:
        ConfigError: if the output, the labels or the background do not fit.
    """

    def __init__(self, settings: KeywordSettings, outputs: tuple[TensorSpec, ...], labels: tuple[str, ...]) -> None:
        self._at = output_of(outputs, settings.output, "output", "keyword")
        self._spec = outputs[self._at]
        classes = math.prod(self._spec.shape)
        if classes == 0 or classes != self._spec.shape[-1]:
            found = f"output {self._spec.name!r} has shape {self._spec.shape}"
            raise ConfigError(f"[task] kind = keyword takes one score a class, (1, classes), or a single one; {found}")
        if settings.activation == "softmax" and classes == 1:
            raise ConfigError(
                f"[task] activation = softmax of one score is always 1; output {self._spec.name!r} has one"
            )
        self._labels = names_of(classes, labels)
        if len(set(self._labels)) < classes:
            raise ConfigError(f"[task] kind = keyword takes labels that differ; found {', '.join(self._labels[:20])}")
        self._background = _indices(settings.background, self._labels)
        if len(self._background) == classes:
            raise ConfigError("[task] background names every class, so nothing could ever be reported")
        self._read = None if settings.activation == "softmax" else ScoreReader(self._spec, settings.activation)
        self._settings = settings
        self._threshold = float(np.float32(settings.threshold))  # as wide as the scores: 0.7 reaches 0.7
        self._refractory_ns = round(settings.refractory_ms * 1e6)
        self.reset()

    def decode(
        self,
        outputs: Sequence[Array],
        placement: Placement | None,
        captured_ns: int = 0,
        input_: Array | None = None,
    ) -> Spotting:
        """What was heard up to this window; ``placement`` and ``input_`` are of no use here."""
        if captured_ns < self._seen_ns:
            self.reset()  # time ran backwards: nothing of before can be compared
        smoothed = self._smooth(self._scores(outputs[self._at].reshape(-1)), captured_ns)
        found = self._found(smoothed, captured_ns)
        return Spotting(found, dict(zip(self._labels, smoothed.tolist(), strict=True)))

    def reset(self) -> None:
        """See the base class."""
        self._last: deque[tuple[int, Scores]] = deque(maxlen=self._settings.smoothing_results or _MOST_RESULTS)
        self._above: int | None = None  # the class that reached the threshold in the last result
        self._seen_ns = self._ready_ns = _NEVER_NS  # when there was a result; from when on a word may be reported

    def follow(self, before: Task) -> None:
        """See the base class."""
        other = before.core
        if isinstance(other, FindKeyword):
            self._last = deque(other._last, maxlen=self._last.maxlen)
            self._above, self._seen_ns, self._ready_ns = other._above, other._seen_ns, other._ready_ns

    def _scores(self, stored: Array) -> Scores:
        real = self._read(stored) if self._read is not None else activate(self._spec.dequantize(stored), "softmax")
        return real.astype(np.float64)

    def _smooth(self, scores: Scores, captured_ns: int) -> Scores:
        """The mean over time or over a count, all 0 while there is too little of it."""
        settings = self._settings
        if settings.smoothing_ms is None and settings.smoothing_results is None:
            return scores
        self._last.append((captured_ns, scores))
        if settings.smoothing_ms is not None:
            oldest_ns = captured_ns - round(settings.smoothing_ms * 1e6)
            while self._last[0][0] <= oldest_ns:
                self._last.popleft()
            if len(self._last) < settings.least_results:
                return np.zeros_like(scores)
        count = settings.smoothing_results or len(self._last)
        total: Scores = np.sum([each for _, each in self._last], axis=0)
        return total / count

    def _found(self, smoothed: Scores, captured_ns: int) -> Keyword | None:
        best = int(np.argmax(smoothed))
        reached = best not in self._background and bool(smoothed[best] >= self._threshold)
        new = best != self._above or captured_ns - self._seen_ns > max(self._refractory_ns, _SILENCE_NS)
        self._above = best if reached else None
        self._seen_ns = captured_ns
        if not (reached and new and captured_ns >= self._ready_ns):
            return None
        self._ready_ns = captured_ns + self._refractory_ns
        return Keyword(best, self._labels[best], float(smoothed[best]))


def _indices(background: Sequence[int | str], labels: tuple[str, ...]) -> frozenset[int]:
    """Places of the background's classes.

    Raises:
        ConfigError: if one is none of the model's.
    """
    places = set()
    for named in background:
        if isinstance(named, str) and named in labels:
            places.add(labels.index(named))
        elif isinstance(named, int) and 0 <= named < len(labels):
            places.add(named)
        else:
            known = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
            raise ConfigError(f"[task] background names {named!r}; the classes are 0 to {len(labels) - 1}: {known}")
    return frozenset(places)
