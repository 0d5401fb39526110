"""A variant on an accelerator with another that stands by: results keep coming while the accelerator is had back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from edge_sdk.bundle import Variant
from edge_sdk.engines import DeviceReset, Engine
from edge_sdk.errors import EngineCrashError, EngineError, EngineHangError
from edge_sdk.result import Event, Stages
from edge_sdk.runner import Runner, Runs
from edge_sdk.sources import Sample
from edge_sdk.tasks import Task
from edge_sdk.watchdog.comeback import Comeback
from edge_sdk.watchdog.processes import memory_mb
from edge_sdk.watchdog.recovery import Recovery, kind_of
from edge_sdk.watchdog.steps import WORDS, Patience
from edge_sdk.watchdog.trial import Trial

_KEPT = 1_000
_MS, _S = 1e-6, 1e-9  # of nanoseconds


class StandbyRunner:
    """Runs the primary; upon a failure that one more try does not help, the stand-by from the same sample on, if its deadline allows.

    The stand-by is open all the time, so the change costs nothing. The primary is had back in another thread, and changed to between two
    samples. An accelerator that is not there at the start is had back in the same way.

    Args:
        primary: not started yet; closed with this.
        standby: running; closed with this.
        trial: proves that the primary answers as it should.
        reset: resets the primary's device, if anything can.
        hint: what to tell a user whose primary hung or died at its start.
        patience: of the ways back.
        deadline_ms: of the loop.
        tell: told of every step.

    Attributes:
        primary, standby: as given.
        serving: one of the two.

    Raises:
        EdgeSdkError: if the primary cannot be started by what is no failure of its device, such as a setting or a missing package.
    """

    def __init__(
        self,
        primary: Runner,
        standby: Runner,
        trial: Trial,
        *,
        reset: DeviceReset | None,
        hint: Callable[[], str],
        patience: Patience,
        deadline_ms: float,
        tell: Callable[[Event], None],
    ) -> None:
        self.primary, self.standby, self.serving = primary, standby, standby
        self._trial, self._deadline_ms, self._tell = trial, deadline_ms, tell
        self._comeback = Comeback(primary.engine, self._prove, reset=reset, patience=patience)
        self._recoveries: deque[Recovery] = deque(maxlen=_KEPT)
        self._has_erred = self._is_closed = False
        self._failure = ("start", -1)
        self._away_since_ns, self._away_ns = monotonic_ns(), 0
        try:
            self._start(patience.start_s, hint)
        except BaseException:
            self.close()
            raise

    @property
    def variant(self) -> Variant:
        """Of what serves."""
        return self.serving.variant

    @property
    def name(self) -> str:
        """Of what serves."""
        return self.serving.name

    @property
    def engine(self) -> Engine:
        """Of what serves."""
        return self.serving.engine

    @property
    def task(self) -> Task:
        """Of what serves."""
        return self.serving.task

    @property
    def fastest_ms(self) -> float:
        """Of what serves."""
        return self.serving.fastest_ms

    @property
    def stateful(self) -> bool:
        """See ``Runner``: both are variants of one model."""
        return self.serving.stateful

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """Of both."""
        return (*self._recoveries, *self.standby.recoveries)

    @property
    def standby_s(self) -> float:
        """Seconds for which the stand-by served."""
        away_ns = monotonic_ns() - self._away_since_ns if self.serving is self.standby and not self._is_closed else 0
        return (self._away_ns + away_ns) * _S

    def run(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        """See ``Runner.run``; a failure of the primary is raised only if the deadline leaves no time for another try."""
        began_ns = monotonic_ns()
        self._tell_news()
        if self.serving is self.standby and self._comeback.back:
            self._return()
        self._check_open()
        try:
            return self.serving.run(sample, queue_ms)
        except EngineError as exc:
            waited_ms = queue_ms + (monotonic_ns() - began_ns) * _MS
            if self.serving is self.standby or waited_ms + self._next_ms > self._deadline_ms:
                raise
            self._primary_failed(exc, sample.sequence)
        return self.run(sample, waited_ms)

    def succeeded(self) -> None:
        """See ``Runner``."""
        self._has_erred = False
        if self.serving is self.standby:
            self.standby.succeeded()

    def failed(self, failure: EngineError, sequence: int) -> None:
        """See ``Runner``: the stand-by, which has none of its own, is had back as any engine."""
        if self._is_closed:
            return
        if self.serving is self.standby:
            self.standby.failed(failure, sequence)
        else:
            self._primary_failed(failure, sequence)

    def reset(self) -> None:
        """See ``Runner``."""
        self.serving.reset()

    def follow(self, before: Runs) -> None:
        """See ``Runner``."""
        self.serving.follow(before)

    def close(self) -> None:
        """End both, and what is under way."""
        if self._is_closed:
            return
        self._away_ns, self._is_closed = round(self.standby_s / _S), True
        self._comeback.close()
        self._tell_news()
        self.primary.close()
        self.standby.close()

    @property
    def _next_ms(self) -> float:
        """What another try takes at least."""
        return max(self.primary.fastest_ms, self.standby.fastest_ms)

    def _check_open(self) -> None:
        """Who is told of an event may close the loop."""
        if self._is_closed:
            raise EngineError("the engine is closed")

    def _start(self, longest_s: float, hint: Callable[[], str]) -> None:
        self._comeback.begin("start", None)
        self._comeback.wait(longest_s)
        failure = self._comeback.failure
        if failure is not None and not isinstance(failure, EngineError):
            raise failure
        if self._comeback.back:
            self._news_unless_smooth()
            self._change(self.primary)
        else:
            self._tell_news()
            why = "has not started yet" if failure is None else f"cannot be had: {failure}"
            more = hint() if isinstance(failure, EngineHangError | EngineCrashError) else ""
            said = f"{self.standby.name} serves, as {self.primary.name} {why}. It is tried again"
            self._say("standby_on", f"{said}; {more}" if more else said)

    def _news_unless_smooth(self) -> None:
        news = self._comeback.news()
        for event in news if len(news) > 1 else ():
            self._tell(event)

    def _prove(self) -> None:
        """Called in the other thread."""
        self.primary.prepare()
        self._trial.run(self.primary.engine)

    def _primary_failed(self, failure: EngineError, sequence: int) -> None:
        kind = kind_of(failure)
        self._say(kind, str(failure), sequence)
        if kind == "engine_error" and not self._has_erred:
            self._has_erred = True
            if self.primary.stateful:  # how far it came with this sample is not known
                self.primary.reset()
            again = f"{self.primary.name} is asked once more before anything else is done{self._lost_state}"
            self._say("retried", again, sequence)
            return
        self._has_erred, self._failure = False, (kind, sequence)
        self._away_since_ns = monotonic_ns()
        self._change(self.standby)
        self._comeback.begin(kind, sequence)
        took_ms = (monotonic_ns() - self._away_since_ns) * _MS
        message = f"{self.standby.name} serves while {self.primary.name} is had back{self._lost_state}"
        self._say("standby_on", message, sequence, took_ms)

    def _return(self) -> None:
        self._change(self.primary)
        kind, sequence = self._failure
        took_ms = (monotonic_ns() - self._away_since_ns) * _MS
        step = WORDS[self._comeback.step]
        self._recoveries.append(Recovery(kind, sequence, took_ms, step, self.standby.name))
        message = f"{self.primary.name} serves again, after {took_ms:.0f} ms, by {step}{self._lost_state}"
        self._say("recovered", message, None if sequence < 0 else sequence, took_ms)

    def _change(self, to: Runner) -> None:
        if to is self.serving:
            return
        to.follow(self.serving)
        if to is self.primary:
            self._away_ns += monotonic_ns() - self._away_since_ns
        self.serving = to

    @property
    def _lost_state(self) -> str:
        return "; the model begins anew, without what it saw before" if self.serving.stateful else ""

    def _tell_news(self) -> None:
        for event in self._comeback.news():
            self._tell(event)

    def _say(self, kind: str, message: str, sequence: int | None = None, took_ms: float | None = None) -> None:
        self._tell(Event(kind, message, monotonic_ns(), sequence, took_ms))


def readiness(runner: StandbyRunner, deadline_ms: float) -> str:
    """What stands by, and what that costs."""
    standby = runner.standby
    pid = getattr(standby.engine, "pid", 0)
    costs = f"{memory_mb([pid]):.0f} MB and at least {standby.fastest_ms:.2g} ms a sample"
    late = ", longer than the deadline: all its results will be late" if standby.fastest_ms > deadline_ms else ""
    return f"{standby.name} is kept open to stand by for {runner.primary.name}; it takes {costs}{late}"
