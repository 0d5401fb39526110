"""What the long benchmarks say of what they saw."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from benchmarks.frames_soak import MOST_MORE, Soaked, rows_of, soak
from benchmarks.overload import under

EXACT = {"captured": 9_999, "on_time": 9_990, "late": 1, "dropped": 5, "skipped": 2, "lost": 1, "in_flight": 0}


def soaked(grows: float = 0.0, given: int = 9_999, in_hand: int = 0, **counts: int) -> Soaked:
    frames = np.arange(1.0, 101.0) * 10_000
    flat = {name: np.full(100, 40.0) for name in MOST_MORE}
    flat["memory"] = 60 + np.linspace(0, grows, 100)
    return Soaked(frames, flat, given, in_hand, {**EXACT, **counts}, 600.0)


def met(seen: Soaked) -> list[bool | None]:
    return [row.met for row in rows_of(seen)]


def test_flat_and_exact_is_met() -> None:
    assert met(soaked()) == [True] * 5


def test_memory_that_grows_by_more_than_it_may_is_not_met_however_little_a_look_shows() -> None:
    assert met(soaked(grows=2.0)) == [True, False, True, True, True]
    assert soaked(grows=2.0).trend("memory") == pytest.approx(1.8, abs=0.05)  # after the warm-up


@pytest.mark.parametrize("wrong", [{"on_time": 9_989}, {"in_flight": 1}, {"given": 9_998}])
def test_a_frame_that_is_not_accounted_for_is_not_met(wrong: dict[str, int]) -> None:
    assert met(soaked(**wrong))[0] is False


def test_a_source_left_behind_may_keep_the_frame_that_it_had_in_hand() -> None:
    assert met(soaked(given=10_000, in_hand=1))[0] is True
    assert met(soaked(given=10_001, in_hand=1))[0] is False


def test_the_plot_is_a_whole_file_of_its_own() -> None:
    from benchmarks.soak_plot import draw

    root = ET.fromstring(draw(soaked(), "a board"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall(".//{*}polyline")) == len(MOST_MORE)


def test_misses_are_few_from_the_last_of_two_that_are_close() -> None:
    results = [(i / 100, i in {1, 3, 8, 9, 300, 500}) for i in range(800)]
    assert under(results) == 0.09
    assert under([(i / 100, i == 700) for i in range(800)]) == 0.0


@pytest.mark.slow
def test_a_short_soak_meets_every_fault_and_accounts_for_every_frame() -> None:
    seen = soak(20_000)
    assert rows_of(seen)[0].met and seen.given == 20_000
    assert len(seen.frames) == len(seen.seen["p99 age"]) == 2
    assert seen.counts["lost"] >= 6 and seen.counts["on_time"] > 1_000
