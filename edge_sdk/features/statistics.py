"""Statistics of each channel over a window."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_sdk.features import Features
from edge_sdk.features.exact import Floats, total
from edge_sdk.features.settings import StatisticsSettings
from edge_sdk.window_settings import WindowSettings


class Statistics(Features):
    """See ``StatisticsSettings``."""

    def __init__(self, settings: StatisticsSettings, window: WindowSettings) -> None:
        self._statistics = tuple(_STATISTICS[name] for name in settings.statistics)
        self.shape = len(settings.statistics), len(window.channels)

    def _of(self, window: Floats) -> Floats:
        channels = [_Channel(window[:, i].copy()) for i in range(window.shape[1])]
        return np.array([[statistic(channel) for channel in channels] for statistic in self._statistics])


@dataclass(frozen=True)
class _Channel:
    """One channel's readings, (length,), and what several statistics need of them."""

    x: Floats

    @cached_property
    def mean(self) -> float:
        return _mean(self.x)

    @cached_property
    def rms(self) -> float:
        return math.sqrt(_mean(self.x * self.x))

    @cached_property
    def peak(self) -> float:
        return float(np.abs(self.x).max())

    def moment(self, order: int) -> float:
        """The central moment of this order, 2 to 4."""
        apart = self.x - self.mean
        power = apart * apart
        return _mean(power if order == 2 else power * (apart if order == 3 else power))


def _mean(x: Floats) -> float:
    return total(x) / x.size


def _standardised(channel: _Channel, order: int) -> float:
    std = math.sqrt(channel.moment(2))
    if std <= 0:
        return 0.0
    return channel.moment(order) / (std * std * std if order == 3 else std * std * std * std)


_STATISTICS: dict[str, Callable[[_Channel], float]] = {
    "mean": lambda c: c.mean,
    "std": lambda c: math.sqrt(c.moment(2)),
    "rms": lambda c: c.rms,
    "min": lambda c: float(c.x.min()),
    "max": lambda c: float(c.x.max()),
    "peak_to_peak": lambda c: float(c.x.max()) - float(c.x.min()),
    "crest_factor": lambda c: c.peak / c.rms if c.rms else 0.0,
    "skewness": lambda c: _standardised(c, 3),
    "kurtosis": lambda c: _standardised(c, 4),
    "zero_crossings": lambda c: int(np.count_nonzero((c.x[1:] < 0) != (c.x[:-1] < 0))) / (c.x.size - 1),
}
