"""The application's side of its fork server and of the children made by it.

A child is known to be gone when its end of the control socket closes: the kernel does that after it has let go of the child's memory, also
when it is killed. That needs no reaping by the application, and works on every kernel.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import edge_sdk.errors
from edge_sdk.engines.wire import above_standard, receive, send, socket_pair
from edge_sdk.errors import EdgeSdkError, EngineError
from edge_sdk.watchdog.pulse import extend_all

KILL_MS = 1_000  # a process that outlives SIGKILL by this is in an uninterruptible kernel call
_ANSWER_S = 2  # a fork takes milliseconds; a server that needs longer was stopped, and is replaced
_REASON_S = 0.5
_MARGIN_S = 15  # after a long start, until the loop's next sign of life

# Ctrl-C and a terminal that closes concern the application alone: it decides what becomes of its family.
_SERVER = """
import signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
sys.path[:] = {path!r}
from edge_sdk.engines.server import main
main({fd}, {engine!r})
"""


class Server:
    """A fork server for one engine; ``await_ready`` before its first child.

    Args:
        engine: name of the engine.

    Raises:
        EngineError, OSError: if it cannot be started.
    """

    def __init__(self, engine: str) -> None:
        if getattr(sys, "frozen", False) or not sys.executable:
            raise EngineError(
                "isolation=process needs a Python interpreter to start; a frozen application takes isolation=none"
            )
        self.socket, theirs = socket_pair()
        try:
            with theirs:
                self._process = _started(engine, theirs.fileno())
        except OSError:
            self.socket.close()
            raise

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def await_ready(self, start_ms: float) -> None:
        """Until its libraries are imported.

        Raises:
            ConnectionError, TimeoutError: if it does not become ready within this time.
            EdgeSdkError: as the engine says, such as MissingPackageError.
        """
        self.socket.settimeout(start_ms / 1000)
        message, _ = receive(self.socket)
        if message is None:
            raise ConnectionError("it ended before it was ready")
        if "error" in message:
            raise_named(message["error"])
        self.socket.settimeout(_ANSWER_S)

    def ask(self, message: object, fds: list[int]) -> int:
        """Have a child made; its pid.

        Raises:
            ConnectionError, TimeoutError: if the server is gone or stopped.
            OSError: if the system refuses a further process.
        """
        send(self.socket, message, fds)
        while True:
            answer, _ = receive(self.socket)
            if answer is None:
                raise ConnectionError("it is gone")
            if "refused" in answer:
                number = int(str(answer["refused"]))
                raise OSError(number, os.strerror(number))
            if "pid" in answer:
                return int(str(answer["pid"]))

    def reason_of_death(self, pid: int) -> str:
        """How a child that is gone ended, in words."""
        self.socket.settimeout(_REASON_S)
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
        finally:
            self.socket.settimeout(_ANSWER_S)

    def interrupt(self) -> None:
        """From any thread: it ends its children and itself, and whoever waits for it here waits no longer."""
        with contextlib.suppress(OSError):  # closed meanwhile
            self.socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close the socket, upon which it ends its children and itself; kill it if it does not."""
        self.socket.close()
        try:
            self._process.wait(KILL_MS / 1000)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_MS / 1000)


class Child:
    """One child, that loads a model as soon as it is made.

    Attributes:
        takes_ms: how long its start may take, once it has said that it is a long one; 0 before.
        control: carries its first words to us, and the shared tensors to it.
        request_fd, response_fd: eventfds.
        poll: tells of an answer (``response_fd``) and of its end (anything else).
    """

    def __init__(self, server: Server, message: object, model_fd: int) -> None:
        self.takes_ms = 0.0
        with contextlib.ExitStack() as stack:
            self.request_fd, self.response_fd = (_event(stack) for _ in range(2))
            self.control, theirs = socket_pair()
            stack.callback(self.control.close)
            with theirs:
                self.pid = server.ask(message, [model_fd, theirs.fileno(), self.request_fd, self.response_fd])
            self._exit = stack.pop_all()
        self.poll = select.poll()
        self.poll.register(self.response_fd, select.POLLIN)
        self.poll.register(self.control, 0)  # its hang-up is always told

    def loaded(self, timeout_ms: float) -> dict[str, object]:
        """What the child has loaded; empty if that did not come in time or the child died. It may ask for more time first."""
        message = self._word(timeout_ms)
        while "takes_s" in message:
            takes_s = float(str(message["takes_s"]))
            extend_all(takes_s + _MARGIN_S)
            self.takes_ms = takes_s * 1000
            message = self._word(self.takes_ms)
        return message

    def _word(self, timeout_ms: float) -> dict[str, object]:
        self.control.settimeout(timeout_ms / 1000)
        try:
            message, _ = receive(self.control)
        except (TimeoutError, ConnectionError):
            return {}
        return message or {}

    def killed_by(self, server: Server | None) -> bool:
        """Have it killed; whether it is gone. Only the server can: it knows that the pid is still this child's."""
        if server is not None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                send(server.socket, {"kill": self.pid})
        return self.gone_within(KILL_MS)

    def gone_within(self, timeout_ms: float) -> bool:
        """Whether the process has ended, or does within this time."""
        ended = select.poll()
        ended.register(self.control, 0)
        return bool(ended.poll(timeout_ms))

    def interrupt(self) -> None:
        """From any thread: whoever waits for it here waits no longer, and takes it for gone."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget it."""
        self._exit.close()


def _event(stack: contextlib.ExitStack) -> int:
    """An eventfd that ``stack`` closes."""
    fd = above_standard(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
    stack.callback(os.close, fd)
    return fd


def _started(engine: str, fd: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SERVER.format(path=module_path(), fd=fd, engine=engine)],
        pass_fds=[fd],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if _is_open(2) else subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},  # threads do not survive a fork
    )


def module_path() -> list[str]:
    """Where the server finds modules: where we do, whatever folder it starts in."""
    home = str(Path(edge_sdk.__file__).parents[1])
    path = [str(Path(entry).absolute()) for entry in sys.path if isinstance(entry, str)]
    return path if home in path else [*path, home]


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def raise_named(error: object) -> NoReturn:
    """Raise the error that a child has sent as (class name, message)."""
    assert isinstance(error, list)  # noqa: S101 - our own child's message
    kind = getattr(edge_sdk.errors, str(error[0]), EngineError)
    simple = isinstance(kind, type) and issubclass(kind, EdgeSdkError) and kind.__init__ is EdgeSdkError.__init__
    raise (kind if simple else EngineError)(str(error[1]))
