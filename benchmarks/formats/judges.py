"""What a model's outputs are worth, sample by sample: how well they agree with the float model's, and with the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.formats.intervals import Scores
from converters.verify.overlap import match_boxes
from edge_sdk.tensors import Array


@dataclass(frozen=True)
class Seen:
    """What a model gave for one sample: its input tensor and its outputs by name, as real numbers, and the task's value."""

    given: Array
    outputs: Mapping[str, Array]
    value: Any


class Judge(ABC):
    """Compares outputs.

    Attributes:
        agreement: what a full agreement with float is called.
        metric: the figure against the truth, or "" where there is none; both are 0 to 1, and higher is better.
    """

    agreement: str
    metric: str = ""

    @abstractmethod
    def agree(self, before: Seen, after: Seen) -> float:
        """How well ``after`` agrees with the float model's ``before``: 0 to 1."""

    def scores(self, seen: Sequence[Seen], truth: Sequence[Any]) -> Scores:
        """Against the truth, one row a sample."""
        return np.array([self.right(one, answer) for one, answer in zip(seen, truth, strict=True)], np.float64)

    def right(self, seen: Seen, answer: Any) -> float:
        """How right one sample is: 0 to 1."""
        raise NotImplementedError

    def figure(self, scores: Scores) -> float:
        """The metric of these samples."""
        return float(scores.mean())


class Classes(Judge):
    """Classification: the best class."""

    agreement, metric = "same best class", "top-1"

    def agree(self, before: Seen, after: Seen) -> float:
        """Whether the best class is the same."""
        return float(_best(before) == _best(after))

    def right(self, seen: Seen, answer: int) -> float:
        """Whether the best class is the right one."""
        return float(_best(seen) == answer)


class Boxes(Judge):
    """Detection: the F1 score of the boxes against float's (same label, IoU at least 0.5)."""

    agreement = "F1 of boxes"

    def agree(self, before: Seen, after: Seen) -> float:
        """F1 of the boxes."""
        count = len(before.value) + len(after.value)
        return 2 * len(match_boxes(before.value, after.value)) / count if count else 1.0


@dataclass(frozen=True)
class Mask(Judge):
    """Segmentation: intersection over union of what lies above ``threshold`` in the only output."""

    threshold: float
    agreement = "IoU of masks"

    def agree(self, before: Seen, after: Seen) -> float:
        """IoU of the masks."""
        return _iou(_only(before) > self.threshold, _only(after) > self.threshold)


@dataclass(frozen=True)
class Points(Judge):
    """Pose: the share of points within ``share`` of the input's width of where float has them.

    Attributes:
        output: of points, (1, points * numbers), of which the first two are x and y in pixels of the input.
        numbers: numbers of a point.
    """

    output: str
    numbers: int
    share: float = 0.02
    agreement = "points within 2 %"

    def agree(self, before: Seen, after: Seen) -> float:
        """The share of points near enough."""
        first, second = (side.outputs[self.output].reshape(-1, self.numbers)[:, :2] for side in (before, after))
        width = before.given.shape[2]
        return float((np.linalg.norm(first - second, axis=1) <= self.share * width).mean())


@dataclass(frozen=True)
class Notes(Judge):
    """Music: which notes sound when, (1, time, 88) probabilities; the truth is such an array of 0 and 1."""

    output: str
    threshold: float = 0.3
    agreement, metric = "IoU of notes", "F1 of notes"

    def agree(self, before: Seen, after: Seen) -> float:
        """IoU of the notes."""
        return _iou(before.outputs[self.output] > self.threshold, after.outputs[self.output] > self.threshold)

    def right(self, seen: Seen, answer: Array) -> float:
        """F1 of the notes, frame by frame."""
        overlap = _iou(seen.outputs[self.output][0] > self.threshold, answer > 0)
        return 2 * overlap / (1 + overlap)


class Anomalies(Judge):
    """An autoencoder: the mean squared error of a window tells sound (0) from odd (1); the area under the ROC curve."""

    agreement, metric = "error within 20 %", "AUC"

    def agree(self, before: Seen, after: Seen) -> float:
        """Whether the error is nearly the same."""
        first, second = _rebuilding_error(before), _rebuilding_error(after)
        return float(abs(second - first) <= 0.2 * first)

    def scores(self, seen: Sequence[Seen], truth: Sequence[int]) -> Scores:
        """Error and truth of each window."""
        return np.array([[_rebuilding_error(one), answer] for one, answer in zip(seen, truth, strict=True)])

    def figure(self, scores: Scores) -> float:
        """Mann and Whitney's U by ranks; ties share theirs."""
        errors, odd = scores[:, 0], scores[:, 1] == 1
        _, place, count = np.unique(errors, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(count) - (count - 1) / 2)[place]
        positives, negatives = odd.sum(), (~odd).sum()
        return float((ranks[odd].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _only(seen: Seen) -> Array:
    (output,) = seen.outputs.values()
    return output


def _best(seen: Seen) -> int:
    return int(_only(seen).argmax())


def _rebuilding_error(seen: Seen) -> float:
    return float(np.square(_only(seen) - seen.given).mean())


def _iou(first: Array, second: Array) -> float:
    union = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / union) if union else 1.0
