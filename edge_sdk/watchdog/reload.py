"""A changed app.toml, checked by a process of its own while the application goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic_ns

from edge_sdk.watchdog import processes
from edge_sdk.watchdog.events import S_NS, Events
from edge_sdk.watchdog.plan import Plan, plan_from

_PATIENCE_S = 60.0  # Python on a small board, with everything else going on


class Check:
    """Runs the command that checks the file and prints its plan; its standard error is ours.

    Args:
        command: the command.
        events: tells of what it prints and of its end.

    Attributes:
        pid: of the process.
        code: its exit code, once it has ended.

    Raises:
        OSError: if it cannot be started.
    """

    def __init__(self, command: Sequence[str], events: Events) -> None:
        self.code: int | None = None
        self._printed = b""
        self._fd, out = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        try:
            self.pid = processes.spawn(command, environment=os.environ, out=out)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(out)
        self._events = events
        self._until_ns = monotonic_ns() + int(_PATIENCE_S * S_NS)
        events.on_end(self.pid, self._ended)
        events.read(self._fd, self._read)

    @property
    def over(self) -> bool:
        """Whether it has ended; it is killed if it takes too long."""
        if self.code is None and monotonic_ns() > self._until_ns:
            self.kill()
        return self.code is not None

    def kill(self) -> None:
        """End it."""
        if self.code is None:
            processes.kill({self.pid})

    def plan(self) -> Plan | None:
        """What it found, after its end; None if the file is no good."""
        while self._read():
            pass
        self._events.forget(self._fd)
        os.close(self._fd)
        with suppress(ValueError, TypeError, KeyError):
            return plan_from(self._printed.decode()) if self.code == 0 else None
        return None

    def _read(self) -> bool:
        with suppress(BlockingIOError):
            chunk = os.read(self._fd, 65_536)
            self._printed += chunk
            return bool(chunk)
        return False

    def _ended(self, code: int) -> None:
        self.code = code
