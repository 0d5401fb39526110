"""Intervals hold what they promise: published values, and coverage by simulation, at least 93 % where 95 % is claimed."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from converters.verify import intervals
from converters.verify.coco_json import TrueObject
from converters.verify.evaluate import PerSample, compare
from converters.verify.metrics import Mean, Scores
from converters.verify.metrics.anomaly import Auc, Ranked
from converters.verify.metrics.coco import AveragePrecision
from converters.verify.metrics.masks import MeanIou, Overlaps
from converters.verify.metrics.regression import Regression
from converters.verify.settings import EvaluateSettings
from edge_sdk.tasks.detect import Detection

Sides = tuple[Scores, Scores]
PROMISED = 0.93


def table(both: int, first: int, second: int, neither: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_wilson_as_published() -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263, 15 of 148, 0 of 20."""
    assert intervals.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert intervals.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert intervals.wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert intervals.wilson(20, 20)[1] == 1


def test_paired_shares_as_published() -> None:
    """Airway hyper-responsiveness before and after: 1, 1, 7, 12 (Fagerland, Lydersen, Laake, Analysis of Contingency Tables)."""
    assert intervals.paired_shares(*table(1, 1, 7, 12)) == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_samples_that_agree_everywhere_prove_little_when_they_are_few() -> None:
    few, many = (intervals.paired_shares(*table(n, 0, 0, 0))[1] for n in (10, 10_000))
    assert few > 0.2
    assert 0 < many < 0.001


def test_student_by_its_table() -> None:
    for freedom, quantile in ((9, 2.2622), (29, 2.0452), (99, 1.9842)):
        assert intervals._student(freedom) == pytest.approx(quantile, abs=5e-4)


def test_resamples_are_always_the_same_and_keep_their_strata() -> None:
    strata = np.array([0] * 30 + [1] * 10)
    drawn = np.concatenate(list(intervals.draws(40, strata)))
    assert drawn.shape == (intervals.RESAMPLES, 40)
    assert (drawn[:, :30].sum(axis=1) == 30).all()
    assert (drawn[:, 30:].sum(axis=1) == 10).all()
    assert np.array_equal(drawn, np.concatenate(list(intervals.draws(40, strata))))
    assert drawn.std(axis=0) == pytest.approx(1, abs=0.1)  # each is drawn about once


@pytest.mark.parametrize(
    ("samples", "right", "lost", "won"), [(50, 0.7, 0.08, 0.03), (200, 0.9, 0.02, 0.01), (1000, 0.75, 0.03, 0.02)]
)
def test_paired_shares_cover(samples: int, right: float, lost: float, won: float) -> None:
    """Float is right with probability ``right``; int8 loses and wins some samples."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1_000):
        drawn = rng.multinomial(samples, (right - lost, lost, won, 1 - right - won))
        low, high = intervals.paired_shares(*table(*drawn))
        covered += low <= lost - won <= high
    assert covered / 1_000 >= PROMISED


def coverage(draw: Callable[[np.random.Generator], Sides], truth: float, times: int) -> float:
    """The share of data sets whose interval of the drop holds the true drop."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(times):
        before, after = draw(rng)
        interval = compare(PerSample((before,)), PerSample((after,)))[0].drop_interval
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    return covered / times


def squared_errors(rng: np.random.Generator, samples: int = 40) -> Sides:
    """Errors of variance 1, and noise of variance 0.09 on top: the mean square rises by 9 %."""
    error, noise = rng.normal(0, 1, samples), rng.normal(0, 0.3, samples)
    kind = Regression.kinds[0]
    return Mean(kind, error**2), Mean(kind, (error + noise) ** 2)


def anomaly_scores(rng: np.random.Generator) -> Sides:
    """Two normal distributions one deviation apart, and noise of variance 1/4 on top."""
    positive = np.arange(120) < 40
    scores = rng.normal(positive * 1.0, 1)
    noisy = scores + rng.normal(0, 0.5, len(scores))
    return Ranked(Auc.kinds[0], scores, positive), Ranked(Auc.kinds[0], noisy, positive)


def masks(rng: np.random.Generator) -> Sides:
    """Masks of 100 pixels of which float meets a share of 0.8 on average and int8 0.78, both in unions of 100."""
    met = rng.binomial(100, 0.8, (60, 1))
    lost = rng.binomial(met, 0.02 / 0.8)
    kind, union = MeanIou.kinds[0], np.full((60, 1), 100)
    return Overlaps(kind, met, union), Overlaps(kind, met - lost, union)


@pytest.fixture
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 500)


@pytest.mark.usefixtures("fewer_resamples")
def test_bootstrap_covers() -> None:
    assert coverage(squared_errors, 0.09, 400) >= PROMISED


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_resamples")
@pytest.mark.parametrize("name", ["fewest", "auc", "iou"])
def test_bootstrap_covers_other_metrics(name: str) -> None:
    below = NormalDist().cdf
    worse = below(1 / 2**0.5) - below(1 / 2.5**0.5)
    draw, truth = {
        "fewest": (lambda rng: squared_errors(rng, intervals.FEWEST), 0.09),
        "auc": (anomaly_scores, worse),
        "iou": (masks, 0.02),
    }[name]
    assert coverage(draw, truth, 600) >= PROMISED


def detections(rng: np.random.Generator, images: int) -> Sides:
    """Objects that float finds in 80 % and int8 in 76 % of the cases, somewhat beside; and things that are not there."""
    here = (10.0, 10.0, 50.0, 50.0)
    sides: tuple[list[tuple[list[Detection], list[TrueObject]]], ...] = ([], [])
    for _ in range(images):
        objects = [TrueObject("cat", (x, 10.0, x + 40, 50.0)) for x in (10.0, 100.0)]
        found = [
            Detection(tuple(np.array(o.box) + rng.normal(0, 2, 4)), "cat", 0, float(rng.beta(4, 2)))  # type: ignore[arg-type]
            for o in objects
            if rng.random() < 0.8
        ]
        found += [Detection(here, "cat", 0, float(rng.beta(2, 4)))] * bool(rng.random() < 0.3)
        sides[0].append((found, objects))
        sides[1].append(([d for d in found if rng.random() < 0.95], objects))
    measure = AveragePrecision(EvaluateSettings())
    return measure.gather(sides[0])[0], measure.gather(sides[1])[0]


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_resamples")
def test_bootstrap_covers_average_precision() -> None:
    true_drop = 0.0247  # over eight data sets of 20,000 images
    assert coverage(lambda rng: detections(rng, 100), true_drop, 300) >= PROMISED - 0.015  # one standard error of 300


def test_nothing_different_is_no_proof_that_nothing_will_be() -> None:
    kind = MeanIou.kinds[0]
    same = Mean(kind, np.full(60, 0.5))
    (metric,) = compare(PerSample((same,)), PerSample((same,)))
    assert metric.drop_interval is not None
    assert (metric.drop_interval.low, metric.drop_interval.high) == (-0.05, 0.05)  # 3 in 60


def test_too_few_samples_have_no_interval() -> None:
    kind = Regression.kinds[0]
    numbers = np.arange(1, intervals.FEWEST, dtype=float)
    (metric,) = compare(PerSample((Mean(kind, numbers),)), PerSample((Mean(kind, numbers * 2),)))
    assert (metric.drop, metric.drop_interval, metric.float_interval) == (1, None, None)
    few_anomalies = Ranked(Auc.kinds[0], np.arange(100.0), np.arange(100) < 10)  # 100 samples, 10 of the rarer kind
    assert compare(PerSample((few_anomalies,)), PerSample((few_anomalies,)))[0].drop_interval is None
