"""Requests to a server on threads of their own, so that whoever asks need not wait for an answer longer than it likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import monotonic, monotonic_ns

import numpy as np

from edge_sdk.errors import EngineError, RemoteError
from edge_sdk.remote.client import Client
from edge_sdk.tensors import Array, TensorSpec

_END_S, _CANCEL_S = 2.0, 0.05
_MS, _S = 1e-6, 1e-9  # of nanoseconds
Judge = Callable[[int, tuple[Array, ...]], None]


@dataclass(eq=False)
class RemoteRequest:
    """Questions that a server is asked one after the other.

    Attributes:
        questions: the input tensor of each.
        judge: raises RemoteError if the answer to the question of a number is no good.
        proof: whether it is for knowing the server, not for a result.
        check: called where an answer came over a new connection, behind which there may be another server; raises RemoteError if so.
        began_ns: when it was made.
        took_ms: of each question that was answered.
        outputs: of the last answer.
        failure: why there is none.
        transferred: bytes that went both ways.
        connections: made for it.
        ended: set at its end, for who waits for any of several.
    """

    questions: Sequence[Array]
    judge: Judge
    proof: bool
    check: Callable[[Client], None] | None = None
    began_ns: int = field(default_factory=monotonic_ns)
    took_ms: list[float] = field(default_factory=list)
    outputs: tuple[Array, ...] = ()
    failure: EngineError | None = None
    transferred: int = 0
    connections: int = 0
    ended: threading.Event | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        """Whether it was answered, or failed."""
        return self._over.is_set()

    def wait(self, until_ns: int) -> bool:
        """Until it is over, but no longer than to this moment; whether it is."""
        return self._over.is_set() or self._over.wait(max(until_ns - monotonic_ns(), 0) * _S)

    def ask(self, client: Client, closing: threading.Event) -> None:
        """Ask. Called in the thread of the client."""
        before, connections = client.sent_bytes + client.received_bytes, client.connections
        try:
            for number, question in enumerate(self.questions):
                if closing.is_set():
                    raise RemoteError("the loop is being closed")
                began_ns = monotonic_ns()
                outputs = client.infer((question,))
                self.took_ms.append((monotonic_ns() - began_ns) * _MS)
                self.judge(number, outputs)
                self.outputs = outputs
            if self.check is not None and client.connections > connections:
                self.check(client)
        except EngineError as exc:
            self.failure = exc
        except Exception as exc:  # noqa: BLE001 - told as every failure is: no answer may end the thread, and with it all help
            self.failure = RemoteError(f"the client failed, which is a fault of its own: {type(exc).__name__}: {exc}")
        self.transferred = client.sent_bytes + client.received_bytes - before
        self.connections = client.connections - connections
        self._over.set()
        if self.ended is not None:
            self.ended.set()


class Asker:
    """One client, its thread, and the buffer of the tensor that it sends.

    Args:
        client: closed with this.
        spec: of the tensor.

    Attributes:
        buffer: free for writing while nothing is under way.
        request: the one under way, or the last whose end nobody has looked at; None where there is none.
    """

    def __init__(self, client: Client, spec: TensorSpec) -> None:
        self.client = client
        self.buffer: Array = np.zeros(spec.shape, spec.dtype)
        self.request: RemoteRequest | None = None
        self._requests: SimpleQueue[RemoteRequest | None] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="remote", daemon=True)
        self._thread.start()

    def ask(self, request: RemoteRequest) -> RemoteRequest:
        """Begin a request; there must be none."""
        self.request = request
        self._requests.put(request)
        return request

    def close(self) -> bool:
        """Give up what is under way; whether the thread has ended. It has not where the system looks for a name, which nothing ends."""
        self._closing.set()
        self._requests.put(None)
        until = monotonic() + _END_S
        while self._thread.is_alive() and monotonic() < until:
            self.client.cancel()  # again, as a request may have begun since
            self._thread.join(_CANCEL_S)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (request := self._requests.get()) is not None:
                request.ask(self.client, self._closing)
                request = None
        finally:
            self.client.close()
