"""The histogram counts every value in its bin however its range had to grow, and its ranges are what a search would find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from converters.calibrate.histogram import BINS, Histogram

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
BATCHES = st.lists(arrays(np.float32, st.integers(0, 200), elements=FINITE), min_size=1, max_size=6)
RNG = np.random.default_rng(0)


def of(*batches: np.ndarray) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(np.asarray(batch, np.float32))
    return histogram


@given(BATCHES)
def test_no_value_is_lost_and_all_lie_within(batches: list[np.ndarray]) -> None:
    histogram, values = of(*batches), np.concatenate(batches)
    assert histogram.total == values.size
    assert histogram.zeros == (values == 0).sum()
    assert histogram.counts.min() >= 0
    if values.size:
        room = 1e-9 * BINS * histogram.width  # of float arithmetic
        assert histogram.low - room <= values.min() and values.max() <= histogram.high + room


@given(BATCHES, st.floats(0.001, 100))
def test_percentile_is_within_a_bin_of_numpy_s(batches: list[np.ndarray], percent: float) -> None:
    histogram, values = of(*batches), np.concatenate(batches).astype(np.float64)
    if values.size:
        wanted = np.sort(values)[max(1, int(np.ceil(values.size * percent / 100))) - 1]
        room = histogram.width * (1 + 1e-6) + 1e-6 * abs(wanted)
        assert abs(histogram.percentile(percent) - wanted) <= room


@given(BATCHES, BATCHES)
def test_merged_histograms_hold_the_values_of_both(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    merged, values = of(*one), np.concatenate([*one, *other])
    merged.merge(of(*other))
    assert merged.total == values.size and merged.zeros == (values == 0).sum()
    if values.size:
        room = 2 * merged.width + 1e-5 * max(abs(values.min()), abs(values.max()))
        assert merged.low <= values.min() + room and values.max() - room <= merged.high


def test_growth_upwards_keeps_the_lower_end_so_that_zero_stays_the_end_after_relu() -> None:
    histogram = of([0, 1], [0, 100], [0, 5000])
    assert histogram.low == 0
    assert histogram.high > 5000
    assert histogram.counts[0] == 4  # the three zeros, and the 1


def test_growth_is_by_doubling() -> None:
    histogram = of([0, 1])
    width = histogram.width
    histogram.add(np.array([1000.0], np.float32))
    assert np.log2(histogram.width / width) == pytest.approx(10, abs=1e-9)
    histogram.add(np.array([-3000.0], np.float32))
    assert np.log2(histogram.width / width) == pytest.approx(12, abs=1e-9)
    assert histogram.low <= -3000 and histogram.high >= 1000 and histogram.total == 4


def simulated(values: np.ndarray, low: float, high: float) -> float:
    """The error of quantization itself, value by value."""
    low, high = min(low, 0), max(high, 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    stored = np.clip(np.round(values / scale) + zero, 0, 255)
    return float(np.square((stored - zero) * scale - values).mean())


@pytest.mark.parametrize(
    ("values", "ranges"),
    [
        (RNG.normal(0, 1, 50_000), [(-5, 5), (-3, 3), (-2, 4)]),
        (np.maximum(RNG.normal(0, 1, 50_000), 0), [(0, 5), (0, 2.5)]),
        (RNG.laplace(0, 1, 50_000), [(-12, 12), (-6, 6)]),
    ],
)
def test_squared_error_is_that_of_quantizing(values: np.ndarray, ranges: list[tuple[float, float]]) -> None:
    histogram = of(values)
    for low, high in ranges:
        assert histogram.squared_error(low, high) == pytest.approx(simulated(values, low, high), rel=0.1)


def test_best_range_cuts_an_outlier_and_leaves_what_has_none() -> None:
    even = RNG.uniform(-1, 1, 50_000)
    assert of(even).best_range(-1, 1) == (-1, 1)
    heavy = np.append(RNG.normal(0, 1, 400_000), [12.0])
    low, high = of(heavy).best_range(float(heavy.min()), 12.0)
    assert 3 < high < 10 and low < -3
    assert simulated(heavy, low, high) < simulated(heavy, float(heavy.min()), 12) * 0.8


def test_one_single_value_has_a_range() -> None:
    for value in (0.0, -3.0, 1e-30, 1e30):
        histogram = of([value, value])
        assert histogram.total == 2 and histogram.counts.max() == 2
        assert histogram.percentile(50) == pytest.approx(value, rel=1e-2, abs=1e-30)


def test_size_does_not_depend_on_what_was_counted() -> None:
    histogram = of(*[RNG.normal(0, 10.0**n, 1000) for n in range(8)])
    assert histogram.counts.shape == (BINS,) and histogram.total == 8000
