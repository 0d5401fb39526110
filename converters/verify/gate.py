"""The gate of ``--max-drop``: whether the int8 model is worse than allowed, as far as the samples can tell."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Literal

from converters.report.accuracy import Gate, Metric
from converters.report.verdict import gate_sentence
from converters.verify.intervals import FEWEST, Z
from edge_sdk.errors import ConfigError, GateError

_POWER = NormalDist().inv_cdf(0.8)
_MOST_SAMPLES = 10_000_000
_FORMS = "give a percentage (1%), points (1 point, 0.5 points) or a share below 1 (0.01)"
_WRITTEN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%|points?)?")


@dataclass(frozen=True)
class MaxDrop:
    """The largest drop allowed.

    Of a metric that is a share (top-1, top-5, mAP, AP50, iou, auc), 1 %, 1 point and 0.01 are one and the same: from 80 % to 79 %, or from
    0.80 to 0.79. Of one where lower is better (mse, mae, keypoints), 1 % and 0.01 are a rise by a hundredth of float's value, and
    there are no points.

    Attributes:
        share: 0.01 for 1 %.
        points: whether it was given in points.
    """

    share: float
    points: bool = False

    @classmethod
    def parse(cls, text: str) -> MaxDrop:
        """Read ``--max-drop``.

        Raises:
            ConfigError: if it is not of a form that can mean only one thing.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"--max-drop {text!r} is not a drop; {_FORMS}")
        number, unit = float(found[1]), found[2]
        if unit is None and number >= 1:
            raise ConfigError(f"--max-drop {text}: is that {text} % or {text} times 100 %? {_FORMS}")
        share = number if unit is None else number / 100
        if share >= 1:
            raise ConfigError(f"--max-drop {text} allows any drop; {_FORMS}")
        return cls(share, points=unit is not None and unit != "%")


def decide(limit: MaxDrop, metric: Metric, *, agreement: bool = False) -> Gate:
    """What the samples say of the limit.

    Args:
        limit: the largest drop allowed.
        metric: the one that counts, as ``compare`` gives it.
        agreement: whether it was measured against the float model's answers, for want of right ones.

    Raises:
        ConfigError: if the limit is in points, and the metric has none.
    """
    if limit.points and not metric.higher_is_better:
        raise ConfigError(
            f"--max-drop in points is for metrics that are shares; {metric.name} is an error, and its limit is a rise relative to "
            "float's: give a percentage (1%)"
        )
    if metric.drop is None or metric.samples is None:
        raise ConfigError(f"metric {metric.name} has no drop to compare with --max-drop")
    bounds = metric.drop_interval
    low, high = (None, None) if bounds is None else (bounds.low, bounds.high)
    verdict = _verdict(limit.share, low, high)
    return Gate(
        metric=metric.name,
        limit=limit.share,
        drop=metric.drop,
        low=low,
        high=high,
        relative=not metric.higher_is_better,
        verdict=verdict,
        samples=metric.samples,
        samples_needed=samples_needed(metric, limit.share) if verdict == "open" else None,
        basis="agreement" if agreement else "labels",
    )


def decide_without_labels(limit: MaxDrop, agreement: Metric | None) -> Gate:
    """What agreement with the float model says of the limit, where there are no right answers.

    Args:
        limit: the largest drop allowed.
        agreement: as ``OutputFigures.as_metric`` gives it.

    Raises:
        ConfigError: if the task has no terms to agree in.
    """
    if agreement is None:
        raise ConfigError(
            "--max-drop needs right answers for task raw, whose outputs agree only in decibels: give --evaluate DATA, and metric "
            "in [evaluate] of model.toml"
        )
    return decide(limit, agreement, agreement=True)


def _verdict(limit: float, low: float | None, high: float | None) -> Literal["passed", "failed", "open"]:
    if low is None or high is None:
        return "open"
    return "passed" if high <= limit else "failed" if low > limit else "open"


def samples_needed(metric: Metric, limit: float) -> int | None:
    """How many samples would decide, 8 times in 10, if the drop stays as measured; rounded up to two digits.

    The interval's half-width on the limit's side gives the standard error, which falls with the root of the number of samples; the
    gap to the limit must be 1.96 standard errors for the interval, and 0.84 more so that chance seldom undoes it (the usual
    formula for the size of a study: Fleiss, Statistical Methods for Rates and Proportions, chapter 4). Where no sample differed, the
    interval is what few might have done (of Wilson, Z^2 / (n + Z^2)), and falls with the number itself.

    Returns:
        None where the drop is so near the limit that no sensible number decides.
    """
    samples, drop, bounds = metric.samples or 1, metric.drop or 0.0, metric.drop_interval
    if bounds is None:
        return max(2 * samples, 2 * FEWEST)
    gap = abs(limit - drop)
    half = bounds.high - drop if drop <= limit else drop - bounds.low
    if half <= 0 or half > gap * _MOST_SAMPLES:
        return None
    ratio = half / gap
    exact = (samples + Z**2) * ratio if metric.differing == 0 else samples * ((Z + _POWER) / Z * ratio) ** 2
    if exact > _MOST_SAMPLES:
        return None
    wanted = max(exact, samples + 1)
    digit = int(10 ** max(0, math.floor(math.log10(wanted)) - 1))
    return math.ceil(wanted / digit) * digit


def require(gate: Gate, report: Path) -> None:
    """Raise GateError if the gate failed: the drop is proven larger than allowed. ``report`` is where it is shown."""
    if gate.verdict == "failed":
        raise GateError(
            f"{gate_sentence(gate)} No bundle was written; {report} shows where it is lost. "
            "Allow more with --max-drop, or calibrate with more samples"
        )
