"""What the kernel says of processes: their children, processor time and memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.blocks import Block, Seconds

_PROCESS_CLOCK = (
    2  # CPUCLOCK_SCHED of linux/posix-timers.h: the clock of pid is (~pid << 3) | 2, as in clock_getcpuclockid(3)
)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(member for child in children(pid) for member in family(child))]


def children(pid: int) -> list[int]:
    """The processes that this one's main thread started, or adopted."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processor_s(pids: Iterable[int]) -> float:
    """Processor time of these processes so far, user and system, to the nanosecond."""
    return sum(time.clock_gettime((~pid << 3) | _PROCESS_CLOCK) for pid in pids)


def pss_kb(pids: Iterable[int], *kinds: str) -> int:
    """Sum of the proportional set sizes (proc(5), smaps_rollup), in kB of 1,024 bytes.

    Args:
        pids: of these processes.
        kinds: such as ``"Anon"`` and ``"Shmem"``, which leave out the pages of files, as strangers share them; default all.
    """
    names = {f"Pss_{kind}:" for kind in kinds} or {"Pss:"}
    lines = (line.split() for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    return sum(int(words[1]) for words in lines if words[0] in names)


class ProcessorTime:
    """A side's block that also sums the processor time of this process and all below it. Those of other sides wait, and use none."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._seconds = 0.0
        self._runs = 0

    def __call__(self, runs: int) -> Seconds:
        """Run a block."""
        pids = family(os.getpid())
        before = processor_s(pids)
        took = self._block(runs)
        self._seconds += processor_s(pids) - before
        self._runs += runs
        return took

    @property
    def us(self) -> float:
        """Microseconds of processor time an inference."""
        return self._seconds / self._runs * 1e6


def descriptors(pids: Iterable[int]) -> int:
    """How many are open in all of these processes."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def threads(pids: Iterable[int]) -> int:
    """How many there are in all of these processes."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
