"""AUC: how well a score tells anomalies from what is normal, whatever the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.verify.metrics.base import Floats, Kind, Measure, Scores, real_output, size_of
from converters.verify.sides import Side
from converters.verify.truth import Answer, image_answers, named_images, named_windows, read_arrays, whole_numbers
from edge_sdk.contract import Contract
from edge_sdk.errors import DataError, ModelError
from edge_sdk.tasks import AnomalySettings
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tensors import TensorSpec

NORMAL = "normal"


class Ranked(Scores):
    """Scores and right answers; the metric is the area below the ROC curve.

    It is the share of pairs of an anomaly and a normal sample in which the anomaly scores higher, ties counting half (Hanley and
    McNeil 1982, Radiology 143:29-36).

    Args:
        kind: of the metric.
        scores: higher is more anomalous, (samples,).
        positive: which are anomalies, (samples,).
    """

    def __init__(self, kind: Kind, scores: Floats, positive: npt.NDArray[np.bool_]) -> None:
        super().__init__(kind, len(scores))
        self._order = np.argsort(scores, kind="stable")
        self._positive = positive
        ranked = scores[self._order]
        self._from = np.searchsorted(ranked, ranked, side="left")  # ties begin here
        self._to = np.searchsorted(ranked, ranked, side="right")  # and end before here

    @property
    def strata(self) -> npt.NDArray[np.int64]:
        """Anomalies and normal samples are drawn apart: a draw has as many of each as there are."""
        return self._positive.astype(np.int64)

    def value(self, counts: Floats) -> Floats:
        """The area, 0 to 1."""
        weights, positive = counts[:, self._order], self._positive[self._order]
        below = np.cumsum(np.pad(weights * ~positive, ((0, 0), (1, 0))), axis=1)
        beaten = (below[:, self._from] + below[:, self._to]) / 2
        pairs = (weights * positive).sum(axis=1) * below[:, -1]
        area: Floats = (weights * positive * beaten).sum(axis=1) / np.maximum(pairs, 1)
        return area


def finite(score: float) -> float:
    """The score.

    Raises:
        ModelError: if it is NaN or infinity, which no metric can count.
    """
    if not math.isfinite(score):
        raise ModelError(f"a sample of the ground truth has the score {score}")
    return score


class Auc(Measure[bool, tuple[float, bool]]):
    """The right answer is whether a sample is an anomaly.

    The score is an output of one number. Of an output in the shape of the input, a reconstruction, it is the mean square of what it
    fails to reconstruct.
    """

    kinds = (
        Kind(
            "auc", "", True, "Area below the ROC curve: the share of pairs in which the anomaly has the higher score."
        ),
    )
    tasks = ("anomaly", "keyword", "raw")
    fits = "one number, the anomaly score, or a reconstruction in the shape of the input"

    def read(
        self, path: Path, options: dict[str, str], contract: Contract, labels: tuple[str, ...]
    ) -> list[Answer[bool]]:
        """Of class folders or a CSV file where the class ``normal`` is normal and every other is not, or .npz with truth 0 or 1."""
        if path.suffix.lower() == ".npz":
            samples, truth = read_arrays(path, options, contract)
            numbers = whole_numbers(path, truth, len(samples))
            if odd := sorted(set(numbers) - {0, 1}):
                raise DataError(f"{path}: truth holds {', '.join(map(str, odd[:10]))}; 0 is normal and 1 is an anomaly")
            answers = [Answer(read, number == 1) for read, number in zip(samples, numbers, strict=True)]
        elif contract.window is not None:
            windows = named_windows(path, contract.window)
            answers = [Answer(read, label != NORMAL) for label, reads in windows.items() for read in reads]
        else:
            named = named_images(path)
            answers = image_answers(path, contract, [(file, label != NORMAL) for file, label in named])
            if all(answer.right for answer in answers):
                found = ", ".join(sorted({label for _, label in named})[:10])
                raise DataError(
                    f"{path} has no class {NORMAL}; it has {found}. Call that of the normal samples {NORMAL}"
                )
        if len({answer.right for answer in answers}) < 2:
            raise DataError(f"{path} holds normal samples only, or anomalies only; auc needs both")
        return answers

    def check(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], answers: Sequence[Answer[bool]]
    ) -> None:
        """A score or a reconstruction; the task has checked its own."""
        if isinstance(self.told, AnomalySettings):
            return
        spec = outputs[self.output(outputs)]
        if size_of(spec) != 1 and spec.shape != inputs[0].nhwc_shape:
            raise self.refuse(spec)

    def see(self, side: Side, value: Any, right: bool) -> tuple[float, bool]:
        """The score, and whether it should be high."""
        if isinstance(value, Anomaly):
            return finite(value.score), right
        real = real_output(side, self.output(side.outputs))
        if real.size > 1:
            input_ = side.inputs[0]
            entry = input_.dequantize(input_.as_nhwc(side.input_now)).reshape(real.shape)
            return float(np.square(entry - real, dtype=np.float64).mean()), right
        return float(real.reshape(())), right

    def gather(self, seen: Sequence[tuple[float, bool]], outputs: Sequence[TensorSpec]) -> tuple[Scores, ...]:
        """One metric."""
        scores, right = zip(*seen, strict=True)
        return (Ranked(self.kinds[0], np.array(scores, np.float64), np.array(right, bool)),)
