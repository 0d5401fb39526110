"""Ring 3, the application's side: each loop says in shared memory until when its next sign of life is due, one store a sign.

The supervisor owns the page and names it in the environment as ``/proc/PID/fd/N``, so that the application finds it also when a program
in between has closed all descriptors. Numbers are native int64, each on a place of its own:

    page    header | slot of the 1st loop | slot of the 2nd | ...
    header  magic, budget_ns
    slot    owner, due_ns, rung, captured, on_time, late, dropped, skipped, lost

``due_ns`` is odd after a beat, even while the loop asks for time, and 0 before its first sign. The counters stay where they are when the
application dies, so that a restart loses none.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic_ns

from edge_sdk.errors import ConfigError

VARIABLE = "EDGE_SDK_PULSE"
SLOTS = 16
ENDED_NS = (1 << 63) - 1  # never due
OWNER, DUE_NS, RUNG, CAPTURED, ON_TIME, LATE, DROPPED, SKIPPED, LOST = range(9)
OUTCOMES = (ON_TIME, LATE, DROPPED, SKIPPED, LOST)
BUDGET_S = 5.0
_MAGIC = 0x3145534C5550  # PULSE1; another layout takes another number
_CELLS = 16  # of a slot: two cache lines, which no two loops share
_BYTES = 8 * _CELLS * (1 + SLOTS)
_S = 1_000_000_000


_OF_THIS_PROCESS: weakref.WeakSet[Pulse] = weakref.WeakSet()


def extend_all(seconds: float) -> None:
    """Every loop of this process may lawfully take so long: an engine that one of them starts has asked for it."""
    for pulse in tuple(_OF_THIS_PROCESS):
        pulse.extend(seconds)


class Pulse:
    """One loop's signs of life and counters; made by ``join``.

    Attributes:
        cells: the slot, see above; after the end a copy of it.
        supervised: whether a supervisor looks at them.
    """

    def __init__(self, cells: memoryview, *, budget_s: float, supervised: bool) -> None:
        _OF_THIS_PROCESS.add(self)
        self.cells = cells
        self.supervised = supervised
        self._budget_ns = int(budget_s * _S)

    @property
    def budget_s(self) -> float:
        """Silence longer than that, in seconds, is a frozen application."""
        return self._budget_ns / _S

    @property
    def rung(self) -> int:
        """Where on the ladder the loop is, 0 at its foot; it outlives the application."""
        return int(self.cells[RUNG])

    @rung.setter
    def rung(self, rung: int) -> None:
        self.cells[RUNG] = rung

    def beat(self) -> None:
        """Alive; the next sign comes within the budget."""
        self.cells[DUE_NS] = monotonic_ns() + self._budget_ns | 1

    def allow(self, seconds: float) -> None:
        """Alive; what follows may lawfully take so long, if that is more than the budget."""
        beaten = self.cells[DUE_NS] & 1
        self.cells[DUE_NS] = (monotonic_ns() + max(int(seconds * _S), self._budget_ns) & ~1) | beaten

    def extend(self, seconds: float) -> None:
        """As ``allow``, where that is later than what was allowed before, by whichever thread."""
        if self.cells[DUE_NS] < monotonic_ns() + int(seconds * _S):
            self.allow(seconds)

    def end(self) -> None:
        """Ended well: no further sign is due, and another loop may take the slot, so that what comes now no longer goes there."""
        slot, self.cells = self.cells, _own(self.cells)
        slot[DUE_NS] = ENDED_NS if slot[DUE_NS] & 1 else ENDED_NS - 1
        slot[OWNER] = 0


def join(budget_s: float = BUDGET_S) -> Pulse:
    """The next free slot of the supervisor's page; where there is no supervisor, one that nobody looks at.

    Args:
        budget_s: the longest lawful silence, in seconds; the supervisor's settings, if they name one, come first.

    Raises:
        ConfigError: if the page cannot be had, or all its slots are taken.
    """
    path = os.environ.get(VARIABLE)
    if path is None:
        return alone(budget_s)
    with _page_locked(path) as (header, slots):
        for slot in slots:
            if slot[OWNER] == 0:
                slot[OWNER] = os.getpid()
                slot[DUE_NS] = 0
                return Pulse(slot, budget_s=header[1] / _S or budget_s, supervised=True)
    raise ConfigError(f"the supervisor watches at most {SLOTS} loops at once; close one first")


def alone(budget_s: float = BUDGET_S) -> Pulse:
    """One that nobody looks at."""
    return Pulse(_own([0] * _CELLS), budget_s=budget_s, supervised=False)


class Page:
    """The supervisor's side: a new page, all zero.

    Args:
        budget_s: the budget of every loop; None leaves it to each loop.

    Attributes:
        slots: one for each loop, see above.
    """

    def __init__(self, budget_s: float | None = None) -> None:
        self._fd = os.memfd_create("edge-sdk-pulse", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, _BYTES)
        self._header, self.slots = _mapped(self._fd)
        self._header[0] = _MAGIC
        self.set_budget(budget_s)

    def set_budget(self, budget_s: float | None) -> None:
        """For the loops that join from now on."""
        self._header[1] = int((budget_s or 0) * _S)

    @property
    def path(self) -> str:
        """What the application finds it by, in the environment variable ``VARIABLE``."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"


def slots_at(path: str) -> tuple[memoryview, ...]:
    """The slots of the page at ``path``, to look at.

    Raises:
        ConfigError: if there is no such page.
    """
    with _page_locked(path) as (_, slots):
        return slots


def due_ns(slot: memoryview) -> int:
    """When the slot's next sign is due; read until two readings agree, as a 32-bit processor writes it in halves."""
    seen, again = slot[DUE_NS], slot[DUE_NS]
    while seen != again:
        seen, again = again, slot[DUE_NS]
    return int(seen)


def has_beaten(slot: memoryview) -> bool:
    """Whether the slot's loop has beaten at all: its first bit says so."""
    return bool(due_ns(slot) & 1)


def in_flight(slot: memoryview) -> int:
    """Samples captured that have found no end yet."""
    return int(slot[CAPTURED] - sum(slot[cell] for cell in OUTCOMES))


def _own(cells: Iterable[int]) -> memoryview:
    return memoryview(array("q", cells))


@contextmanager
def _page_locked(path: str) -> Iterator[tuple[memoryview, tuple[memoryview, ...]]]:
    """Header and slots of the supervisor's page, while no other loop joins."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(
            f"{VARIABLE} names {path}, which cannot be opened: {exc.strerror}; the program must run as the supervisor's user and beside "
            "it, or without this variable"
        ) from exc
    try:
        header, slots = _mapped(fd) if os.fstat(fd).st_size == _BYTES else (None, ())
        if header is None or header[0] != _MAGIC:
            raise ConfigError(f"{VARIABLE} names {path}, which is no page of this edge-sdk's supervisor; unset it")
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield header, slots
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # the map holds a copy of the descriptor, and with it the lock
    finally:
        os.close(fd)


def _mapped(fd: int) -> tuple[memoryview, tuple[memoryview, ...]]:
    cells = memoryview(mmap.mmap(fd, _BYTES)).cast("q")
    header, *slots = (cells[at : at + _CELLS] for at in range(0, len(cells), _CELLS))
    return header, tuple(slots)
