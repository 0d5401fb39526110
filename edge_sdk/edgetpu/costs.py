"""What a run of each model takes on a device that they share: expected at first, then as measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_sdk.edgetpu.plan import Host, Plan
from edge_sdk.edgetpu.swap import swap_ms

_STEP = 0.2  # of what is new, into the average
_SAFETY = 2.0  # mean deviations that a run is planned to take above its average


@dataclass(frozen=True)
class Cost:
    """Of one inference, in milliseconds.

    Attributes:
        run_ms: with the model on the device already.
        swap_ms: how much longer the first one after another model's takes.
    """

    run_ms: float
    swap_ms: float


class Costs:
    """Learns what runs take.

    Args:
        expected: what to begin with, by model.
    """

    def __init__(self, expected: Mapping[str, Cost]) -> None:
        self._run = {model: _Average(cost.run_ms) for model, cost in expected.items()}
        self._swapped = {model: _Average(cost.run_ms + cost.swap_ms) for model, cost in expected.items()}
        self.planned = dict(expected)  # read for every decision: runs a little above their average, and swaps

    def measured(self, model: str, took_ms: float, *, swapped: bool) -> None:
        """A run took so long, after another model's or not."""
        (self._swapped if swapped else self._run)[model].learn(took_ms)
        run, swapped_run = self._run[model], self._swapped[model]
        self.planned[model] = Cost(run.mean + _SAFETY * run.deviation, max(0.0, swapped_run.mean - run.mean))

    def swap_ms(self, model: str) -> float:
        """The average so far."""
        return self.planned[model].swap_ms

    def run_ms(self, model: str) -> float:
        """The average so far."""
        return self._run[model].mean


class _Average:
    """The first measurement replaces what was expected."""

    def __init__(self, expected: float) -> None:
        self.mean, self.deviation = expected, 0.0
        self._measured = False

    def learn(self, value: float) -> None:
        if not self._measured:
            self.mean, self._measured = value, True
            return
        self.deviation += _STEP * (abs(value - self.mean) - self.deviation)
        self.mean += _STEP * (value - self.mean)


def expected(plan: Plan, host: Host) -> Cost:
    """By the plan; a time that it does not know is 0, until it is measured."""
    estimate = plan.tpu.get(host)
    return Cost(estimate.ms if estimate else 0.0, swap_ms(plan, host))
