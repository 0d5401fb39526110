"""What runs where nothing runs here: the policy ``remote``."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any

from edge_sdk.bundle import Variant
from edge_sdk.engines import Engine
from edge_sdk.errors import EngineError, RemoteError, RemoteTimeoutError
from edge_sdk.hybrid.remote_side import RemoteSide
from edge_sdk.result import Stages
from edge_sdk.runner import Runs
from edge_sdk.sources import Sample
from edge_sdk.tasks import Task
from edge_sdk.tensors import Array
from edge_sdk.watchdog.recovery import Recovery

_START_S = 5.0  # for the first proof


class RemoteRunner:
    """Asks the server about every sample, whether in time or not; a sample without an answer is lost. It goes on asking a server that is
    gone or fails, but not one that was seen to answer wrongly, until that has proven itself.

    Args:
        remote: the server's side; its owner's to close.
        hang_ms: no answer is waited for longer than this.
    """

    def __init__(self, remote: RemoteSide, hang_ms: float) -> None:
        self._remote, self._hang_ns = remote, round(hang_ms * 1e6)
        self.engine: Engine = Elsewhere(remote)
        self.variant: Variant = remote.variant
        self.name, self.fastest_ms, self.stateful, self.standby_s = remote.name, 0.0, False, 0.0
        self.recoveries: tuple[Recovery, ...] = ()
        remote.wait_proven(monotonic_ns() + round(_START_S * 1e9))

    @property
    def task(self) -> Task:
        """Of the server's side."""
        return self._remote.task

    def run(self, sample: Sample, queue_ms: float) -> tuple[Any, Stages]:
        """See ``edge_sdk.runner.Runner.run``.

        Raises:
            RemoteError: if there is no answer.
        """
        until_ns = monotonic_ns() + self._hang_ns
        self._remote.tend()
        breaker = self._remote.trust.breaker
        if breaker.state != "closed" and breaker.reason == "wrong":
            self._remote.keep_back("out")
            raise RemoteError("the server answered wrongly, and has not proven itself since")
        if not self._remote.wait_free(until_ns):
            self._remote.keep_back("busy")
            raise RemoteTimeoutError("earlier requests are still under way")
        if not self._remote.has_bytes():
            self._remote.keep_back("bytes")
            raise RemoteError("no bytes are left for the server")
        question = self._remote.ask(sample)
        if self._remote.answered(question, until_ns):
            return self._remote.take(question, queue_ms)
        self._remote.forsake(question)
        raise question.request.failure or RemoteTimeoutError("the server did not answer within the hang budget")

    def succeeded(self) -> None:
        """See ``Runner``."""

    def failed(self, failure: EngineError, sequence: int) -> None:
        """See ``Runner``: the breaker has told of it, and has it back."""

    def reset(self) -> None:
        """See ``Runner``."""
        self._remote.reset()

    def follow(self, before: Runs) -> None:
        """See ``Runner``."""
        self.task.follow(before.task)

    def close(self) -> None:
        """Nothing runs here."""


class Elsewhere(Engine):
    """Stands where a local engine would: says what it is, and runs nothing."""

    def __init__(self, remote: RemoteSide) -> None:
        self.inputs, self.outputs = remote.variant.inputs, remote.variant.outputs
        self.input_arrays = ()
        self.description = f"the server {remote.description}"

    def run(self) -> tuple[Array, ...]:
        """See the base class.

        Raises:
            EngineError: always.
        """
        raise EngineError("the engine is a server, which the loop asks; nothing runs here")
