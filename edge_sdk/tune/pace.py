"""When measuring may go on: at once, or in the background, a little at a time and never while the loop misses its deadlines."""

from __future__ import annotations

import mmap
import os
import select
import struct
from time import monotonic_ns

from edge_sdk.engines.wire import above_standard

_S = 1e-9  # of nanoseconds
_QUIET_S = 2.0  # so long the loop must have kept its deadlines
_LOOK_S = 0.25
_FORMAT = struct.Struct("q")


class Pace:
    """Asks for nothing: the machine is the measurement's.

    Attributes:
        idle_s: seconds for which it waited; they do not count against a budget.
    """

    idle_s: float = 0.0

    def wait(self) -> None:
        """Called before each run."""


class LoopGone(Exception):
    """The loop that this measures for has ended."""


class MissPage:
    """One number that the loop writes and its background process reads: when it last missed a deadline, by the monotonic clock."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = fd if fd is not None else above_standard(os.memfd_create("edge-sdk-misses", os.MFD_CLOEXEC))
        if fd is None:
            os.ftruncate(self.fd, mmap.PAGESIZE)
        self._map = mmap.mmap(self.fd, mmap.PAGESIZE)

    def missed(self) -> None:
        """The loop missed a deadline just now."""
        _FORMAT.pack_into(self._map, 0, monotonic_ns())

    @property
    def quiet_s(self) -> float:
        """Seconds since the last miss; since the machine's start if there was none."""
        return (monotonic_ns() - int(_FORMAT.unpack_from(self._map, 0)[0])) * _S

    def close(self) -> None:
        """Let go of it."""
        self._map.close()
        os.close(self.fd)


class BackgroundPace(Pace):
    """Takes a share of the time, and none while the loop misses.

    Args:
        page: tells of misses.
        alive_fd: the loop's end of this pipe closes when the loop ends.
        duty: the share of the time that may be used.
    """

    def __init__(self, page: MissPage, alive_fd: int, *, duty: float) -> None:
        self._page, self._duty = page, duty
        self._poll = select.poll()
        self._poll.register(alive_fd, select.POLLIN)
        self._since_ns = monotonic_ns()

    def wait(self) -> None:
        """See the base class: for as long as what was done since the last call asks for, and until the loop is quiet.

        Raises:
            LoopGone: if the loop has ended.
        """
        began_ns = monotonic_ns()
        busy_s = (began_ns - self._since_ns) * _S
        until_ns = began_ns + busy_s * (1 / self._duty - 1) / _S
        left_s = (until_ns - monotonic_ns()) * _S
        while left_s > 0 or self._page.quiet_s < _QUIET_S:
            if self._poll.poll(1_000 * min(left_s, _LOOK_S) if left_s > 0 else 1_000 * _LOOK_S):
                raise LoopGone
            left_s = (until_ns - monotonic_ns()) * _S
        self._since_ns = monotonic_ns()
        self.idle_s += (self._since_ns - began_ns) * _S
