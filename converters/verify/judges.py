"""How alike float's and int8's values are, sample by sample, in the terms of the tasks keyword, anomaly, segment and pose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from converters.report.accuracy import Agreement, Metric
from converters.verify.agreement import share_interval, share_metric
from converters.verify.evaluate import PerSample, compare
from converters.verify.metrics.base import Floats, Kind, Mean
from converters.verify.metrics.masks import Counts, Overlaps
from edge_sdk.errors import DataError
from edge_sdk.tasks import AnomalySettings, KeywordSettings, PoseSettings, TaskSettings
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tasks.keyword import Spotting
from edge_sdk.tasks.pose import Pose
from edge_sdk.tasks.segment import Segmentation
from edge_sdk.tasks.settings import ThresholdRule

NEAR = 0.05  # of the diagonal of the box around float's keypoints


class JudgeKeyword:
    """In how many windows both sides have the same best class; of a single score, whether both or neither reach the threshold."""

    def __init__(self, settings: KeywordSettings) -> None:
        self._threshold = settings.threshold
        self._samples = self._same = 0

    def see(self, before: Spotting, after: Spotting) -> None:
        """One sample's values."""
        self._samples += 1
        self._same += self._said(before) == self._said(after)

    def _said(self, heard: Spotting) -> object:
        (best, score), *others = sorted(heard.scores.items(), key=lambda item: -item[1])
        return best if others else score >= self._threshold

    def agreement(self) -> tuple[Agreement, ...]:
        """One figure."""
        return (_as_agreement(self.as_metric()),)

    def as_metric(self) -> Metric:
        """The same, for the gate."""
        return share_metric(
            self._same, self._samples, "keyword agreement", "Share of windows in which both would say the same word."
        )


class JudgeAnomaly:
    """In how many samples both sides' scores lie on the same side of their thresholds.

    The threshold is the one that was given, or each side's own by the rule.

    Raises:
        DataError: if a score is no finite number.
    """

    def __init__(self, settings: AnomalySettings) -> None:
        self._settings = settings
        self._scores: list[tuple[float, float]] = []

    def see(self, before: Anomaly, after: Anomaly) -> None:
        """One sample's values."""
        if not np.isfinite((before.score, after.score)).all():
            raise DataError(
                f"sample {len(self._scores)} has the scores {before.score} and {after.score}: no threshold can be told"
            )
        self._scores.append((before.score, after.score))

    def threshold(self) -> float:
        """Of int8."""
        return self._threshold(1)

    def agreement(self) -> tuple[Agreement, ...]:
        """How alike the verdicts are, the threshold, and how many of these samples lie above it."""
        figures = [_as_agreement(self.as_metric())]
        rule = self._settings.threshold
        if isinstance(rule, ThresholdRule):
            said = f"Scores above it are anomalous: {_in_words(rule)} of int8's scores over these {len(self._scores)} samples."
            figures.append(Agreement(name="threshold", value=self.threshold(), explanation=said))
        above = 100 * float((self._column(1) > self.threshold()).mean())
        said = "Share of these samples that int8 calls anomalous; of normal ones, false alarms."
        figures.append(Agreement(name="above threshold", value=above, unit="%", explanation=said))
        return tuple(figures)

    def as_metric(self) -> Metric:
        """The verdicts', for the gate."""
        before, after = (self._column(side) > self._threshold(side) for side in (0, 1))
        said = "Share of samples that both call normal, or both anomalous."
        return share_metric(int((before == after).sum()), len(self._scores), "verdict agreement", said)

    def _column(self, side: int) -> Floats:
        column: Floats = np.array(self._scores, np.float64).reshape(-1, 2)[:, side]
        return column

    def _threshold(self, side: int) -> float:
        rule = self._settings.threshold
        return threshold_of(self._column(side), rule) if isinstance(rule, ThresholdRule) else rule


def threshold_of(scores: Floats, rule: ThresholdRule) -> float:
    """The threshold of normal samples with these scores; the standard deviation is the sample's, with n - 1."""
    if rule.percentile is not None:
        return float(np.percentile(scores, rule.percentile))
    assert rule.sigmas is not None  # noqa: S101 - one of the two is there
    return float(scores.mean() + rule.sigmas * (scores.std(ddof=1) if len(scores) > 1 else 0.0))


def measured_task(task: TaskSettings, threshold: float | None) -> TaskSettings:
    """The task as it goes into the bundle: a rule for a threshold gives way to the number it came to."""
    if isinstance(task, AnomalySettings) and isinstance(task.threshold, ThresholdRule):
        return task.model_copy(update={"threshold": threshold})
    return task


def few_for(task: TaskSettings, samples: int) -> tuple[str, ...]:
    """What to say if there are too few samples for a threshold's percentile."""
    rule = task.threshold if isinstance(task, AnomalySettings) else None
    if not isinstance(rule, ThresholdRule) or rule.percentile is None or samples * (100 - rule.percentile) >= 100:
        return ()
    return (
        f"The threshold is the percentile {rule.percentile:g} of {samples} scores, which is hardly less than the highest of them; give "
        f"more samples, or a lower percentile, of which one in {samples} lies above.",
    )


def _in_words(rule: ThresholdRule) -> str:
    return (
        f"percentile {rule.percentile:g}"
        if rule.sigmas is None
        else f"the mean and {rule.sigmas:g} standard deviations"
    )


class JudgeSegment:
    """Intersection over union of int8's masks with float's, summed over the samples, the mean over the classes float finds."""

    KIND = Kind(
        "iou agreement", "%", True, "Intersection over union of int8's masks with float's, the mean over the classes."
    )

    def __init__(self) -> None:
        self._areas: list[Counts] = []  # of each class in float's mask, one entry a sample
        self._shared: list[Counts] = []
        self._either: list[Counts] = []
        self._binary = True  # of an object and its background the object counts

    def see(self, before: Segmentation, after: Segmentation) -> None:
        """One sample's values."""
        pairs = np.bincount((before.mask.astype(np.intp) * 256 + after.mask).reshape(-1), minlength=1 << 16).reshape(
            256, 256
        )
        shared, areas = np.diagonal(pairs).copy(), pairs.sum(axis=1)
        either = areas + pairs.sum(axis=0) - shared
        for kept, counts in ((self._areas, areas), (self._shared, shared), (self._either, either)):
            kept.append(counts.astype(np.int64))
        self._binary &= len(before.labels) == 2

    def agreement(self) -> tuple[Agreement, ...]:
        """One figure, if float finds anything."""
        return (_as_agreement(self.as_metric()),) if self._found().any() else ()

    def as_metric(self) -> Metric:
        """The same, for the gate.

        Raises:
            DataError: if float finds nothing in any sample.
        """
        found = self._found()
        if not found.any():
            raise DataError(
                "the float model finds no object in the samples compared, so --max-drop has nothing to go by; "
                "use samples with objects, or give --evaluate DATA"
            )
        areas, shared, either = (np.stack(each)[:, found] for each in (self._areas, self._shared, self._either))
        before, after = Overlaps(self.KIND, areas, areas), Overlaps(self.KIND, shared, either)
        (metric,) = compare(PerSample((before,)), PerSample((after,)))
        return metric

    def _found(self) -> npt.NDArray[np.bool_]:
        """The classes that count and that float finds."""
        found: npt.NDArray[np.bool_] = np.sum(self._areas, axis=0) > 0
        if self._binary:
            found[0] = False
        return found


class JudgePose:
    """How many of the keypoints that float finds int8 finds near by, in samples in which float sees somebody."""

    KIND = Kind(
        "keypoint agreement",
        "%",
        True,
        f"Share of float's keypoints that int8's lie on, within {NEAR:.0%} of the diagonal of the box around float's.",
    )

    def __init__(self, settings: PoseSettings) -> None:
        self._threshold = settings.threshold if settings.score is not None else None
        self._shares: list[float] = []
        self._gaps: list[float] = []
        self._again = 0

    def see(self, before: Pose | None, after: Pose | None) -> None:
        """One sample's values."""
        if before is None or not self._seen(before):
            return
        wanted = np.array(before.points)
        diagonal = float(np.hypot(*np.ptp(wanted, axis=0))) or 1.0
        self._again += after is not None and self._seen(after)
        if after is None:
            self._shares.append(0.0)
            return
        gaps = np.hypot(*(np.array(after.points) - wanted).T) / diagonal
        self._shares.append(float((gaps <= NEAR).mean()))
        self._gaps.append(100 * float(gaps.mean()))

    def _seen(self, pose: Pose) -> bool:
        return self._threshold is None or (pose.score is not None and pose.score >= self._threshold)

    def agreement(self) -> tuple[Agreement, ...]:
        """How many are near, how near, and how often somebody is found again."""
        if not self._shares:
            return ()
        figures = [_as_agreement(self.as_metric())]
        if self._gaps:
            said = (
                "Mean distance of int8's keypoints from float's, in percent of the diagonal of the box around float's."
            )
            figures.append(
                Agreement(name="keypoint distance", value=float(np.mean(self._gaps)), unit="%", explanation=said)
            )
        if self._threshold is not None:
            said = "Of the samples in which float finds a pose, the share in which int8 does too."
            of = len(self._shares)
            interval = share_interval(self._again, of)
            figures.append(
                Agreement(
                    name="found again", value=100 * self._again / of, unit="%", explanation=said, interval=interval
                )
            )
        return tuple(figures)

    def as_metric(self) -> Metric:
        """How many are near, for the gate.

        Raises:
            DataError: if float finds nobody in any sample.
        """
        if not self._shares:
            raise DataError(
                "the float model finds no pose in the samples compared, so --max-drop has nothing to go by; "
                "use samples with one, or give --evaluate DATA"
            )
        shares = np.array(self._shares, np.float64)
        before, after = Mean(self.KIND, np.ones_like(shares)), Mean(self.KIND, shares)
        (metric,) = compare(PerSample((before,)), PerSample((after,)))
        return metric


def _as_agreement(metric: Metric) -> Agreement:
    return Agreement(
        name=metric.name,
        value=metric.int8_value,
        unit=metric.unit,
        explanation=metric.explanation,
        interval=metric.int8_interval,
    )
