"""How much may go over the network: on average in a second, and in a day."""

from __future__ import annotations

import math

_DAY_NS = 24 * 3600 * 10**9


class Bandwidth:
    """A token bucket that holds a second's bytes, and a count of the day's.

    Whoever is allowed may exceed what is left, and the next waits until that is paid back: so a request larger than a second's bytes is
    possible, and the average holds. The day's bytes are not exceeded by more than the last request.

    Args:
        bytes_per_s, bytes_per_day: the limits, or None.
        now_ns: when the first day begins, on the clock of ``time.monotonic_ns``.

    Attributes:
        used: bytes so far.
    """

    def __init__(self, bytes_per_s: float | None, bytes_per_day: float | None, now_ns: int) -> None:
        self._per_s, self._per_day = bytes_per_s or math.inf, bytes_per_day or math.inf
        self._left = self._per_s
        self._filled_ns = self._day_ns = now_ns
        self._today = 0
        self.used = 0

    def allows(self, size: int, now_ns: int) -> bool:
        """Whether so many bytes may be sent and received now."""
        if now_ns - self._day_ns >= _DAY_NS:
            self._day_ns += (now_ns - self._day_ns) // _DAY_NS * _DAY_NS
            self._today = 0
        if math.isfinite(self._per_s):
            self._left = min(self._per_s, self._left + (now_ns - self._filled_ns) * 1e-9 * self._per_s)
            self._filled_ns = now_ns
        return self._left > 0 and self._today + size <= self._per_day

    def spend(self, size: int) -> None:
        """So many bytes went, or will go."""
        self._left -= size
        self._today += size
        self.used += size
