"""Any engine in a child process: a hang in native code costs a kill and a warm restart, a crash no more, never the application."""

from __future__ import annotations

import os
from collections.abc import Callable
from select import poll as Poll
from time import perf_counter
from typing import NoReturn

from edge_sdk.engines import DeviceReset, Engine, Options, device_reset
from edge_sdk.engines.cores import as_text, cores_of
from edge_sdk.engines.family import KILL_MS, Child, Server, raise_named
from edge_sdk.engines.spin import Spin
from edge_sdk.engines.wire import REOPEN, RESET, SharedTensors, memory_file, send, specs_from_json
from edge_sdk.errors import EngineCrashError, EngineError, EngineHangError
from edge_sdk.refusal import refusal
from edge_sdk.tensors import Array


class ProcessEngine(Engine):
    """Runs ``engine`` in a child made by a warm fork server; its tensors are in memory that both share.

    After EngineHangError or EngineCrashError call ``restart``; the input arrays are then to be fetched again, as they are others where a
    child was abandoned, and a model with variables begins with their first values.

    Args:
        engine: name of the engine, see ``edge_sdk.engines``.
        model: the model's content. It is copied into sealed memory, so restarts need no file.
        options: the engine's options, and ``cores`` (such as ``"4-7"``; default all), which the child is kept on.
        hang_ms: the hang budget of one run, in milliseconds.
        start_ms: the budget for starting the server and for loading the model the first time; a restart may take ten times as long as
            that did, and at least two seconds.
        start: whether to start it at once; otherwise the first ``restart`` does, and nothing is known of the model before.
        server: makes the child, and others', instead of one of its own; it is ready, and whoever lends it ends it.

    Attributes:
        pid: of the child.

    Raises:
        ConfigError: if there are no such cores.
        EngineError: if the engine cannot load the model; ConfigError or MissingPackageError as the engine does.
        EngineHangError, EngineCrashError: if it hangs or dies while loading.
    """

    def __init__(
        self,
        engine: str,
        model: bytes,
        options: Options | None = None,
        *,
        hang_ms: float,
        start_ms: float = 60_000,
        start: bool = True,
        server: Server | None = None,
    ) -> None:
        self.pid = 0
        self.inputs = self.outputs = ()
        self.input_arrays = ()
        self.description = f"{engine}, which has not started yet"
        self._has_started = self._interrupted = False
        self._hang_ms, self._start_ms = hang_ms, start_ms
        self._name = engine
        self._cores, self._options = cores_of(options or {})
        self._server, self._lent = server, server
        self._child: Child | None = None
        self._shared: SharedTensors | None = None
        self._spin = Spin(busy_cores=_threads(self._options))
        self._model_fd = -1
        try:
            self._model_fd = memory_file("edge-sdk-model", model)
            if start:
                self.restart()
        except BaseException:
            self.close()
            raise

    def run(self) -> tuple[Array, ...]:
        """See the base class.

        Raises:
            EngineHangError: if it did not come back within the hang budget; the child is killed.
            EngineCrashError: if the child died.
        """
        return self._ask(self._hang_ms, self._spin.wait)

    def reopen(self) -> None:
        """See the base class. It may take as long as a start.

        Raises:
            EngineHangError, EngineCrashError: as ``run``.
        """
        if self._shared is not None:
            self._shared.order(REOPEN)
        self._ask(self._start_ms, lambda poll, timeout_ms: poll.poll(timeout_ms))

    def restart(self) -> None:
        """Replace the child by a new one.

        Raises:
            EngineError, EngineHangError, EngineCrashError: if that fails.
        """
        if self._model_fd < 0 or self._interrupted:
            raise EngineError("the engine is closed")
        self._end_child()
        began = perf_counter()
        try:
            child = self._new_child()
            self._meet_child(child)
        except OSError as exc:
            self._end_child()
            raise EngineError(f"the engine cannot be started: {refusal(exc)}") from exc
        if not self._has_started and not child.takes_ms:  # a long start says nothing of the next
            self._has_started = True
            self._start_ms = max(10_000 * (perf_counter() - began), 2_000)

    def own_reset(self) -> DeviceReset | None:
        """See the base class."""
        return device_reset(self._name, self._options)

    def halt(self) -> None:
        """See the base class."""
        self._end_child()

    def interrupt(self) -> None:
        """See the base class."""
        self._interrupted = True
        for one in (self._child, self._server):
            if one is not None:
                one.interrupt()

    def reset(self) -> None:
        """See the base class. The child does it before its next run, within that run's hang budget; if it fails, that run fails."""
        if self.stateful and self._shared is not None:
            self._shared.order(RESET)

    def close(self) -> None:
        """See the base class."""
        self._end_child()
        if self._server is not self._lent:
            self._end_server()
        if self._shared is not None:
            self._shared.close()
            self._shared = None
            self.input_arrays = ()
        if self._model_fd >= 0:
            os.close(self._model_fd)
            self._model_fd = -1

    def _ask(self, budget_ms: float, wait: Callable[[Poll, float], list[tuple[int, int]]]) -> tuple[Array, ...]:
        """The outputs, when the child has done what it was asked to, for which it has so long."""
        child, shared = self._child, self._shared
        if child is None or shared is None:
            raise EngineCrashError("it was ended by an interruption; call restart()")
        try:
            os.eventfd_write(child.request_fd, 1)
            events = wait(child.poll, budget_ms)
        except BaseException:  # Ctrl-C in the middle: an answer may still come, and would be taken for the next one's
            self._end_child()
            raise
        fds = [fd for fd, _ in events]
        if child.response_fd not in fds:
            self._fail(budget_ms if not fds else None)
        os.eventfd_read(child.response_fd)
        error = shared.take_error()
        if error is not None:
            raise EngineError(error)
        return shared.outputs

    def _new_child(self) -> Child:
        order = {"engine": self._name, "options": self._options, "cores": self._cores}
        try:
            return self._child_of_server(order)
        except (ConnectionError, TimeoutError):
            self._end_server()  # it was killed or stopped from outside
        try:
            return self._child_of_server(order)
        except (ConnectionError, TimeoutError) as exc:
            self._end_server()
            raise EngineError(f"the engine's server cannot be started: {exc}") from exc

    def _child_of_server(self, order: object) -> Child:
        if self._server is None:
            self._server = Server(self._name)
            self._unless_interrupted(self._server)
            try:
                self._server.await_ready(self._start_ms)
            except BaseException:
                self._end_server()
                raise
        self._child = child = Child(self._server, order, self._model_fd)
        self._unless_interrupted(child)
        return child

    def _unless_interrupted(self, one: Child | Server) -> None:
        """``interrupt`` did not see what was made since."""
        if self._interrupted:
            one.interrupt()

    def _meet_child(self, child: Child) -> None:
        self.pid = child.pid
        loaded = child.loaded(self._start_ms)
        if not loaded:
            self._fail(None if child.gone_within(0) else child.takes_ms or self._start_ms)
        if "error" in loaded:
            self._end_child()
            raise_named(loaded["error"])
        self.inputs, self.outputs = specs_from_json(loaded["inputs"]), specs_from_json(loaded["outputs"])
        on = f" on cores {as_text(self._cores)}" if self._cores else ""
        self.description = f"{loaded['description']}, in a process of its own{on}"
        self.stateful = bool(loaded["stateful"])
        if self._shared is None:
            self._shared = SharedTensors.create(self.inputs, self.outputs)
        self._shared.take_error()  # of a run whose answer nobody waited for
        self._shared.take_order()  # a new child has nothing to forget
        self.input_arrays = self._shared.inputs
        try:
            send(child.control, {}, [self._shared.fd])
        except ConnectionError:
            self._fail(None)

    def _fail(self, hung_ms: float | None) -> NoReturn:
        """End the child and say that it hung, for ``hung_ms``, or died."""
        child, server = self._child, self._server
        reason = (
            "ended" if child is None or server is None or hung_ms is not None else server.reason_of_death(child.pid)
        )
        self._end_child()
        if hung_ms is not None:
            raise EngineHangError(hung_ms)
        raise EngineCrashError(reason)

    def _end_child(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        gone = child.killed_by(self._server)
        if not gone:  # the server was stopped, perhaps; the kernel ends its children with it
            self._end_server()
            gone = child.gone_within(KILL_MS)
        child.close()
        if not gone:
            self.abandoned += 1
            if self._shared is not None:  # it may write to the old tensors when it wakes
                self._shared.close()
                self._shared = None

    def _end_server(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.end()


def _threads(options: Options) -> int:
    """How many cores the engine keeps busy, as far as its options tell."""
    threads = options.get("threads", "")
    return int(threads) if threads.isdecimal() else 1
