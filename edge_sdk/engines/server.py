"""The fork server: imports an engine's libraries once, then makes a child in milliseconds whenever one is asked for.

It stays single-threaded, so forking is safe, and watches its children: when the application's end of the socket closes, for whatever
reason, every child is killed, also one that hangs in native code. When the server itself dies, the kernel kills the children.
It needs no system call younger than Linux 3.17, as boards live on with old kernels.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from edge_sdk.engines import warm_engine
from edge_sdk.engines.child import serve
from edge_sdk.engines.wire import receive, send
from edge_sdk.errors import EdgeSdkError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def main(server_fd: int, engine: str) -> None:
    """Serve until the application goes away.

    Messages: ``{"engine", "options", "cores"}`` with a child's descriptors asks for a child, answered by its pid, or by
    ``{"refused": errno}``; ``{"kill": pid}`` kills one. The end of every child is told as ``{"exited": pid, "code": code}``.
    """
    application = socket.socket(fileno=server_fd)
    with contextlib.suppress(ConnectionError):  # the application has gone meanwhile
        try:
            warm_engine(engine)
        except EdgeSdkError as exc:
            send(application, {"error": (type(exc).__name__, str(exc))})
            return
        gc.collect()
        gc.freeze()  # children share these pages until they write to them, which the collector would
        send(application, {"ready": os.getpid()})
        _Server(application).run()


class _Server:
    def __init__(self, application: socket.socket) -> None:
        self._application = application
        self._children: set[int] = set()
        self._ended_read, ended_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(ended_write, warn_on_full_buffer=False)
        signal.signal(
            signal.SIGCHLD, lambda number, frame: None
        )  # the wake-up descriptor is written for handled signals only
        self._poll = select.poll()
        self._poll.register(application, select.POLLIN)
        self._poll.register(self._ended_read, select.POLLIN)

    def run(self) -> None:
        try:
            while True:
                ready = {fd for fd, _ in self._poll.poll()}
                if self._ended_read in ready:
                    os.read(self._ended_read, 4096)
                    self._reap()
                if self._application.fileno() in ready and not self._obey():
                    return
        finally:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still the child's

    def _obey(self) -> bool:
        """Do what the next message asks for; False when the application has gone."""
        message, fds = receive(self._application)
        if message is None:
            return False
        if "kill" in message:
            if message["kill"] in self._children:
                os.kill(int(str(message["kill"])), signal.SIGKILL)
        else:
            self._spawn(message, fds)
        return True

    def _spawn(self, message: dict[str, object], fds: list[int]) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as exc:  # no memory, or too many processes
            for fd in fds:
                os.close(fd)
            send(self._application, {"refused": exc.errno})
            return
        if pid == 0:
            self._become_child(server, message, fds)
        for fd in fds:
            os.close(fd)
        self._children.add(pid)
        send(self._application, {"pid": pid})

    def _become_child(self, server: int, message: dict[str, object], fds: list[int]) -> NoReturn:
        code = 1
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == server:  # else the server died before the line above, and nobody would end this process
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._application.close()
                if cores := message.get("cores"):
                    os.sched_setaffinity(0, cores)  # type: ignore[arg-type]  # before the engine makes its threads
                code = serve(str(message["engine"]), dict(message["options"]), fds)  # type: ignore[call-overload]
        except BaseException:
            sys.excepthook(*sys.exc_info())
            raise
        finally:
            os._exit(code)  # never run what the server has registered for its own exit

    def _reap(self) -> None:
        for pid in tuple(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.remove(pid)
                send(self._application, {"exited": pid, "code": os.waitstatus_to_exitcode(status)})
