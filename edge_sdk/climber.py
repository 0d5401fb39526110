"""Carries the loop up and down the ladder: holds what runs on each rung, and takes the steps that the governor wants.

All that the rungs need is opened at the start and kept: a step under overload starts nothing, and cannot fail.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING

from edge_sdk.errors import ConfigError
from edge_sdk.result import Event, Result
from edge_sdk.runner import Runs
from edge_sdk.watchdog.governor import Governor, GovernorSettings, Step
from edge_sdk.watchdog.ladder import AS_CONFIGURED, Rung
from edge_sdk.watchdog.pulse import Pulse
from edge_sdk.watchdog.recovery import Recovery
from edge_sdk.watchdog.thermal import Heat, HeatReader, HeatWatch

if TYPE_CHECKING:
    from boards.profile import Thermal

_HANGS_S = 30.0  # a sensor, or vcgencmd, that does not answer for so long


class Climber:
    """Where the loop stands, and what runs there.

    Args:
        make_runner: opens what runs at a rung.
        settings: of the governor; None stays at the foot.
        thermal: where the board's profile says that heat is read.
        deadline_ms: the longest age that is of use.
        lossless: samples wait in a queue: none may be dropped.
        pulse: keeps the rung over a restart.
        tell: told of every step.
        price: says what a rung costs.

    Attributes:
        rung: the present one, 0 is as configured.
        runner: what runs there.
        heat: as last read, or None.
        run_every: of how many samples one is processed.

    Raises:
        ConfigError: if the rungs do not fit the bundle or each other.
    """

    def __init__(
        self,
        make_runner: Callable[[Rung], Runs],
        settings: GovernorSettings | None,
        *,
        thermal: Thermal | None,
        deadline_ms: float,
        lossless: bool,
        pulse: Pulse,
        tell: Callable[[Event], None],
        price: Callable[[Rung], str],
    ) -> None:
        self._pulse, self._tell = pulse, tell
        self._problems: deque[str] = deque()  # of reading the temperature, from the thread that does
        self._heat_hangs = False
        self.ladder = (AS_CONFIGURED, *(settings.rungs if settings else ()))
        self._prices = [price(rung) for rung in self.ladder]
        self._runners: list[Runs] = []
        self._dropped = 0
        for rung in self.ladder:
            self._runners.append(self._alike(rung) or make_runner(rung))
        self._check()
        self.rung = min(pulse.rung, len(self.ladder) - 1)
        self._stand()
        self._governor: Governor | None = None
        self._watch: HeatWatch | None = None
        self.heat: Heat | None = None
        if settings is not None:
            self._governor = Governor(
                settings, deadline_ms=deadline_ms, now_ns=monotonic_ns(), lossless=lossless, rung=self.rung
            )
            self._watch = HeatWatch(HeatReader(thermal), on_problem=self._problems.append)

    def took(self, result: Result, made_ns: int, busy_ms: float, dropped: int) -> None:
        """A result was made: step if the governor wants to.

        Args:
            result: the result.
            made_ns: when it was made, on the clock of ``time.monotonic_ns``; a recording's own times may be others.
            busy_ms: from taking its sample to asking for the next one.
            dropped: samples that were dropped in the whole life of the loop.
        """
        if self._governor is None or self._watch is None:
            return
        self._say_problems(self._watch)
        if (heat := self._watch.latest) is not self.heat:
            self.heat = heat
            if step := self._governor.heat(heat, monotonic_ns()):
                self._take(step)
                return  # the result is of before the step
        stages = result.stages
        newly_dropped, self._dropped = dropped - self._dropped, dropped
        step = self._governor.result(
            made_ns,
            late=result.late,
            age_ms=result.age_ms,
            service_ms=stages.encode_ms + stages.engine_ms + stages.decode_ms,
            queue_ms=stages.queue_ms,
            busy_ms=busy_ms,
            samples=result.dropped_before + 1,
            dropped=newly_dropped,
        )
        self._take(step)

    def close(self) -> None:
        """Stop reading the temperature; what runs is its owner's to close."""
        if self._watch is not None:
            self._watch.close()

    @property
    def standby_s(self) -> float:
        """Seconds for which a stand-by stood in for what is configured."""
        return sum(runner.standby_s for runner in set(self._runners))

    def recoveries(self) -> tuple[Recovery, ...]:
        """Of all engines, in the order of their samples."""
        each = (recovery for runner in set(self._runners) for recovery in runner.recoveries)
        return tuple(sorted(each, key=lambda recovery: recovery.sequence))

    def _say_problems(self, watch: HeatWatch) -> None:
        hangs = watch.age_s > _HANGS_S
        if hangs and not self._heat_hangs:
            self._problems.append(
                f"no reading of the temperature came back for {_HANGS_S:g} s; the last one is taken as true"
            )
        self._heat_hangs = hangs
        while self._problems:
            self._tell(Event("heat_unknown", self._problems.popleft(), monotonic_ns()))

    def _take(self, step: Step | None) -> None:
        if step is None:
            return
        if step.rung != self.rung:
            before, self.rung = self.runner, step.rung
            self._stand()
            if self.runner is not before:
                self.runner.follow(before)
            if self._governor is not None:
                self._governor.settled(monotonic_ns())
        price = f"; the price: {self._prices[step.rung]}" if step.kind == "climbed" else ""
        self._tell(Event(step.kind, step.reason + price, monotonic_ns()))  # last: who is told may close the loop

    def _stand(self) -> None:
        self.runner, self.run_every = self._runners[self.rung], self.ladder[self.rung].run_every
        self._pulse.rung = self.rung

    def _alike(self, rung: Rung) -> Runs | None:
        pairs = zip(self._runners, self.ladder, strict=False)
        return next((runner for runner, other in pairs if other.runs_as(rung)), None)

    def _check(self) -> None:
        if any(r.stateful for r in self._runners) and any(rung.run_every > 1 for rung in self.ladder):
            raise ConfigError(
                "[governor] the model remembers what it saw, and takes every sample in turn: no rung may leave any out. Give rungs with "
                "another variant or engine, and without run_every"
            )
