"""What the supervisor counts over all lives of the application, and where each loop's counters and rung of the ladder stand; kept on disk.

The disk may take seconds for a flush, so the writing is done by a process that nobody waits for.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import NoReturn

from edge_sdk.errors import ConfigError
from edge_sdk.watchdog import pulse
from edge_sdk.watchdog.events import S_NS, Events
from edge_sdk.watchdog.state import Table, pack, read_state, write_whole

FILE = "state.json"
_KEPT = 20
_NAMES = ("captured", "on_time", "late", "dropped", "skipped", "lost")
_CLAIM_S = 3.0  # how long to wait for what a supervisor before this one is still writing
_SLOW_S = 30.0  # a disk that takes longer is said to be none


class Ledger:
    """Counts; ``open`` fills it from the state directory.

    Args:
        name: the application's.
        folder: the state directory; made if it is not there.
        page: the loops' slots, which are filled from it.
        events: tells of the end of a writing.
        say: told what goes wrong.

    Attributes:
        counted: how often each thing happened: ``starts``, ``crash``, ``frozen``, ``recycled``, ``reloaded``, ``abandoned``, ...
        lives: the latest ends of the application.
        writing: whether the state is being written at the moment.
    """

    def __init__(self, name: str, folder: Path, page: pulse.Page, events: Events, say: Callable[[str], None]) -> None:
        self._name, self._folder, self._page, self._events, self._say = name, folder, page, events, say
        self.writing = False
        self._writing_since_ns = 0
        self._lock = -1
        self._refused = self._again = False
        self.counted: Counter[str] = Counter()
        self.lives: list[Table] = []

    def open(self) -> None:
        """Claim the state directory, and go on from what is kept there.

        Raises:
            ConfigError: if another supervisor uses it.
        """
        self._claim()
        kept = read_state(self._folder / FILE, self._say)
        self.counted.update(_numbers(kept.get("counted")))
        lives = kept.get("lives")
        self.lives = list(filter(_is_life, lives)) if isinstance(lives, list) else []
        loops = kept.get("loops")
        for slot, loop in zip(self._page.slots, loops if isinstance(loops, list) else (), strict=False):
            _fill(slot, _numbers(loop))
        self.settle()

    def _claim(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            claimed = self._events.wait_while(lambda: not self._locked(), _CLAIM_S, step_s=0.05)
        except OSError as exc:
            self._cannot_write(exc)
            return
        if not claimed:
            raise ConfigError(
                f"another supervisor keeps its state in {self._folder}; stop it, or give this application another name: [app] name"
            )

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def settle(self) -> int:
        """The application is gone: its slots are free, and what was in flight is lost. How many samples that were."""
        lost = 0
        for slot in self._page.slots:
            lost += (here := max(pulse.in_flight(slot), 0))
            slot[pulse.LOST] += here
            slot[pulse.OWNER] = slot[pulse.DUE_NS] = 0
        return lost

    def life_ended(self, kind: str, message: str, lived_s: float) -> None:
        """Count one end of the application."""
        self.counted[kind] += 1
        uptime_s = round(_uptime_s(), 1)
        life: Table = {"kind": kind, "message": message, "lived_s": round(lived_s, 3), "uptime_s": uptime_s}
        self.lives = [*self.lives, life][-_KEPT:]

    def totals(self) -> dict[str, int]:
        """The counters of all loops together."""
        totals: Counter[str] = Counter()
        for slot in self._page.slots:
            totals.update(_counts(slot))
        return {name: totals[name] for name in (*_NAMES, "in_flight")}

    def as_table(self) -> Table:
        """Everything."""
        slots = self._page.slots
        used = [at for at, slot in enumerate(slots) if slot[pulse.CAPTURED] or slot[pulse.RUNG] or slot[pulse.OWNER]]
        loops = [{"rung": int(slot[pulse.RUNG]), **_counts(slot)} for slot in slots[: max(used, default=-1) + 1]]
        return {"name": self._name, "counted": dict(self.counted), "loops": loops, "lives": self.lives}

    def save(self) -> None:
        """Have the state written; nobody waits. Where a writing is not over yet, the next one begins with its end."""
        if self.writing:
            self._again = True
            if monotonic_ns() - self._writing_since_ns > _SLOW_S * S_NS:
                self._cannot_write(TimeoutError(errno.ETIMEDOUT, "the disk does not answer"))
            return
        content = pack(self.as_table())
        try:
            pid = os.fork()
        except OSError as exc:  # no memory, or too many processes
            self._cannot_write(exc)
            return
        if pid == 0:
            _write_and_exit(self._folder / FILE, content, self._lock)
        self.writing, self._writing_since_ns = True, monotonic_ns()
        self._events.on_end(pid, self._written)

    def _written(self, code: int) -> None:
        self.writing = False
        if self._again:
            self._again = False
            self.save()
        if code:
            self._cannot_write(OSError(code, os.strerror(code) if code > 0 else "the writing was killed"))
        elif self._refused:
            self._refused = False
            self._say("the state can be written again")

    def report(self, file: str, table: Table) -> Path | None:
        """Write a report beside the state, and wait for it; None if that cannot be done."""
        path = self._folder / file
        try:
            write_whole(path, pack(table).partition(b"\n")[2] + b"\n")
        except OSError as exc:
            self._cannot_write(exc)
            return None
        return path

    def _cannot_write(self, why: OSError) -> None:
        if not self._refused:
            self._say(f"the state cannot be kept in {self._folder}: {why.strerror}; the application goes on without")
        self._refused = True
        self.counted["state_not_written"] += 1


def _write_and_exit(path: Path, content: bytes, lock: int) -> NoReturn:
    """In a process of its own, whose exit code says what the system refused.

    It keeps nothing open but the lock, which holds off the next supervisor's writing: a hardware watchdog is disarmed by the last closing.
    """
    code = errno.EIO
    try:
        os.setsid()  # Ctrl-C in a terminal is not meant for it
        signal.set_wakeup_fd(-1)
        os.closerange(3, lock)
        os.closerange(lock + 1, 1 << 10)
        write_whole(path, content)
        code = 0
    except OSError as exc:
        code = exc.errno or errno.EIO
    finally:
        os._exit(code)


def _counts(slot: memoryview) -> dict[str, int]:
    """Of a slot that may be in use: outcomes are read before what was captured, so that they are never more."""
    outcomes = {name: int(slot[pulse.CAPTURED + at]) for at, name in enumerate(_NAMES) if at}
    captured = int(slot[pulse.CAPTURED])
    return {"captured": captured, **outcomes, "in_flight": captured - sum(outcomes.values())}


def _fill(slot: memoryview, numbers: dict[str, int]) -> None:
    for at, name in enumerate(_NAMES):
        slot[pulse.CAPTURED + at] = numbers.get(name, 0)
    slot[pulse.RUNG] = numbers.get("rung", 0)


def _is_life(table: object) -> bool:
    """Whether this, which may have come from anywhere, tells of an end as ``life_ended`` does."""
    return isinstance(table, dict) and {"kind", "message", "lived_s"} <= table.keys()


def _numbers(table: object) -> dict[str, int]:
    """What is a whole number from 0 in a table that may have come from anywhere."""
    if not isinstance(table, dict):
        return {}
    return {str(k): v for k, v in table.items() if isinstance(v, int) and 0 <= v < 1 << 62}


def _uptime_s() -> float:
    """Since the machine was started: what a person compares with the system's log, and no clock that can be set."""
    return float(Path("/proc/uptime").read_text().split()[0])
