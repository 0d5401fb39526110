"""What runs at a rung where a server may help: see ``HybridRunner``."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic_ns
from typing import Any

from edge_sdk.bundle import Variant
from edge_sdk.engines import Engine
from edge_sdk.errors import EngineError
from edge_sdk.hybrid.certainty import certainty_of
from edge_sdk.hybrid.clock import WaitClock
from edge_sdk.hybrid.remote_side import Question, RemoteSide, refuse_stateful
from edge_sdk.result import Stages
from edge_sdk.runner import Runs
from edge_sdk.sources import Sample
from edge_sdk.tasks import Task
from edge_sdk.watchdog.recovery import Recovery

_MS = 1e-6  # of nanoseconds


class HybridRunner:
    """A local runner that a server helps, by the policy ``hybrid``.

    - ``prefer = "local"``: the local value comes first, and stands ready. Where it is uncertain, and the server's p95 fits the time left,
      the server is asked, and its value counts if it comes in time.
    - ``prefer = "remote"``: the server is asked where its p95 fits the time that the local engine leaves. If the answer is not there at
      the latest moment at which the local engine is still in time, that runs, and its value counts.

    An answer is not waited for longer than twice the server's p95: the rest of the time is worth more as a reserve.

    So a server never makes a result late, nor lost, which the local engine could have made in time. It also serves for a local engine that
    failed, if time is left.

    Args:
        local: runs the local variant; closed with this.
        remote: the server's side; shared by the rungs, and its owner's to close.
        clock: tells how long may be waited.

    Attributes:
        local: as given.

    Raises:
        ConfigError: if the model remembers what it saw, or the task's values have no score that ``prefer = "local"`` needs.
    """

    def __init__(self, local: Runs, remote: RemoteSide, clock: WaitClock) -> None:
        self.local, self._remote, self._clock = local, remote, clock
        if local.stateful:
            refuse_stateful(local.variant)
        settings = remote.settings
        self._prefers_local = settings.prefer == "local"
        self._is_certain = certainty_of(remote.task_settings, settings.certain) if self._prefers_local else None
        self._by_remote = False  # the latest value
        self._local_failure: tuple[EngineError, int] | None = None  # of a sample that the server served
        self._began_ns = 0

    @property
    def variant(self) -> Variant:
        """Of the latest value."""
        return self._remote.variant if self._by_remote else self.local.variant

    @property
    def name(self) -> str:
        """Of what made the latest value."""
        return self._remote.name if self._by_remote else self.local.name

    @property
    def engine(self) -> Engine:
        """The local one."""
        return self.local.engine

    @property
    def task(self) -> Task:
        """Of the latest value."""
        return self._remote.task if self._by_remote else self.local.task

    @property
    def fastest_ms(self) -> float:
        """Of the local engine, where that is what a result takes at least; else 0, as nothing is known of the server."""
        return self.local.fastest_ms if self._prefers_local else 0.0

    @property
    def stateful(self) -> bool:
        """It is not."""
        return False

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """Of the local engine."""
        return self.local.recoveries

    @property
    def standby_s(self) -> float:
        """Of the local runner."""
        return self.local.standby_s

    def run(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        """See ``edge_sdk.runner.Runner.run``.

        Raises:
            EngineError: if the local engine failed, and the server did not help.
        """
        self._began_ns = monotonic_ns()
        self._recover()
        self._clock.see(sample)
        self._remote.tend()
        return self._local_first(sample, queue_ms) if self._prefers_local else self._remote_first(sample, queue_ms)

    def succeeded(self) -> None:
        """See ``Runner``."""
        if not self._by_remote:
            self.local.succeeded()

    def failed(self, failure: EngineError, sequence: int) -> None:
        """See ``Runner``."""
        self.local.failed(failure, sequence)

    def reset(self) -> None:
        """See ``Runner``."""
        self._remote.reset()
        self.local.reset()

    def follow(self, before: Runs) -> None:
        """See ``Runner``."""
        self.local.follow(before)
        self._by_remote = False

    def close(self) -> None:
        """End the local engine."""
        self.local.close()

    def _remote_first(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        if not self._clock.knows_local(self._began_ns):
            self._remote.keep_back("local")
            return self._run_local(sample, queue_ms)
        wait_ms = self._clock.before_local_ms(queue_ms)
        if self._remote.why_not(self._left_ms(wait_ms)):
            return self._run_local(sample, queue_ms)
        question = self._remote.ask(sample)
        if self._answered(question, min(wait_ms, self._patience_ms())):
            if not self._by_remote:
                self._remote.task.follow(self.local.task)
            return self._take(question, queue_ms)
        try:
            value = self._run_local(sample, queue_ms, (monotonic_ns() - question.request.began_ns) * _MS)
        except EngineError as exc:
            return self._help(question, queue_ms, exc)
        except BaseException:
            self._remote.forsake(question)
            raise
        self._rescued(question)
        return value

    def _local_first(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        if not self._by_remote:
            self._remote.task.follow(self.local.task)  # with what was known before this sample
        try:
            value, stages = self._run_local(sample, queue_ms)
        except EngineError as exc:
            if self._remote.why_not(self._left_ms(self._clock.to_deadline_ms(queue_ms))):
                raise
            return self._help(self._remote.ask(sample), queue_ms, exc)
        assert self._is_certain is not None  # noqa: S101 - it prefers local
        if self._is_certain(value):
            self._remote.keep_back("certain")
            return value, stages
        wait_ms = self._clock.after_local_ms(queue_ms)
        if self._remote.why_not(self._left_ms(wait_ms)):
            return value, stages
        question = self._remote.ask(sample)
        if self._answered(question, min(wait_ms, self._patience_ms())):
            value, of_remote = self._take(question, queue_ms)
            encode_ms, decode_ms = stages.encode_ms + of_remote.encode_ms, stages.decode_ms + of_remote.decode_ms
            return value, replace(of_remote, encode_ms=encode_ms, engine_ms=stages.engine_ms, decode_ms=decode_ms)
        self._rescued(question)
        waited_ms = (monotonic_ns() - question.request.began_ns) * _MS
        return value, replace(stages, encode_ms=stages.encode_ms + question.encode_ms, remote_ms=waited_ms)

    def _rescued(self, question: Question) -> None:
        """The local value counts, and nobody waits for the answer any more."""
        self._remote.rescued += 1
        self._remote.forsake(question)

    def _run_local(self, sample: Sample, queue_ms: float, waited_ms: float = 0.0) -> tuple[Any, Stages]:
        if self._by_remote:
            self._by_remote = False
            self.local.task.follow(self._remote.task)
        began_ns = monotonic_ns()
        value, stages = self.local.run(sample, queue_ms + waited_ms)
        ended_ns = monotonic_ns()
        self._clock.ran((ended_ns - began_ns) * _MS, ended_ns)
        if waited_ms:
            stages = replace(stages, queue_ms=queue_ms, remote_ms=waited_ms)
        return value, stages

    def _take(self, question: Question, queue_ms: float) -> tuple[Any, Stages]:
        self._by_remote = True
        return self._remote.take(question, queue_ms)

    def _help(self, question: Question, queue_ms: float, failure: EngineError) -> tuple[Any, Stages]:
        """The server's value in place of a local engine that failed, which is had back with the next sample.

        Raises:
            EngineError: that failure, if there is no answer in time.
        """
        if not self._answered(question, self._clock.to_deadline_ms(queue_ms)):
            self._remote.forsake(question)
            raise failure
        self._local_failure = (failure, question.sample.sequence)
        return self._take(question, queue_ms)

    def _answered(self, question: Question, wait_ms: float) -> bool:
        """Whether a good answer is there so long after this sample's begin."""
        return self._remote.answered(question, self._began_ns + round(wait_ms / _MS))

    def _patience_ms(self) -> float:
        """The same, of what an answer is worth waiting for from now on."""
        now_ns = monotonic_ns()
        return (now_ns - self._began_ns) * _MS + self._remote.trust.patience_ms(now_ns)

    def _left_ms(self, wait_ms: float) -> float:
        """Of a time that began with this sample."""
        return wait_ms - (monotonic_ns() - self._began_ns) * _MS

    def _recover(self) -> None:
        if self._local_failure is not None:
            failure, sequence = self._local_failure
            self._local_failure = None
            self.local.failed(failure, sequence)
