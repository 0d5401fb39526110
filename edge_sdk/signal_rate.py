"""How many readings a second a source gives, by their time stamps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sdk.window_settings import WindowSettings

RATE_OFF = 0.05  # of the contract's rate: more is another rate
_FEWEST_STEPS, _MOST_STEPS = 20, 10_000  # it is measured over a window's length, within these limits


class SignalRate:
    """Measures how many readings a second a source gives, over a window's time at once, or longer where jitter blurs it."""

    def __init__(self, spec: WindowSettings) -> None:
        # jitter at both ends then makes at most half of what is off
        least = max(_FEWEST_STEPS, round(4 * spec.jitter / RATE_OFF))
        self._steps: npt.NDArray[np.int64] = np.empty(max(least, min(spec.length - 1, _MOST_STEPS)), np.int64)
        self._period_ns = spec.period_ns
        self._limits_ns = (-spec.jitter * spec.period_ns, (1 + spec.jitter) * spec.period_ns)
        self._least = least
        self._count = self._took_ns = 0

    def measure(self, steps: npt.NDArray[np.int64]) -> float | None:
        """Take the steps between readings, in ns; the last rate in Hz that they complete the measurement of, or None."""
        rate_hz = None
        size = self._steps.size
        while steps.size:
            count = min(steps.size, size - self._count)
            self._steps[self._count : self._count + count] = steps[:count]
            self._count += count
            self._took_ns += int(steps[:count].sum())
            steps = steps[count:]
            timed = self._took_ns >= size * self._period_ns and self._count >= self._least
            if self._count == size or timed:
                rate_hz = self._judge(self._steps[: self._count])
                self._count = self._took_ns = 0
        return rate_hz

    def _judge(self, steps: npt.NDArray[np.int64]) -> float | None:
        """Longer steps than is usual for the source itself are gaps, and do not count; neither does time running backwards."""
        least, most = self._limits_ns
        usual = max(1.5 * float(np.median(steps)), most)
        counted = steps[(steps >= least) & (steps <= usual)]
        took_ns = float(counted.sum())
        return counted.size / took_ns * 1e9 if took_ns > 0 else None
