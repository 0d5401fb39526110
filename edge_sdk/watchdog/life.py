"""One run of the application: started, looked at, and ended with everything that it has started."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns

from edge_sdk.watchdog import processes, pulse
from edge_sdk.watchdog.events import S_NS, Events
from edge_sdk.watchdog.plan import Plan
from edge_sdk.watchdog.relay import Relay

STOP_S = 1.5  # from being told to end to being killed; all is over within 2 s
KILL_S = 1.0  # what outlives SIGKILL by this is in an uninterruptible kernel call
_PIPE_CHUNKS = 16  # what a pipe holds, 64 kB, in pieces of the relay's
_LAST_WORDS_S = 0.3  # for a frozen application to say where it is


@dataclass(frozen=True)
class Ending:
    """Why a life is over.

    Attributes:
        kind: ``done``, ``crash``, ``frozen``, ``recycled``, ``reloaded`` or ``stopped``.
        message: in words.
        number: the signal that tells the application.
    """

    kind: str
    message: str
    number: signal.Signals = signal.SIGTERM


class Life:
    """Starts it.

    Args:
        plan: what to start.
        page: where its loops give their signs of life.
        environment: for it.
        events: tells of its end.
        relay: takes its standard error, unless that is a terminal.

    Attributes:
        alive: whether a loop has beaten.
        code: the exit code of its first process, once that has ended.

    Raises:
        OSError: if it cannot be started.
    """

    def __init__(
        self, plan: Plan, page: pulse.Page, environment: Mapping[str, str], events: Events, relay: Relay
    ) -> None:
        self.alive = False
        self.code: int | None = None
        self._plan, self._page, self._events, self._relay = plan, page, events, relay
        self._started_ns = monotonic_ns()
        self._idle_ns: int | None = self._started_ns
        self._err = -1
        if os.isatty(2):
            self.pid = processes.spawn(plan.command, environment=environment, folder=plan.folder)
        else:
            self._err, theirs = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._err, False)
            try:
                self.pid = processes.spawn(plan.command, environment=environment, folder=plan.folder, err=theirs)
            except OSError:
                os.close(self._err)
                raise
            finally:
                os.close(theirs)
            events.read(self._err, self._pass_on)
        events.on_end(self.pid, self._ended)

    @property
    def lived_s(self) -> float:
        """Since its start."""
        return (monotonic_ns() - self._started_ns) / S_NS

    def has_beaten(self) -> bool:
        """Whether a loop has given a sign beyond those that ask for time."""
        return any(map(pulse.has_beaten, self._page.slots))

    def due_ns(self) -> int:
        """When the next sign of life is due at the latest."""
        running = [pulse.due_ns(slot) for slot in self._page.slots if slot[pulse.OWNER] and slot[pulse.DUE_NS]]
        if running:
            self._idle_ns = None
            return min(running)
        if self._idle_ns is None:
            self._idle_ns = monotonic_ns()
        return self._idle_ns + int(self._plan.start_s * S_NS)

    def overdue(self) -> bool:
        """Whether it gave no sign in time.

        It is looked at twice: where this process was held up too, the machine was, and the application gets as much time more, up to 1 s.
        """
        if self.due_ns() > monotonic_ns():
            return False
        late_s = min(self._events.late_ns / S_NS, 1.0) + 0.02
        signalled = len(self._events.signals)
        self._events.wait_while(lambda: self.code is None and len(self._events.signals) == signalled, late_s)
        return self.code is None and self.due_ns() <= monotonic_ns()

    def frozen_words(self) -> str:
        """What is overdue."""
        now = monotonic_ns()
        slots = [slot for slot in self._page.slots if slot[pulse.OWNER] and 0 < slot[pulse.DUE_NS] <= now]
        if not slots:
            return f"no loop was running for {self._plan.start_s:g} s"
        pids = ", ".join(str(slot[pulse.OWNER]) for slot in slots)
        return f"the loop in process {pids} gave no sign of life within its budget"

    def memory_mb(self) -> float:
        """See ``processes.memory_mb``; of everything that it has started."""
        return processes.memory_mb(self._family())

    def tell_to_end(self, number: signal.Signals) -> None:
        """Ask it to end, and give it the time for that."""
        with suppress(ProcessLookupError, PermissionError):  # it is gone, or another user's (sudo)
            os.killpg(self.pid, number)
        self._events.wait_while(lambda: self.code is None, STOP_S)

    def hear_last_words(self) -> None:
        """SIGABRT, upon which a Python program says where it is (PYTHONFAULTHANDLER)."""
        owners = {int(slot[pulse.OWNER]) for slot in self._page.slots}
        processes.kill({self.pid, *owners} & self._family(), signal.SIGABRT)
        self._events.wait_while(lambda: self.code is None, _LAST_WORDS_S)

    def end(self) -> set[int]:
        """SIGKILL to all that is left; the processes that it does not end, which are left behind."""
        until_ns = monotonic_ns() + int(KILL_S * S_NS)
        while left := self._family():
            if monotonic_ns() > until_ns:
                for pid in left:
                    self._events.on_end(pid, _nothing)  # until then it is no concern of a later life
                break
            processes.kill(left)
            self._events.wait(monotonic_ns() + S_NS // 100)
        self._events.wait_while(lambda: self.code is None and self.pid not in left, KILL_S)
        if self._err >= 0:
            for _ in range(_PIPE_CHUNKS):  # what is left behind may write for ever
                if not self._pass_on():
                    break
            self._events.forget(self._err)
            os.close(self._err)
        return left

    def _family(self) -> set[int]:
        return processes.below(os.getpid(), besides=self._events.children - {self.pid})

    def _pass_on(self) -> bool:
        return self._relay.pass_on(self._err)

    def _ended(self, code: int) -> None:
        self.code = code


def _nothing(code: int) -> None:
    pass


def in_words(code: int) -> str:
    """An exit code, as ``os.waitstatus_to_exitcode`` gives it."""
    if code >= 0:
        return f"exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"killed by {names.get(-code, f'signal {-code}')}"
