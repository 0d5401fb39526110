"""The Pareto front and its knee, by their definitions."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.sweep.pareto import Costs, dominates, knee, pareto_front

EXACT = (0.0, 0.0, 0.0)
NOISY = (0.0, 0.05, 0.0)
# few values, so that ties and domination are frequent
CANDIDATES = st.lists(st.tuples(*[st.integers(1, 6).map(float)] * 3), min_size=1, max_size=12)
CLOSE = st.lists(st.tuples(st.sampled_from([1.0, 2.0]), st.floats(1, 1.3), st.just(1.0)), min_size=1, max_size=12)


@given(CANDIDATES)
def test_front_is_what_nothing_beats(costs: list[Costs]) -> None:
    front = set(pareto_front(costs, EXACT))
    for place, one in enumerate(costs):
        beaten = any(all(a <= b for a, b in zip(other, one, strict=True)) and other != one for other in costs)
        assert (place in front) == (not beaten)


@given(CANDIDATES)
def test_all_that_is_beaten_is_beaten_by_the_front(costs: list[Costs]) -> None:
    front = pareto_front(costs, EXACT)
    for place in set(range(len(costs))) - set(front):
        assert any(dominates(costs[best], costs[place], EXACT) for best in front)


@given(CANDIDATES, st.randoms(use_true_random=False))
def test_order_does_not_matter(costs: list[Costs], random_: random.Random) -> None:
    shuffled = random_.sample(costs, len(costs))
    assert sorted(shuffled[i] for i in pareto_front(shuffled, EXACT)) == sorted(
        costs[i] for i in pareto_front(costs, EXACT)
    )


@given(CANDIDATES)
def test_the_scale_of_a_respect_does_not_matter(costs: list[Costs]) -> None:
    stretched = [(a**3, b * 1000, -1 / c) for a, b, c in costs]
    assert pareto_front(stretched, EXACT) == pareto_front(costs, EXACT)


@given(CANDIDATES, st.tuples(*[st.integers(1, 6).map(float)] * 3))
def test_a_beaten_candidate_changes_nothing(costs: list[Costs], extra: Costs) -> None:
    if any(dominates(one, extra, EXACT) for one in costs):
        assert pareto_front([*costs, extra], EXACT) == pareto_front(costs, EXACT)


@given(CLOSE)
def test_noise_never_empties_the_front_and_never_puts_an_exact_winner_off_it(costs: list[Costs]) -> None:
    front = pareto_front(costs, NOISY)
    assert front
    for place in set(range(len(costs))) - set(front):
        assert any(dominates(other, costs[place], NOISY) for other in costs)
    for one, other in itertools.combinations(costs, 2):
        assert not (dominates(one, other, NOISY) and dominates(other, one, NOISY))


def test_times_that_differ_by_noise_are_equal() -> None:
    costs = [(1.0, 10.2, 5.0), (1.0, 10.0, 5.0), (1.0, 11.0, 5.0), (2.0, 10.0, 5.0)]
    assert pareto_front(costs, EXACT) == [1]
    assert pareto_front(costs, NOISY) == [0, 1]


def test_noise_in_two_respects_is_refused() -> None:
    with pytest.raises(ValueError, match="at most one"):
        pareto_front([(1.0, 1.0)], (0.1, 0.1))


@given(CANDIDATES)
def test_the_knee_is_one_of_them_and_no_other_is_nearer_to_the_ideal(costs: list[Costs]) -> None:
    chosen = costs[knee(costs)]
    assert not any(dominates(other, chosen, EXACT) for other in costs)


def test_the_knee_is_where_the_bend_is() -> None:
    assert knee([(0.0, 10.0), (1.0, 1.0), (10.0, 0.0)]) == 1
    assert knee([(3.0, 3.0)]) == 0
