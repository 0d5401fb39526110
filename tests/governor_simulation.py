"""A loop, a source and a board in simulated time, to see what a governor does with them.

The loop is that of the device: one sample at a time; the source's newest sample waits (or, lossless, a queue of them), and a sample is
skipped unless ``run_every`` were captured since the one processed before.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_sdk.watchdog.governor import Governor, GovernorSettings, Rung, Step
from edge_sdk.watchdog.thermal import Heat

S = 1_000_000_000
START_NS = 77 * S


@dataclass
class Board:
    """Heat with inertia: it nears ``ambient + gain * utilisation`` with the time constant ``tau_s``."""

    ambient: float = 40.0
    gain: float = 50.0
    tau_s: float = 60.0
    throttle_celsius: float | None = 80.0
    celsius: float = 40.0

    def go(self, seconds: float, utilisation: float) -> None:
        goal = self.ambient + self.gain * utilisation
        self.celsius += (goal - self.celsius) * min(1.0, seconds / self.tau_s)


@dataclass(frozen=True)
class Moment:
    at_s: float
    age_ms: float
    late: bool
    rung: int


@dataclass
class Run:
    """What happened."""

    moments: list[Moment] = field(default_factory=list)
    steps: list[tuple[float, Step]] = field(default_factory=list)
    celsius: list[tuple[float, float]] = field(default_factory=list)
    dropped: int = 0

    def miss_ratio(self, begin_s: float, end_s: float) -> float:
        within = [m.late for m in self.moments if begin_s <= m.at_s < end_s]
        return sum(within) / max(len(within), 1)

    def rung_at(self, at_s: float) -> int:
        return next((step.rung for when, step in reversed(self.steps) if when <= at_s), 0)

    def climbs(self, begin_s: float = 0.0, end_s: float = 1e18) -> int:
        return sum(step.kind == "climbed" and begin_s <= when < end_s for when, step in self.steps)

    def back_at_s(self, after_s: float) -> float | None:
        """When it is on rung 0, and stays there."""
        if self.rung_at(1e18):
            return None
        return max((when for when, step in self.steps if step.rung == 0), default=0.0) if self.steps else after_s


Service = Callable[[Rung, float], float]
"""Service time in milliseconds on a rung at a time in seconds."""


def simulate(
    settings: GovernorSettings,
    service_ms: Service,
    *,
    seconds: float,
    period_s: Callable[[float], float],
    deadline_ms: float,
    lossless: bool = False,
    caller_ms: float = 0.0,
    switch_ms: float = 0.0,
    jitter: float = 0.0,
    board: Board | None = None,
    seed: int = 0,
) -> Run:
    """Run it; ``caller_ms`` is what the user's own code takes after a result, ``switch_ms`` what a step takes."""
    rng = random.Random(seed)
    governor = Governor(settings, deadline_ms=deadline_ms, now_ns=START_NS, lossless=lossless)
    run = Run()
    arrivals = _Arrivals(period_s, rng, jitter, 200 if lossless else 1)
    now_s, last_sequence, busy_ms, heated_s, busy_s = 0.0, -1, 0.0, 0.0, 0.0
    while now_s < seconds:
        sequence, captured_s, dropped = arrivals.take(now_s)
        run.dropped += dropped
        now_s = max(now_s, captured_s)
        rung = governor.ladder[governor.rung]
        if sequence - last_sequence >= rung.run_every:
            taken_s = now_s
            took_ms = service_ms(rung, now_s)
            now_s += took_ms / 1e3
            busy_s += took_ms / 1e3
            age_ms = (now_s - captured_s) * 1e3
            late = age_ms > deadline_ms
            run.moments.append(Moment(now_s, age_ms, late, governor.rung))
            step = governor.result(
                START_NS + int(now_s * S),
                late=late,
                age_ms=age_ms,
                service_ms=took_ms,
                queue_ms=(taken_s - captured_s) * 1e3,
                busy_ms=busy_ms,
                samples=sequence - last_sequence,
                dropped=dropped,
            )
            last_sequence = sequence
            now_s = _take(step, run, governor, now_s, switch_ms)
            now_s += caller_ms / 1e3
            busy_ms = (now_s - taken_s) * 1e3
        if board is not None and now_s - heated_s >= 2.0:
            board.go(now_s - heated_s, min(1.0, busy_s / (now_s - heated_s)))
            heated_s, busy_s = now_s, 0.0
            run.celsius.append((now_s, board.celsius))
            step = governor.heat(Heat(board.celsius, board.throttle_celsius), START_NS + int(now_s * S))
            now_s = _take(step, run, governor, now_s, switch_ms)
        assert 0 <= governor.rung < len(governor.ladder)
    return run


def _take(step: Step | None, run: Run, governor: Governor, now_s: float, switch_ms: float) -> float:
    if step is None:
        return now_s
    run.steps.append((now_s, step))
    assert step.rung == governor.rung and step.reason
    if step.kind != "ladder_ended" and switch_ms:
        now_s += switch_ms / 1e3
        governor.settled(START_NS + int(now_s * S))
    return now_s


class _Arrivals:
    """The source and its mailbox."""

    def __init__(self, period_s: Callable[[float], float], rng: random.Random, jitter: float, room: int) -> None:
        self._period_s, self._rng, self._jitter = period_s, rng, jitter
        self._waiting: deque[tuple[int, float]] = deque()
        self._room = room
        self._next_s, self._sequence = 0.0, 0

    def take(self, now_s: float) -> tuple[int, float, int]:
        """The sample to process at this time, or the next one to come: number, capture time, how many were dropped for it."""
        dropped = 0
        while self._next_s <= now_s or not self._waiting:
            self._waiting.append((self._sequence, self._next_s))
            if len(self._waiting) > self._room:
                self._waiting.popleft()
                dropped += 1
            self._sequence += 1
            period_s = self._period_s(self._next_s)
            self._next_s += period_s * (1 + self._jitter * self._rng.uniform(-1, 1))
        return (*self._waiting.popleft(), dropped)
