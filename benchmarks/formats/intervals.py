"""95 % intervals: Wilson's for shares, the bootstrap's for everything else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Figure = Callable[[Scores], float]
Interval = tuple[float, float]

_Z = 1.959964  # of 95 %
_DRAWS, _SEED = 1000, 0


def interval(scores: Scores, figure: Figure) -> Interval:
    """Of ``figure`` over samples: ``scores`` has one row a sample.

    Shares of hits take Wilson's interval (Wilson, JASA 22, 1927), which is right at 0 and 1 too.
    """
    if scores.ndim == 1 and np.isin(scores, (0, 1)).all():
        return _wilson(int(scores.sum()), len(scores))
    return _percentiles([figure(scores[draw]) for draw in _draws(len(scores))])


def paired_interval(ours: Scores, theirs: Scores, figure: Figure) -> Interval:
    """Of the difference, ours less theirs, on the same samples: each draw is given to both."""
    return _percentiles([figure(ours[draw]) - figure(theirs[draw]) for draw in _draws(len(ours))])


def _wilson(hits: int, count: int) -> Interval:
    share, spread = hits / count, _Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * float(np.sqrt(share * (1 - share) / count + spread / (4 * count))) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def _draws(count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(_SEED).integers(0, count, (_DRAWS, count))


def _percentiles(figures: list[float]) -> Interval:
    low, high = np.nanpercentile(figures, (2.5, 97.5))
    return float(low), float(high)
