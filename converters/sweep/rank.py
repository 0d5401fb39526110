"""Ranking: which points are on the front, which is best on each board, and in what order they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from converters.sweep.commands import Told, convert_command
from converters.sweep.figures import Best, PointFigures, Reference, Row, Setting
from converters.sweep.latency import NOISE
from converters.sweep.pareto import Costs, knee, pareto_front

_NOISE = (0.0, NOISE, 0.0)


@dataclass(frozen=True)
class Measured:
    """A point with its figures and its latency, or with the reason why it has none."""

    setting: Setting
    figures: PointFigures | None
    failure: str | None
    latency_ms: float | None


@dataclass(frozen=True)
class Ranking:
    """Rows in order, the float models, and the best among all and on each board."""

    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    best: tuple[Best, ...]


FloatModel = tuple[str, tuple[int, ...] | None, int, float]
"""Model, input shape, size in bytes, latency in milliseconds."""


def ranked(
    measured: Sequence[Measured], floats: Sequence[FloatModel], boards: Mapping[str, tuple[str, ...]], told: Told
) -> Ranking:
    """Rank the points of a sweep.

    Args:
        measured: every point.
        floats: the float models.
        boards: the kinds that each board runs.
        told: for the commands.
    """
    good = sorted((one for one in measured if one.figures is not None), key=costs_of)
    failed = [one for one in measured if one.figures is None]
    front = {id(good[place]) for place in pareto_front([costs_of(one) for one in good], _NOISE)}
    rows = []
    for number, one in enumerate([*good, *failed], start=1):
        kind = None if one.figures is None else one.figures.kind
        runs = tuple(name for name, kinds in boards.items() if kind in kinds)
        row = Row(
            number=number,
            setting=one.setting,
            figures=one.figures,
            failure=one.failure,
            latency_ms=one.latency_ms,
            front=id(one) in front,
            boards=runs,
            command=convert_command(told, one.setting, runs),
        )
        rows.append(row)
    costs = {number: costs_of(one) for number, one in enumerate(good, start=1)}
    kinds = {number: one.figures.kind for number, one in enumerate(good, start=1) if one.figures is not None}
    everywhere = _best(None, (), costs)
    on_boards = [
        _best(name, runs, {n: c for n, c in costs.items() if kinds[n] in runs}) for name, runs in boards.items()
    ]
    references = tuple(Reference(model=m, input_shape=s, size_bytes=b, latency_ms=t) for m, s, b, t in floats)
    return Ranking(tuple(rows), references, (everywhere, *on_boards))


def costs_of(one: Measured | Row) -> Costs:
    """Accuracy, latency and size as costs: less is better."""
    figures, latency_ms = one.figures, one.latency_ms
    assert figures is not None and latency_ms is not None  # noqa: S101 - asked of measured points only
    accuracy = figures.accuracy
    return (-accuracy.value if accuracy.higher_is_better else accuracy.value, latency_ms, float(figures.size_bytes))


def _best(board: str | None, runs: tuple[str, ...], costs: Mapping[int, Costs]) -> Best:
    if not costs:
        return Best(board=board, runs=runs)
    numbers = list(costs)
    front = [numbers[place] for place in pareto_front(list(costs.values()), _NOISE)]

    def first(order: Callable[[Costs], Costs]) -> int:
        return min(front, key=lambda number: order(costs[number]))

    return Best(
        board=board,
        runs=runs,
        knee=front[knee([costs[number] for number in front])],
        accurate=first(lambda cost: cost),
        fast=first(lambda cost: (cost[1], cost[0], cost[2])),
        small=first(lambda cost: (cost[2], cost[0], cost[1])),
    )
