"""The fork server: imports an engine's libraries once, then makes a child in milliseconds whenever one is asked for.

It stays single-threaded, so forking is safe, and watches its children: when the application's end of the socket closes, for whatever
reason, every child is killed, also one that hangs in native code. When the server itself dies, the kernel kills the children.
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
import threading

from edge_sdk.engines import engine_class
from edge_sdk.engines.child import serve
from edge_sdk.engines.wire import receive, send
from edge_sdk.errors import EdgeSdkError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def main(server_fd: int, engine: str) -> None:
    """Serve until the application goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the application decides
    application = socket.socket(fileno=server_fd)
    try:
        engine_class(engine)
    except EdgeSdkError as exc:
        send(application, {"error": (type(exc).__name__, str(exc))})
        return
    gc.collect()
    gc.freeze()  # children share these pages until they write to them, which the collector would
    send(application, {"ready": os.getpid(), "threads": threading.active_count()})
    _Server(application).run()


class _Server:
    def __init__(self, application: socket.socket) -> None:
        self._application = application
        self._poll = select.poll()
        self._poll.register(application, select.POLLIN)
        self._children: dict[int, int] = {}  # pidfd -> pid

    def run(self) -> None:
        try:
            while True:
                for fd, _ in self._poll.poll():
                    if fd == self._application.fileno():
                        message, fds = receive(self._application)
                        if message is None:
                            return
                        self._spawn(message, fds)
                    else:
                        self._reap(fd)
        except ConnectionError:
            return  # the application was killed while it was being told something
        finally:
            for pidfd in self._children:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _spawn(self, message: dict[str, object], fds: list[int]) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_child(server, message, fds)
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        send(self._application, {"pid": pid}, [pidfd])

    def _become_child(self, server: int, message: dict[str, object], fds: list[int]) -> None:
        code = 1
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                return  # the server died before the line above: nobody would end this process
            self._application.close()
            for pidfd in self._children:
                os.close(pidfd)
            code = serve(str(message["engine"]), dict(message["options"]), fds)  # type: ignore[call-overload]
        except BaseException:
            sys.excepthook(*sys.exc_info())
            raise
        finally:
            os._exit(code)  # never run what the server has registered for its own exit

    def _reap(self, pidfd: int) -> None:
        pid = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        send(self._application, {"exited": pid, "code": os.waitstatus_to_exitcode(status)})
