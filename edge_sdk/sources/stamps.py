"""When readings were taken, by a clock that is not ours: a sensor's own, or the count of readings at a known rate."""

from __future__ import annotations

import numpy as np

from edge_sdk.tensors import Array

PIECE_NS = 20_000_000  # readings that wait for no longer than this are given as one sample
RESTART_NS = 1_000_000_000
_FOLLOWED = 0.02  # of the difference, with each piece


class ClockOffset:
    """Turns the times of another clock into those of ``time.monotonic_ns``.

    A reading is never known before it is taken, so the shortest delay seen is the best estimate of the clocks' offset. The offset follows
    the drift of crystals (50 ppm are 0.18 s an hour) slowly. A clock that is off by more than ``jump_ns`` has jumped, or begun
    anew: its last reading then counts as taken when it was read. Times that go back by less are passed on as they are.

    Args:
        jump_ns: see above.
    """

    def __init__(self, jump_ns: int = RESTART_NS) -> None:
        self._jump_ns = jump_ns
        self._offset_ns: int | None = None

    def __call__(self, clock_ns: Array, read_ns: int) -> Array:
        """The times of a piece of readings.

        Args:
            clock_ns: by the other clock, int64 (count,), at least one.
            read_ns: when the last one had been read, on the clock of ``time.monotonic_ns``.

        Returns:
            int64 (count,), the last one not after ``read_ns``.
        """
        restarts = np.flatnonzero(np.diff(clock_ns) < -self._jump_ns) + 1
        return np.concatenate([self._moved(part, read_ns) for part in np.split(clock_ns, restarts)])

    def _moved(self, clock_ns: Array, read_ns: int) -> Array:
        """The times of readings between which the clock did not begin anew."""
        offset_ns = read_ns - int(clock_ns[-1])
        if self._offset_ns is not None and abs(late_ns := offset_ns - self._offset_ns) <= self._jump_ns:
            offset_ns = self._offset_ns + (late_ns if late_ns < 0 else round(late_ns * _FOLLOWED))
        self._offset_ns = offset_ns
        return clock_ns + offset_ns


class EvenTimes:
    """Times of readings that are taken at a known rate and come in pieces, without times of their own.

    They are one period apart. What is missing, because the device or the line lost it, shows as a jump once it is longer than three
    periods and 50 ms, below which it cannot be told from a piece that comes late. A true rate that is off by some percent is followed; one
    that is lower by more shows as such jumps, too.

    Args:
        rate_hz: readings a second.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = 1e9 / rate_hz
        self._jump_ns = round(max(3 * self._period_ns, 50e6))
        self._offset = ClockOffset(self._jump_ns)
        self._count = 0
        self._shift_ns: float | None = None

    def __call__(self, places: Array, count: int, read_ns: int) -> Array:
        """The times of a piece of readings.

        Args:
            places: which of the ``count`` that came were read, int64 (good,); the other ones were broken, and leave their place empty.
            count: how many came.
            read_ns: when the last one had been read.

        Returns:
            int64 (good,). What the offset changes by is spread over the piece, by at most a quarter of a period a reading (forwards) or
            a half (back), so that a piece that comes late looks neither like a gap nor like time running backwards.
        """
        end_ns = np.array([round((self._count + count - 1) * self._period_ns)], np.int64)
        wanted_ns = float((self._offset(end_ns, read_ns) - end_ns)[0])
        before_ns = self._shift_ns
        if before_ns is None or abs(wanted_ns - before_ns) > self._jump_ns:
            before_ns = wanted_ns
        most_ns = count * self._period_ns
        change_ns = min(max(wanted_ns - before_ns, -0.5 * most_ns), 0.25 * most_ns)
        self._shift_ns = before_ns + change_ns
        times_ns = (float(self._count) + places) * self._period_ns + before_ns + change_ns * (places + 1) / count
        self._count += count
        return np.rint(times_ns).astype(np.int64)
