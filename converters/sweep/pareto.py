"""The Pareto front: what nothing else beats in everything, and the knee of it, where giving up a little of one wins no more of another."""

from __future__ import annotations

import math
from collections.abc import Sequence

Costs = tuple[float, ...]
"""What one candidate costs in each respect; smaller is better."""


def dominates(one: Costs, other: Costs, noise: Costs) -> bool:
    """Whether ``one`` is nowhere worse than ``other`` and somewhere better.

    Args:
        one, other: finite costs.
        noise: for each respect the relative difference up to which two costs are taken for equal; 0 compares exactly. At most one
            respect may have noise: with several, candidates could dominate each other in a circle, and the front be empty.
    """
    better = False
    for a, b, part in zip(one, other, noise, strict=True):
        if abs(a - b) <= part * min(abs(a), abs(b)):
            continue
        if a > b:
            return False
        better = True
    return better


def pareto_front(costs: Sequence[Costs], noise: Costs) -> list[int]:
    """The places of the candidates that no other dominates, ascending; equal ones are all among them.

    Args:
        costs: of every candidate, finite.
        noise: see ``dominates``.
    """
    if sum(part > 0 for part in noise) > 1:
        raise ValueError("at most one respect may have noise")
    return [place for place, one in enumerate(costs) if not any(dominates(other, one, noise) for other in costs)]


def knee(costs: Sequence[Costs]) -> int:
    """The place of the candidate nearest to the ideal, the first of equals.

    The ideal has the least cost in each respect. Costs are scaled to 0..1 between the least and the largest first, and the distance is
    Euclidean: the compromise solution of P. L. Yu, "A class of solutions for group decision problems" (Management Science 19, 1973), p = 2.

    Args:
        costs: of the candidates on the front, at least one.
    """
    bounds = [(min(column), max(column)) for column in zip(*costs, strict=True)]

    def distance(one: Costs) -> float:
        return math.hypot(
            *(
                (value - low) / (high - low) if high > low else 0.0
                for value, (low, high) in zip(one, bounds, strict=True)
            )
        )

    return min(range(len(costs)), key=lambda place: distance(costs[place]))
