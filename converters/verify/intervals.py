"""Confidence intervals of 95 %: of one share, of the difference of two paired shares, and of anything else by paired bootstrap.

Wilson's score interval: E. B. Wilson, JASA 22 (1927) 209-212. Paired shares: method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998)
2635-2650. Bootstrap: BCa, percentiles moved for bias and skew (B. Efron, JASA 82 (1987) 171-185), and widened as Student's t widens an
interval (T. C. Hesterberg, The American Statistician 69 (2015) 371-386, "expanded percentile interval"): plain percentiles hold the true
value in 92 of 100 cases where 95 are claimed, for the mean square on 40 samples or mAP on 80 images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Pair = tuple[float, float]

Z = NormalDist().inv_cdf(0.975)
RESAMPLES = 2_000
FEWEST = 30
"""Below so many samples (of the rarer kind, where there are two) a bootstrap says too little, and there is no interval."""
PARTS = 200
_SEED, _AT_ONCE = 0, 1 << 21


def wilson(hits: int, of: int) -> Pair:
    """Interval of a share of which ``hits`` of ``of`` were seen."""
    share, squared = hits / of, Z * Z
    middle = (share + squared / (2 * of)) / (1 + squared / of)
    half = Z / (1 + squared / of) * math.sqrt(share * (1 - share) / of + squared / (4 * of * of))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == of else middle + half)


def paired_shares(before: Bools, after: Bools) -> Pair:
    """Interval of share of ``before`` minus share of ``after``, hits and misses on the same samples."""
    both, first = int(np.sum(before & after)), int(np.sum(before & ~after))
    second, neither = int(np.sum(~before & after)), int(np.sum(~before & ~after))
    count = both + first + second + neither
    share_1, share_2 = (both + first) / count, (both + second) / count
    low_1, high_1 = wilson(both + first, count)
    low_2, high_2 = wilson(both + second, count)
    together = _correlation(both, first, second, neither)
    difference = share_1 - share_2

    def half(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * together * a * b + b * b))

    return difference - half(share_1 - low_1, high_2 - share_2), difference + half(high_1 - share_1, share_2 - low_2)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Newcombe's phi: corrected for continuity where it is above 0, and 0 where a margin is empty."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if margins == 0:
        return 0.0
    product = float(both * neither - first * second)
    if product > 0:
        product = max(0.0, product - (both + first + second + neither) / 2)
    return product / math.sqrt(margins)


def draws(samples: int, strata: npt.NDArray[np.int64] | None = None) -> Iterator[Floats]:
    """How often each sample stands in a resample, some rows of (resamples, samples) at a time, ``RESAMPLES`` in all; always the same.

    Args:
        samples: how many there are.
        strata: group of each; every resample has as many of a group as there are.
    """
    rng = np.random.default_rng(_SEED)
    groups = [np.arange(samples)] if strata is None else [np.flatnonzero(strata == g) for g in np.unique(strata)]
    rows = max(1, min(RESAMPLES, _AT_ONCE // samples))
    for start in range(0, RESAMPLES, rows):
        counts = np.zeros((min(rows, RESAMPLES - start), samples))
        for group in groups:
            for row in counts:
                row[group] = np.bincount(rng.integers(0, len(group), len(group)), minlength=len(group))
        yield counts


def left_out(samples: int) -> Floats:
    """Every sample once but those of one part, for each of at most ``PARTS`` parts, (parts, samples): a jackknife."""
    parts = min(PARTS, samples)
    kept: Floats = (np.arange(samples) % parts != np.arange(parts)[:, None]).astype(np.float64)
    return kept


def span(drawn: Floats, without: Floats, value: float, samples: int) -> Pair:
    """The interval that resampled values span.

    Args:
        drawn: the values over ``draws``.
        without: the values over ``left_out``: how skewed the influence of single samples is.
        value: that over all samples.
        samples: how many there are. A bootstrap draws from what was seen, whose spread is smaller by sqrt((n - 1) / n), and knows
            nothing of Student's t; both are made good.
    """
    normal = NormalDist()
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * len(drawn))
    bias = normal.inv_cdf(min(max(below, 1 / len(drawn)), 1 - 1 / len(drawn)))
    pull = without.mean() - without
    spread = float(np.square(pull).sum()) ** 1.5
    skew = float((pull**3).sum()) / (6 * spread) if spread > 0 else 0.0
    wide = math.sqrt(samples / (samples - 1)) * _student(samples - 1)
    tails = [normal.cdf(bias + (bias + z) / (1 - skew * (bias + z))) for z in (-wide, wide)]
    low, high = np.quantile(drawn, tails)
    return min(float(low), value), max(float(high), value)


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by its expansion (Abramowitz and Stegun 26.7.5); within 0.001 from 10 degrees of freedom on."""
    x = Z
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
    )
    return x + math.fsum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))


def rule_of_three(samples: int) -> float:
    """The largest share of samples that may differ when none of them was seen to (Hanley and Lippman-Hand, JAMA 249 (1983) 1743-1745)."""
    return min(1.0, 3 / samples)
