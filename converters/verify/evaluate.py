"""Evaluation on ground truth: each model is measured on its own, sample by sample; two that were measured on the same are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.progress import Progress, quiet
from converters.report.accuracy import Evaluation, Interval, Metric
from converters.verify import intervals
from converters.verify.metrics import Mean, Measure, Scores, measure_for
from converters.verify.settings import EvaluateSettings
from converters.verify.sides import Side
from converters.verify.truth import Answer, locate
from edge_sdk.bundle.manifest import Head
from edge_sdk.contract import Contract
from edge_sdk.engines import Engine
from edge_sdk.errors import DataError
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import TensorSpec

_OWN = EvaluateSettings()


@dataclass(frozen=True)
class Truth:
    """Samples with the right answers, and how they are scored."""

    data: str
    measure: Measure[Any, Any]
    answers: tuple[Answer[Any], ...]

    def __len__(self) -> int:
        return len(self.answers)

    def side(
        self,
        content: bytes | Engine,
        contract: Contract,
        task: TaskSettings,
        labels: tuple[str, ...],
        heads: tuple[Head, ...] = (),
    ) -> Side:
        """A model with its task decoded as the measure needs it, such as down to the lowest score."""
        return Side(content, contract, self.measure.task(task), labels, heads)


@dataclass(frozen=True)
class PerSample:
    """One model's scores, sample by sample, by every metric of its measure; the first is the one that counts."""

    scores: tuple[Scores, ...]


def read_truth(
    where: str,
    contract: Contract,
    task: TaskSettings,
    labels: tuple[str, ...],
    settings: EvaluateSettings = _OWN,
    *,
    inputs: Sequence[TensorSpec] = (),
    outputs: Sequence[TensorSpec] = (),
) -> Truth:
    """Read ground truth, before any work is done that would be lost if it does not fit.

    Args:
        where: the data; which forms there are is a matter of the metric.
        contract, task, labels: as in the bundle.
        settings: the ``[evaluate]`` table.
        inputs, outputs: the float model's tensors; without them it is found out in ``measure`` whether the metric fits them.

    Raises:
        ConfigError: if the metric does not fit the task or the tensors; the message names those that do.
        DataError: if the data cannot be read or does not fit the labels.
    """
    measure = measure_for(settings, task)
    path, options = locate(where)
    answers = tuple(measure.read(path, options, contract, labels))
    if outputs:
        measure.check(inputs, outputs, answers)
    return Truth(path.name, measure, answers)


def evaluate(
    truth: Truth,
    models: tuple[bytes, bytes],
    contract: Contract,
    task: TaskSettings,
    labels: tuple[str, ...],
    progress: Progress,
) -> Evaluation:
    """Measure float and int8 on data with the right answers.

    Args:
        truth: as ``read_truth`` gave it for the same contract, task and labels.
        models: float and int8.
        contract, task, labels: as in the bundle.
        progress: called as the work goes on.

    Raises:
        ConfigError: if the metric does not fit the models.
        DataError: if a sample cannot be read.
    """
    before, after = measure(truth, [truth.side(content, contract, task, labels) for content in models], progress)
    return Evaluation(data=truth.data, samples=len(truth), metrics=compare(before, after))


def measure(truth: Truth, sides: Sequence[Side], progress: Progress = quiet) -> tuple[PerSample, ...]:
    """Score models on every sample; one alone can be compared later with what others scored on the same truth.

    Args:
        truth: what is right.
        sides: the models, as ``Truth.side`` makes them.
        progress: called as the work goes on.

    Raises:
        ConfigError: if the metric does not fit one of them.
        DataError: if a sample cannot be read.
        ModelError: if an output holds NaN or infinity.
    """
    how = truth.measure
    for side in sides:
        how.check(side.inputs, side.outputs, truth.answers)
    seen: list[list[Any]] = [[] for _ in sides]
    for number, answer in enumerate(truth.answers, start=1):
        sample = answer.read()
        for side, scored in zip(sides, seen, strict=True):
            scored.append(how.see(side, side.run(sample), answer.right))
        progress("evaluate", number, len(truth))
    gathered = [how.gather(scored, side.outputs) for scored, side in zip(seen, sides, strict=True)]
    named = how.settings.metric
    return tuple(PerSample(tuple(sorted(scores, key=lambda s: s.kind.name != named))) for scores in gathered)


def compare(before: PerSample, after: PerSample) -> tuple[Metric, ...]:
    """Float against another model, on the same samples.

    Returns:
        Every metric with its intervals; the first is the one that counts.

    Raises:
        DataError: if float makes no mistake by a metric that is compared relative to its mistakes.
    """
    return tuple(_metric(ours, theirs) for ours, theirs in zip(before.scores, after.scores, strict=True))


def alone(measured: PerSample) -> tuple[Metric, ...]:
    """The metrics of one model that there is no float one to compare with; intervals where each sample is a hit or a miss."""
    return tuple(_alone(scores) for scores in measured.scores)


def _alone(scores: Scores) -> Metric:
    kind = scores.kind
    shown = 100 if kind.unit == "%" else 1
    pair = _shares(scores, scores)[0][0] if _hits(scores) else None
    return Metric(
        name=kind.name,
        float_value=None,
        int8_value=scores.over_all() * shown,
        unit=kind.unit,
        int8_interval=None if pair is None else _interval(pair[0] * shown, pair[1] * shown),
        higher_is_better=kind.higher_is_better,
        samples=scores.samples,
        explanation=kind.explanation,
    )


def _metric(before: Scores, after: Scores) -> Metric:
    kind, samples = before.kind, before.samples
    shown = 100 if kind.unit == "%" else 1
    values = before.over_all(), after.over_all()
    each, drop, differing = _shares(before, after) if _hits(before) and _hits(after) else _resampled(before, after)
    of_float, of_int8 = (None if pair is None else _interval(pair[0] * shown, pair[1] * shown) for pair in each)
    return Metric(
        name=kind.name,
        float_value=values[0] * shown,
        int8_value=values[1] * shown,
        unit=kind.unit,
        float_interval=of_float,
        int8_interval=of_int8,
        higher_is_better=kind.higher_is_better,
        drop=float(_drop(before, np.array(values[0]), np.array(values[1]))),
        drop_interval=None if drop is None else _interval(*drop),
        samples=samples,
        differing=differing,
        explanation=kind.explanation,
    )


_Intervals = tuple[tuple[intervals.Pair | None, intervals.Pair | None], intervals.Pair | None, int | None]


def _hits(scores: Scores) -> bool:
    return isinstance(scores, Mean) and scores.numbers.dtype == bool


def _shares(before: Scores, after: Scores) -> _Intervals:
    """Intervals where each sample is a hit or a miss."""
    hits = [scores.numbers for scores in (before, after) if isinstance(scores, Mean)]
    one, other = (intervals.wilson(int(numbers.sum()), len(numbers)) for numbers in hits)
    return (one, other), intervals.paired_shares(*hits), int(np.count_nonzero(hits[0] != hits[1]))


def _resampled(before: Scores, after: Scores) -> _Intervals:
    """Intervals by paired bootstrap; none where there are too few samples."""
    strata = before.strata
    fewest = before.samples if strata is None else int(np.bincount(strata).min())
    if fewest < intervals.FEWEST:
        return (None, None), None, None
    drawn = _values(before, after, intervals.draws(before.samples, strata))
    without = _values(before, after, [intervals.left_out(before.samples)])
    measured = _values(before, after, [np.ones((1, before.samples))])
    one, other, drop = (
        intervals.span(seen, jackknife, float(value[0]), fewest)
        for seen, jackknife, value in zip(drawn, without, measured, strict=True)
    )
    rest = intervals.rule_of_three(fewest)  # what never differed here may differ elsewhere
    differs = bool(drawn[2].any())
    if not differs:
        drop = (-rest, rest)
    if before.kind.higher_is_better:
        one, other = (
            pair if pair[0] < pair[1] else (max(0, pair[0] - rest), min(1, pair[1] + rest)) for pair in (one, other)
        )
    return (one, other), drop, None if differs else 0


def _values(before: Scores, after: Scores, draws: Iterable[intervals.Floats]) -> tuple[intervals.Floats, ...]:
    """Float's value, the other's, and the drop, over the same draws."""
    parts = [(before.value(counts), after.value(counts)) for counts in draws]
    one, other = (np.concatenate(column) for column in zip(*parts, strict=True))
    return one, other, _drop(before, one, other)


def _drop(scores: Scores, before: intervals.Floats, after: intervals.Floats) -> intervals.Floats:
    """How much worse ``after`` is: the fall of a metric where higher is better, else the rise relative to ``before``."""
    if scores.kind.higher_is_better:
        return before - after
    if not np.all(before > 0):
        raise DataError(
            f"the float model makes no mistake by {scores.kind.name} on this ground truth, so no share of it can be told; "
            "use ground truth that was not made by the model itself"
        )
    rise: intervals.Floats = after / before - 1
    return rise


def _interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high)
