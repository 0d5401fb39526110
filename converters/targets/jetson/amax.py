"""The largest magnitude that a symmetric int8 tensor holds (NVIDIA's "amax"; its scale is amax / 127), by several methods.

- ``minmax``: of all values seen.
- ``percentile P``: P percent of the magnitudes lie below.
- ``mse``: the squared error of quantization is the least.
- ``entropy``: the distribution of the quantized magnitudes diverges the least from the true one (S. Migacz, 8-bit Inference with TensorRT,
  GTC 2017: Kullback-Leibler divergence over 2,048 bins and 128 levels).
- ``auto``: of each tensor the one of these of the least squared error; ``minmax`` unless another has a twentieth less.

Where a tensor is shifted (see ``centre``) its range has two ends, and amax is half the way between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.calibrate.statistics import TensorStatistics

METHODS = (
    "minmax",
    "percentile 99.9999",
    "percentile 99.999",
    "percentile 99.99",
    "percentile 99.9",
    "mse",
    "entropy",
    "auto",
)
_LEVELS, _BINS, _STRIDE = 128, 2048, 16
_SHRUNK = 2.0 ** -(np.arange(49) / 8)
_LEAST_GAIN = 0.05
_DEAD = 1e-2  # of a tensor that is zero on every sample
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Magnitudes:
    """A tensor's magnitudes: how many lie in each of bins of equal width, from 0 on; and how many are 0 itself."""

    counts: _Floats
    width: float
    zeros: int

    @staticmethod
    def of(tensor: TensorStatistics) -> Magnitudes:
        """Folded at zero from the signed histogram."""
        histogram = tensor.histogram
        centres = np.abs(histogram.centres)
        top = float(centres[histogram.counts > 0].max(initial=0.0)) or 1.0
        counts, edges = np.histogram(centres, bins=_BINS, range=(0.0, top * (1 + 1e-9)), weights=histogram.counts)
        return Magnitudes(counts.astype(np.float64), float(edges[1]), histogram.zeros)

    @property
    def centres(self) -> _Floats:
        """Of the bins."""
        return np.asarray((np.arange(self.counts.size) + 0.5) * self.width, np.float64)

    def percentile(self, percent: float) -> float:
        """The upper edge of the bin in which so much of all lies below."""
        reached = np.cumsum(self.counts) >= self.counts.sum() * percent / 100 * (1 - 1e-12)
        return float((int(np.argmax(reached)) + 1) * self.width)

    def squared_error(self, amax: float) -> float:
        """Sum of squares that symmetric int8 would be off: step^2 / 12 for each value within but 0, the distance beyond."""
        beyond = np.maximum(self.centres - amax, 0.0)
        within = self.counts[beyond == 0].sum() - self.zeros
        return float((amax / 127) ** 2 / 12 * max(within, 0.0) + (self.counts * beyond**2).sum())

    def least_error(self, most: float) -> float:
        """The amax of the least squared error."""
        return float(min((most * share for share in _SHRUNK), key=self.squared_error))

    def least_divergence(self) -> float:
        """The amax of the least divergence; zeros, which any scale keeps, do not count."""
        counts = self.counts.copy()
        counts[0] = counts[1]
        if not counts.any():
            return self.counts.size * self.width
        ends = range(_LEVELS, counts.size + 1, _STRIDE)
        found = [_divergence(counts, end) for end in ends]
        best = len(found) - 1 - int(np.argmin(found[::-1]))
        return ends[best] * self.width


def _divergence(counts: _Floats, end: int) -> float:
    """Kullback-Leibler divergence of the first ``end`` bins, the rest added to the last, from themselves merged into 128."""
    inside = counts[:end]
    true = inside.copy()
    true[-1] += counts[end:].sum()
    starts = np.arange(_LEVELS) * end // _LEVELS
    filled = inside > 0
    sums, sizes = np.add.reduceat(inside, starts), np.add.reduceat(filled.astype(np.float64), starts)
    lengths = np.diff(np.append(starts, end))
    made = np.where(filled, np.repeat(sums / np.maximum(sizes, 1), lengths), 0.0)
    p, q = true / true.sum(), made / max(made.sum(), 1e-30)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))).sum())


def find_amax(tensor: TensorStatistics, method: str) -> float:
    """What the tensor holds at most, by one of ``METHODS``; inputs, outputs and functions of fixed range keep all that was seen."""
    whole = max(abs(tensor.low), abs(tensor.high))
    if tensor.dead:
        return _DEAD
    if method == "minmax" or tensor.whole:
        return whole
    magnitudes = Magnitudes.of(tensor)
    if method == "auto":
        return _best(magnitudes, whole)
    return min(whole, _amax(magnitudes, whole, method))


def _amax(magnitudes: Magnitudes, whole: float, method: str) -> float:
    if method == "mse":
        return magnitudes.least_error(whole)
    if method == "entropy":
        return magnitudes.least_divergence()
    return magnitudes.percentile(float(method.removeprefix("percentile ")))


def _best(magnitudes: Magnitudes, whole: float) -> float:
    tried = [min(whole, _amax(magnitudes, whole, method)) for method in METHODS[1:-1]]
    best = min(tried, key=magnitudes.squared_error)
    return best if magnitudes.squared_error(best) < (1 - _LEAST_GAIN) * magnitudes.squared_error(whole) else whole


def find_ends(tensor: TensorStatistics, method: str) -> tuple[float, float]:
    """Low and high end of a tensor that is shifted: by the same methods on each side; those that know no sides go by squared error."""
    if method.startswith("percentile "):
        low, high, _ = tensor.range("percentile", percentile=float(method.removeprefix("percentile ")))
    else:
        low, high, _ = tensor.range("minmax" if method == "minmax" else "mse")
    return low, high
