"""The one place where the supervisor sleeps: until a moment, a signal, a child's end, or something to read."""

from __future__ import annotations

import math
import os
import select
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic_ns

from edge_sdk.watchdog.processes import reaped

S_NS = 1_000_000_000


@dataclass
class _Chore:
    every_s: float
    do: Callable[[], None]
    due_ns: int = 0


class Events:
    """Waits, and does meanwhile what others wait for.

    A child's end is told by SIGCHLD through a pipe, not by a pidfd, which needs Linux 5.3: boards live on with older kernels.

    Args:
        signals: numbers that are collected instead of ending this process.

    Attributes:
        signals: those that came, in their order.
        late_ns: by how much the last waiting that nothing ended was longer than asked for: this process was held up.
    """

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self.signals: list[signal.Signals] = []
        self.late_ns = 0
        self._readers: dict[int, Callable[[], bool]] = {}
        self._ends: dict[int, Callable[[int], None]] = {}
        self._chores: list[_Chore] = []
        self._poll = select.poll()
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # the pipe is written for handled signals only
        for number in signals:
            signal.signal(number, lambda number, frame: self.signals.append(signal.Signals(number)))
        self.read(woken, lambda: bool(os.read(woken, 4096)))

    def every(self, seconds: float, do: Callable[[], None]) -> None:
        """Do this after so many seconds, and again after as many."""
        self._chores.append(_Chore(seconds, do, monotonic_ns() + int(seconds * S_NS)))

    def read(self, fd: int, reader: Callable[[], bool]) -> None:
        """Call ``reader`` whenever there is something to read, until it returns False."""
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def forget(self, fd: int) -> None:
        """Read it no more."""
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def on_end(self, pid: int, told: Callable[[int], None]) -> None:
        """Call ``told`` with the exit code (negative: a signal's number) of this child when it ends."""
        self._ends[pid] = told

    @property
    def children(self) -> frozenset[int]:
        """Those whose end is waited for."""
        return frozenset(self._ends)

    def wait(self, until_ns: int) -> None:
        """Until something happens, at the latest until this moment of ``time.monotonic_ns``."""
        until_ns = min(until_ns, *(chore.due_ns for chore in self._chores)) if self._chores else until_ns
        ready = self._poll.poll(max(0, math.ceil((until_ns - monotonic_ns()) / 1e6)))
        self.late_ns = 0 if ready else max(0, monotonic_ns() - until_ns)
        for fd, _ in ready:
            if fd in self._readers and not self._readers[fd]():
                self.forget(fd)
        for pid, code in reaped().items():
            told = self._ends.pop(pid, None)
            if told is not None:
                told(code)
        for chore in self._chores:
            if monotonic_ns() >= chore.due_ns:
                chore.due_ns = monotonic_ns() + int(chore.every_s * S_NS)
                chore.do()

    def wait_while(self, condition: Callable[[], bool], longest_s: float, *, step_s: float = math.inf) -> bool:
        """As long as the condition holds, but not longer than that; whether it ended.

        Args:
            condition: looked at whenever something has happened.
            longest_s: how long.
            step_s: so often it is looked at in any case.
        """
        until_ns = monotonic_ns() + int(longest_s * S_NS)
        while condition():
            if monotonic_ns() >= until_ns:
                return False
            self.wait(monotonic_ns() + int(min(step_s * S_NS, until_ns - monotonic_ns())))
        return True
