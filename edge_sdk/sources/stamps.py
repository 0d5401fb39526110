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

    What the offset changes by is spread over the piece, and is at most a share of the time that it took: a piece that comes late looks
    neither like a gap nor like time running backwards. After one that came late at the beginning times are ahead for a while.

    Args:
        jump_ns: see above.
        back, forth: the largest share of the time by which the offset becomes smaller or larger.
    """

    def __init__(self, jump_ns: int = RESTART_NS, *, back: float = 0.03, forth: float = 0.03) -> None:
        self._jump_ns, self._back, self._forth = jump_ns, back, forth
        self._offset_ns: int | None = None
        self._last_ns = 0  # of the other clock

    def __call__(self, clock_ns: Array, read_ns: int) -> Array:
        """The times of a piece of readings.

        Args:
            clock_ns: by the other clock, int64 (count,), at least one.
            read_ns: when the last one had been read, on the clock of ``time.monotonic_ns``.

        Returns:
            int64 (count,).
        """
        restarts = np.flatnonzero(np.diff(clock_ns) < -self._jump_ns) + 1
        return np.concatenate([self._moved(part, read_ns) for part in np.split(clock_ns, restarts)])

    def _moved(self, clock_ns: Array, read_ns: int) -> Array:
        """The times of readings between which the clock did not begin anew."""
        last_ns, self._last_ns = self._last_ns, int(clock_ns[-1])
        before_ns, offset_ns = self._offset_ns, read_ns - self._last_ns
        if before_ns is None or abs(offset_ns - before_ns) > self._jump_ns:
            self._offset_ns = offset_ns
            return clock_ns + offset_ns
        took_ns, late_ns = self._last_ns - last_ns, offset_ns - before_ns
        if took_ns <= 0:
            return clock_ns + before_ns
        change_ns = (
            max(late_ns, -self._back * took_ns) if late_ns < 0 else min(late_ns * _FOLLOWED, self._forth * took_ns)
        )
        self._offset_ns = before_ns + round(change_ns)
        return clock_ns + before_ns + np.rint(change_ns * ((clock_ns - last_ns) / took_ns)).astype(np.int64)


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
        self._offset = ClockOffset(round(max(3 * self._period_ns, 50e6)), back=0.5, forth=0.25)
        self._count = 0

    def __call__(self, places: Array, count: int, read_ns: int) -> Array:
        """The times of a piece of readings.

        Args:
            places: which of the ``count`` that came were read, int64 (good,); the other ones were broken, and leave their place empty.
            count: how many came.
            read_ns: when the last one had been read.

        Returns:
            int64 (good,).
        """
        places_ns = np.rint((self._count + np.append(places, count - 1)) * self._period_ns).astype(np.int64)
        self._count += count
        return self._offset(places_ns, read_ns)[:-1]
