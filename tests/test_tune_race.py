"""The race of candidates on machines that drift, throttle or are busy, simulated in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import EngineError
from edge_sdk.tune.candidates import Candidate
from edge_sdk.tune.contender import Block
from edge_sdk.tune.race import Entry, Race


class Machine:
    """Time passes by the steps that run; ``slowness`` of the time is what a step takes longer."""

    def __init__(self, budget_s: float, slowness: Callable[[float], float]) -> None:
        self.now_s, self.budget_s, self.slowness = 0.0, budget_s, slowness
        self.open = self.most_open = 0
        self.said: list[str] = []
        self.unlucky: set[str] = set()  # their first process is slow, in each of its steps

    def left_s(self) -> float:
        return self.budget_s - self.now_s

    def race(self, times_ms: dict[str, float], *, by_variant: bool = False, fails: tuple[str, ...] = ()) -> list[Entry]:
        def open_(candidate: Candidate) -> Any:
            return Simulated(self, candidate, times_ms[candidate.name], fails)

        found = Race(open_, self.left_s, by_variant=by_variant, say=self.said.append).run(
            [Candidate(SimpleNamespace(id=name.partition(" ")[0]), "e", options_of(name)) for name in times_ms]  # type: ignore[arg-type]
        )
        assert self.open == 0, "all are closed"
        return found


def options_of(name: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in name.split(", ")[1:])


class Simulated:
    is_wrong = False

    def __init__(self, machine: Machine, candidate: Candidate, ms: float, fails: tuple[str, ...]) -> None:
        if candidate.name in fails:
            raise EngineError("it cannot")
        self.candidate, self._machine, self._ms = candidate, machine, ms
        self.blocks: list[list[float]] = []
        if candidate.name in machine.unlucky:
            machine.unlucky.remove(candidate.name)
            self._ms *= 5
        machine.now_s += 0.2
        machine.open += 1
        machine.most_open = max(machine.most_open, machine.open)
        self._is_open = True

    def block(self, seconds: float) -> Block:
        assert self._is_open
        took: list[float] = []
        while len(took) < 3 or sum(took) < seconds * 1_000:
            took.append(self._ms * self._machine.slowness(self._machine.now_s))
            self._machine.now_s += took[-1] / 1_000
        self.blocks.append(took)
        return Block(min(took), float(np.median(took)))

    def close(self) -> None:
        self._machine.open -= self._is_open
        self._is_open = False

    def _quantile(self, percent: float) -> float:
        return float(np.percentile([ms for block in self.blocks for ms in block], percent))

    floor_ms = property(lambda self: self._quantile(0))
    p25_ms = property(lambda self: self._quantile(25))
    p50_ms = property(lambda self: self._quantile(50))


def fastest(entries: list[Entry]) -> str:
    last = [entry for entry in entries if not entry.out]
    return min(last, key=lambda entry: entry.contender.p25_ms).candidate.name  # type: ignore[union-attr]


def throttled(now_s: float) -> float:
    """Full speed for three seconds, then ever slower, down to a third."""
    return 1 + min(max(now_s - 3, 0) / 5, 2)


def bursts() -> Callable[[float], float]:
    """Others take the machine for 0.3 s of each 0.8 s, in which a step takes three times as long."""
    return lambda now_s: 3.0 if now_s % 0.8 < 0.3 else 1.0


MANY = {f"v{number} on e": 5.0 + number for number in range(12)}


@pytest.mark.parametrize(
    "slowness", [lambda now_s: 1.0, throttled, bursts(), lambda now_s: Random(now_s).uniform(1, 3)]
)
@pytest.mark.parametrize("seed", range(5))
def test_the_fastest_is_found_whatever_the_machine_does(slowness: Callable[[float], float], seed: int) -> None:
    names = list(MANY)
    Random(seed).shuffle(names)
    machine = Machine(30, slowness)
    found = fastest(machine.race({name: MANY[name] for name in names}))
    assert MANY[found] <= 1.1 * MANY["v0 on e"]
    assert machine.now_s <= 32
    assert machine.most_open <= 7, "so many models are in memory"


def test_without_a_burst_to_blame_those_far_behind_leave_at_once() -> None:
    entries = Machine(30, lambda now_s: 1.0).race({"a on e": 1.0, "b on e": 10.0})
    assert [entry.out for entry in entries] == ["", "10.0x as slow as a on e"]


def test_more_threads_are_not_tried_where_they_cannot_help() -> None:
    times = {"a on e, threads=1": 1.0, "b on e, threads=1": 10.0, "b on e, threads=2": 5.0}
    entries = Machine(30, lambda now_s: 1.0).race(times)
    assert entries[2].out == "not measured: 10.0x behind with 1 thread" and entries[2].contender is None


def test_threads_that_help_are_found_though_one_is_far_behind() -> None:
    times = {"a on e, threads=1": 5.0, "b on e, threads=1": 9.0, "b on e, threads=4": 2.5}
    assert fastest(Machine(30, lambda now_s: 1.0).race(times)) == "b on e, threads=4"


def test_what_fails_takes_its_further_threads_with_it_and_no_other() -> None:
    times = {"a on e, threads=1": 5.0, "b on e, threads=1": 1.0, "b on e, threads=2": 1.0}
    entries = Machine(30, lambda now_s: 1.0).race(times, fails=("b on e, threads=1",))
    assert [entry.failed for entry in entries] == [False, True, True]
    assert fastest(entries) == "a on e, threads=1"


def test_the_best_of_each_variant_is_found_where_a_deadline_asks_for_it() -> None:
    times = {"a on e, threads=1": 1.0, "b on e, threads=1": 20.0, "a on e, threads=2": 0.6, "b on e, threads=2": 12.0}
    entries = Machine(30, lambda now_s: 1.0).race(times, by_variant=True)
    assert {entry.candidate.name for entry in entries if not entry.out} == {"a on e, threads=2", "b on e, threads=2"}


def test_who_was_put_out_by_bad_luck_is_met_once_more() -> None:
    machine = Machine(30, lambda now_s: 1.0)
    machine.unlucky = {"b on e"}
    assert fastest(machine.race({"a on e": 2.0, "b on e": 1.0})) == "b on e"


def test_a_budget_that_is_over_is_said() -> None:
    machine = Machine(2, lambda now_s: 1.0)
    entries = machine.race(MANY)
    assert any(entry.out == "not measured: the budget was spent" for entry in entries)
    assert machine.now_s < 3.5
