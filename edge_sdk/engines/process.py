"""Any engine in a child process: a hang in native code costs a kill and a warm restart, a crash no more, never the application."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from time import perf_counter

import edge_sdk.errors
from edge_sdk.engines import Engine, Options
from edge_sdk.engines.spin import Spin
from edge_sdk.engines.wire import SharedTensors, memory_file, receive, send, specs_from_json
from edge_sdk.errors import EdgeSdkError, EngineCrashError, EngineError, EngineHangError
from edge_sdk.tensors import Array

_ANSWER_S = 2  # a fork takes milliseconds; a server that needs longer was stopped, and is replaced
_KILL_MS = 1_000  # a process that outlives SIGKILL by this is in an uninterruptible kernel call: it is abandoned


class ProcessEngine(Engine):
    """Runs ``engine`` in a child made by a warm fork server; its tensors are in memory that both share.

    After EngineHangError or EngineCrashError call ``restart``; the input arrays are then to be fetched again.

    Args:
        engine: name of the engine, see ``edge_sdk.engines``.
        model: the model's content. It is copied into sealed memory, so restarts need no file.
        options: the engine's options.
        hang_ms: the hang budget of one run, in milliseconds.
        start_ms: the budget for starting the server and for loading the model the first time; a restart may take ten times as long as
            that did, and at least two seconds.

    Attributes:
        abandoned: children that outlived SIGKILL (in an uninterruptible kernel call).
        pid: of the child.

    Raises:
        EngineError: if the engine cannot load the model; ConfigError or MissingPackageError as the engine does.
        EngineHangError, EngineCrashError: if it hangs or dies while loading.
    """

    def __init__(
        self, engine: str, model: bytes, options: Options | None = None, *, hang_ms: float, start_ms: float = 60_000
    ) -> None:
        self.abandoned = 0
        self.pid = 0
        self._hang_ms, self._start_ms = hang_ms, start_ms
        self._spawn_message = {"engine": engine, "options": options or {}}
        self._server: _Server | None = None
        self._child: _Child | None = None
        self._shared: SharedTensors | None = None
        self._spin = Spin()
        self._model_fd = memory_file("edge-sdk-model", model)
        try:
            started = perf_counter()
            self.restart()
            self._start_ms = max(10_000 * (perf_counter() - started), 2_000)
        except BaseException:
            self.close()
            raise

    def run(self) -> tuple[Array, ...]:
        """See the base class.

        Raises:
            EngineHangError: if it did not come back within the hang budget; the child is killed.
            EngineCrashError: if the child died.
        """
        child, shared = self._child, self._shared
        if child is None or shared is None:
            raise EngineError("the engine's process is gone; call restart()")
        started = perf_counter()
        try:
            os.eventfd_write(child.request_fd, 1)
            events = self._spin.wait(child.poll, self._hang_ms)
        except BaseException:  # Ctrl-C in the middle: an answer may still come, and would be taken for the next one's
            self._end_child()
            raise
        fds = [fd for fd, _ in events]
        if child.response_fd not in fds:
            self._fail(hung=not fds)
        os.eventfd_read(child.response_fd)
        self._spin.learn(perf_counter() - started)
        error = shared.take_error()
        if error is not None:
            raise EngineError(error)
        return shared.outputs

    def restart(self) -> None:
        """Replace the child by a new one; ``input_arrays`` are new objects afterwards.

        Raises:
            EngineError, EngineHangError, EngineCrashError: if that fails.
        """
        self._end_child()
        for attempt in (1, 2):
            try:
                if self._server is None:
                    self._server = _Server(str(self._spawn_message["engine"]), self._start_ms)
                self._child = _Child(self._server, self._spawn_message, self._model_fd)
                break
            except (ConnectionError, TimeoutError) as exc:
                self._end_server()  # it was killed or stopped from outside
                if attempt == 2:
                    raise EngineError(f"the engine's server cannot be started: {exc}") from exc
        self._meet_child()

    def close(self) -> None:
        """See the base class."""
        self._end_child()
        self._end_server()
        if self._shared is not None:
            self._shared.close()
            self._shared = None
            self.input_arrays = ()
        if self._model_fd >= 0:
            os.close(self._model_fd)
            self._model_fd = -1

    def _meet_child(self) -> None:
        child = self._child
        assert child is not None  # noqa: S101 - restart has just made it
        self.pid = child.pid
        loaded = child.loaded(self._start_ms)
        if loaded is None:
            self._fail(hung=not child.dead(), budget_ms=self._start_ms)
            return
        if "error" in loaded:
            self._end_child()
            raise_named(loaded["error"])
        self.inputs, self.outputs = specs_from_json(loaded["inputs"]), specs_from_json(loaded["outputs"])
        self.description = f"{loaded['description']}, in a process of its own"
        if self._shared is None:
            self._shared = SharedTensors.create(self.inputs, self.outputs)
        self.input_arrays = self._shared.inputs
        send(child.control, {}, [self._shared.fd])

    def _fail(self, *, hung: bool, budget_ms: float | None = None) -> None:
        child, server = self._child, self._server
        assert child is not None and server is not None  # noqa: S101 - only a live child can fail
        reason = "" if hung else server.reason_of_death(child.pid)
        self._end_child()
        if hung:
            raise EngineHangError(budget_ms or self._hang_ms)
        raise EngineCrashError(reason)

    def _end_child(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        if not child.end():
            self.abandoned += 1
            if self._shared is not None:  # it may write to the old tensors when it wakes
                self._shared.close()
                self._shared = None

    def _end_server(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.end()


class _Server:
    """The application's side of a fork server."""

    def __init__(self, engine: str, start_ms: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            code = f"import sys; sys.path[:] = {sys.path!r}; from edge_sdk.engines.server import main; main({theirs.fileno()}, {engine!r})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "OPENBLAS_NUM_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                },  # its threads would not survive a fork
            )
        self.socket = ours
        try:
            ours.settimeout(start_ms / 1000)
            message, _ = receive(ours)
            if message is None:
                raise ConnectionError("it ended before it was ready")
            if "error" in message:
                raise_named(message["error"])
            ours.settimeout(_ANSWER_S)
        except BaseException:
            self.end()
            raise

    def ask(self, message: object, fds: list[int]) -> tuple[int, int]:
        """Have a child made; its pid and a pidfd."""
        send(self.socket, message, fds)
        while True:
            answer, answer_fds = receive(self.socket)
            if answer is None:
                raise ConnectionError("it is gone")
            if "pid" in answer:
                return int(str(answer["pid"])), answer_fds[0]

    def reason_of_death(self, pid: int) -> str:
        """How the child ended, in words."""
        try:
            while True:
                message, _ = receive(self.socket)
                if message is None:
                    return "its server died with it"
                if message.get("exited") == pid:
                    code = int(str(message["code"]))
                    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
        except (TimeoutError, ConnectionError):
            return "in an unknown way (its server does not answer)"

    def end(self) -> None:
        """Close the socket, upon which it ends itself and its children; kill it if it does not."""
        self.socket.close()
        try:
            self._process.wait(_KILL_MS / 1000)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILL_MS / 1000)


class _Child:
    """The application's side of one child."""

    def __init__(self, server: _Server, message: object, model_fd: int) -> None:
        self.request_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.response_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pidfd = -1
        try:
            with theirs:
                fds = [model_fd, theirs.fileno(), self.request_fd, self.response_fd]
                self.pid, self._pidfd = server.ask(message, fds)
        except BaseException:
            self._close()
            raise
        self.poll = select.poll()
        self.poll.register(self.response_fd, select.POLLIN)
        self.poll.register(self._pidfd, select.POLLIN)

    def loaded(self, timeout_ms: float) -> dict[str, object] | None:
        """The child's first word, or None if it did not come in time or the child died."""
        self.control.settimeout(timeout_ms / 1000)
        try:
            message, _ = receive(self.control)
        except (TimeoutError, ConnectionError):
            return None
        return message

    def dead(self) -> bool:
        """Whether the process has ended. A dying one closes its sockets a moment before it is dead, so this waits that moment."""
        return self._ended_within(100)

    def end(self) -> bool:
        """Kill it and wait until it is gone; False if it outlives that."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        gone = self._ended_within(_KILL_MS)
        self._close()
        return gone

    def _ended_within(self, timeout_ms: float) -> bool:
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        return bool(ended.poll(timeout_ms))

    def _close(self) -> None:
        for fd in (self.request_fd, self.response_fd, self._pidfd):
            if fd >= 0:
                os.close(fd)
        self.control.close()


def raise_named(error: object) -> None:
    """Raise the error that a child has sent as (class name, message)."""
    assert isinstance(error, list)  # noqa: S101 - our own child's message
    kind = getattr(edge_sdk.errors, str(error[0]), EngineError)
    simple = isinstance(kind, type) and issubclass(kind, EdgeSdkError) and kind.__init__ is EdgeSdkError.__init__
    raise (kind if simple else EngineError)(str(error[1]))
