"""What the rung below would come to, from what is measured on this one."""

from __future__ import annotations

import math

_MEMORY_S, _LATEST = 0.5, 0.3  # of the averages: how long, and the most that one result weighs
_SPREAD = 2.0  # mean deviations above the mean that are reckoned with, as TCP's time-out has it (RFC 6298 takes 4)
_SATURATED = 0.95  # share of the time in which the loop is busy, from which on it is taken as always busy


class Load:
    """Averages over the results of one rung: of the last half second, and of at least a few results.

    Attributes:
        count: results so far.
        age_ms, service_ms: means.
    """

    __slots__ = ("_age_spread_ms", "_busy_ms", "_gap_s", "_samples", "age_ms", "count", "service_ms")

    def __init__(self) -> None:
        self.count = 0
        self.age_ms = self.service_ms = 0.0
        self._age_spread_ms = self._busy_ms = self._gap_s = self._samples = 0.0

    def add(self, gap_s: float, age_ms: float, service_ms: float, busy_ms: float, samples: int) -> None:
        """Take one result into account, which came ``gap_s`` after the one before."""
        self.count += 1
        weight = max(1.0 / self.count, min(gap_s / (_MEMORY_S + gap_s), _LATEST))
        off = age_ms - self.age_ms
        if self.count > 1:
            self._age_spread_ms += weight * (abs(off) - self._age_spread_ms)
        self.age_ms += weight * off
        self.service_ms += weight * (service_ms - self.service_ms)
        self._busy_ms += weight * (busy_ms - self._busy_ms)
        self._gap_s += weight * (gap_s - self._gap_s)
        self._samples += weight * (samples - self._samples)

    def age_below_ms(self, ratio: float, run_every: int, run_every_below: int, *, lossless: bool) -> float:
        """The age to expect on the rung below: of all but the oldest results, and infinite where a queue would grow without end.

        Args:
            ratio: service time there to that here.
            run_every: of how many samples one is processed here.
            run_every_below: the same there.
            lossless: whether samples wait in a queue; else the newest one waits alone, for at most the time between two.
        """
        more_ms = (ratio - 1.0) * self.service_ms
        age_ms = self.age_ms + more_ms + _SPREAD * max(ratio, 1.0) * self._age_spread_ms
        period_ms = 1e3 * self._gap_s / max(self._samples, 1.0)
        if self._busy_ms + more_ms + self._age_spread_ms <= run_every_below * period_ms * _SATURATED:
            return age_ms
        if lossless:
            return math.inf
        waits_already = self._busy_ms > run_every * period_ms * _SATURATED
        return age_ms if waits_already else age_ms + period_ms
