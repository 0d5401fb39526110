"""A histogram of a fixed number of bins whose range grows with the values, and what it says of a quantization range."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sdk.tensors import Array

BINS = 4096
_SHRUNK = 2.0 ** -(np.arange(49) / 8)  # the ranges tried: from the whole down to a 64th, eight for each halving


class Histogram:
    """Counts in bins of equal width. When a value lies outside, the range doubles and bins merge by twos.

    Attributes:
        counts: int64 (BINS,).
        low: where the first bin begins.
        width: of a bin; 0 before the first value.
        zeros: how many of the values were exactly 0, which every quantization represents exactly.
    """

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.low = self.width = 0.0
        self.zeros = 0

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def high(self) -> float:
        """Where the last bin ends."""
        return self.low + BINS * self.width

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """Of the bins, (BINS,)."""
        return self.low + (np.arange(BINS, dtype=np.float64) + 0.5) * self.width

    def add(self, values: Array) -> None:
        """Count finite values (any shape)."""
        if not values.size:
            return
        values = values.reshape(-1)
        self.zeros += values.size - int(np.count_nonzero(values))
        self._cover(float(values.min()), float(values.max()))
        self.counts += np.bincount(self._places(values), minlength=BINS)

    def merge(self, other: Histogram) -> None:
        """Take over the counts of another one; each bin's go where its centre lies."""
        if not other.total:
            return
        self.zeros += other.zeros
        centres, counts = other.centres[other.counts > 0], other.counts[other.counts > 0]
        self._cover(float(centres[0]), float(centres[-1]))
        self.counts += np.bincount(self._places(centres), weights=counts, minlength=BINS).astype(np.int64)

    def percentile(self, percent: float) -> float:
        """A value in the bin of the smallest one that ``percent`` of all values do not exceed."""
        rank = max(1, int(np.ceil(self.total * percent / 100)))
        return float(self.centres[np.searchsorted(np.cumsum(self.counts), rank)])

    def squared_error(self, low: float, high: float, levels: int = 256) -> float:
        """Mean squared error that quantization to ``levels`` steps of the range (low, high), 0 included, would make.

        Rounding makes step^2 / 12 on values within the range other than 0 (Widrow and Kollar, Quantization Noise, 2008);
        what lies outside becomes the range's end.
        """
        lows, highs = np.array([min(low, 0.0)]), np.array([max(high, 0.0)])
        return float(self._errors(lows, highs, levels)[0, 0])

    def best_range(self, low: float, high: float, levels: int = 256) -> tuple[float, float]:
        """Of the ranges within (low, high), 0 included, the one of the least ``squared_error``."""
        lows, highs = min(low, 0.0) * _SHRUNK, max(high, 0.0) * _SHRUNK
        lows, highs = (lows if low < 0 else lows[:1]), (highs if high > 0 else highs[:1])
        errors = self._errors(lows, highs, levels)
        row, column = np.unravel_index(int(errors.argmin()), errors.shape)
        return float(lows[row]), float(highs[column])

    def _errors(self, lows: Array, highs: Array, levels: int) -> npt.NDArray[np.float64]:
        """The error of every pair, (lows, highs)."""
        total = max(1, self.total)
        below, cut_below = self._clipped(lows, above=False)
        above, cut_above = self._clipped(highs, above=True)
        step = (highs[None, :] - lows[:, None]) / (levels - 1)
        within = np.maximum(total - self.zeros - below[:, None] - above[None, :], 0)
        errors: npt.NDArray[np.float64] = (step**2 / 12 * within + cut_below[:, None] + cut_above[None, :]) / total
        return errors

    def _clipped(self, ends: Array, *, above: bool) -> tuple[Array, Array]:
        """For every end of a range: how many values lie beyond, and the sum of their squared distances from it."""
        distance = self.centres[None, :] - ends[:, None]
        beyond = np.where(distance > 0 if above else distance < 0, self.counts[None, :], 0)
        return beyond.sum(axis=1), (beyond * distance**2).sum(axis=1)

    def _places(self, values: Array) -> npt.NDArray[np.intp]:
        places = (values.astype(np.float64) - self.low) * (1 / self.width)
        np.clip(places, 0, BINS - 1, out=places)  # rounding at the ends
        return places.astype(np.intp)

    def _cover(self, low: float, high: float) -> None:
        if self.width == 0:
            self.low = low
            self.width = (high - low or max(abs(low), 1e-30) * 1e-3) / (BINS - 1)
        while high >= self.high or low < self.low:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            if high >= self.high:
                self.counts[: BINS // 2] = merged
            else:
                self.counts[BINS // 2 :] = merged
                self.low = self.high - 2 * BINS * self.width
            self.width *= 2
