"""Whether ages stay what they are: the measurement of age.py over ten minutes."""

from __future__ import annotations

import numpy as np

from benchmarks.age import ENGINE_MS, LIMIT_MS, PER_SECOND, measure
from benchmarks.rows import Row

_MINUTES = 10
_FLAT_MS = 1.0


def run(quick: bool) -> list[Row]:
    """The p99 of every minute, the last against the first, and the slope of a straight line through all."""
    minute_s = 6 if quick else 60
    found = measure(seconds=_MINUTES * minute_s)
    minutes = np.minimum(found[:, 0] // minute_s, _MINUTES - 1)
    p99 = np.array([np.percentile(found[minutes == minute, 1], 99) for minute in range(_MINUTES)])
    slope = float(np.polyfit(np.arange(_MINUTES), p99, 1)[0])
    what = f"age at result over {len(found)} results, {PER_SECOND} frames/s, engine {ENGINE_MS} ms"
    overall = float(np.percentile(found[:, 1], 99))
    growth = float(p99[-1] - p99[0])
    times = (
        f"first minute {p99[0]:.1f} ms, last {p99[-1]:.1f} ms, {slope * _MINUTES:+.2f} ms in ten minutes by the trend"
    )
    return [
        Row(
            what,
            f"p99 {overall:.1f} ms, max {found[:, 1].max():.1f} ms",
            f"p99 at most {LIMIT_MS:g} ms",
            met=overall <= LIMIT_MS,
        ),
        Row("  p99 by minute", times, f"at most {_FLAT_MS:g} ms more", float(p99[-1] / p99[0]), growth <= _FLAT_MS),
    ]
