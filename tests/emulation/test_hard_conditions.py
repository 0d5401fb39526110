"""In a virtual machine with its virtual camera: results are never older than they say, whatever is done to processor, process and clock."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.emulation.machine import Machine, Seen
from tests.emulation.null_bundle import image_bundle

PERIOD_MS = 40.0  # the camera's, 25 frames a second


@pytest.fixture(scope="module")
def seen(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("conditions")
    return machine.play("conditions", folder / "shared", [image_bundle(folder / "null.edge")])


def assert_exact(counts: dict[str, int]) -> None:
    others = dict(counts)
    assert others.pop("captured") == sum(others.values())


def assert_what_is_fresh_is_young(scene: dict[str, Any], deadline_ms: float) -> None:
    """By the clock of the program that got the results, counted from the driver's time stamps."""
    fresh = [age_ms for _, age_ms, late, _ in scene["rows"] if not late]
    assert all(0 < age_ms <= deadline_ms + PERIOD_MS for age_ms in fresh)


def test_the_camera_comes_at_its_frame_rate_by_the_drivers_time_stamps(seen: Seen) -> None:
    """At the rate that the driver alone reaches here; an idle machine emulates all of the 25 frames a second."""
    alone_hz = 100 / seen["driver_alone"]["seconds"]
    rows = seen["steady"]["rows"]
    frames = sum(1 + dropped for _, _, _, dropped in rows[1:])
    rate_hz = frames / ((rows[-1][0] - rows[0][0]) * 1e-9)
    assert 0.85 * alone_hz < rate_hz < 1.02 * 1_000 / PERIOD_MS
    gaps_ms = sorted((b[0] - a[0]) * 1e-6 / (1 + b[3]) for a, b in pairwise(rows))
    assert gaps_ms[len(gaps_ms) // 2] == pytest.approx(1_000 / rate_hz, rel=0.1)


@pytest.mark.parametrize(
    ("scene", "deadline_ms"), [("steady", 60), ("short_deadline", 25), ("stopped_for_a_while", 300)]
)
def test_no_frame_older_than_deadline_and_one_period_is_delivered_as_fresh(
    seen: Seen, scene: str, deadline_ms: float
) -> None:
    assert_what_is_fresh_is_young(seen[scene], deadline_ms)
    assert_exact(seen[scene]["report"]["counts"])


def test_after_a_stop_old_frames_are_late_and_new_ones_on_time(seen: Seen) -> None:
    """A process that was stopped for 1.5 s finds frames of before the stop in the driver's two buffers."""
    rows = seen["stopped_for_a_while"]["rows"]
    oldest = max(range(len(rows)), key=lambda place: rows[place][1])
    assert rows[oldest][1] > 1_000
    assert rows[oldest][2]
    after = rows[oldest + 4 :]
    assert sum(not late for _, _, late, _ in after) > 0.8 * len(after) > 10


def test_without_processor_time_it_loses_frames_not_count_nor_life(seen: Seen) -> None:
    scene = seen["without_processor"]
    assert scene["exit"] == 143
    assert scene["starved"] < 125  # of 250 frames
    assert scene["report"]["counts"]["dropped"] > 20
    assert_exact(scene["report"]["counts"])
    fresh = [result for result in scene["results"] if not result["late"]]
    assert all(result["age_ms"] <= 300 for result in fresh)
    after = [result for result in scene["results"] if result["captured_ns"] > scene["given_back_ns"] + 1_000_000_000]
    assert len(after) > 50
    assert sum(not result["late"] for result in after) > 0.9 * len(after)


def test_a_clock_set_back_a_day_changes_nothing(seen: Seen) -> None:
    scene = seen["clock_set_back"]
    assert (scene["exit"], scene["events"]) == (143, [])
    days = [result["utc"][:10] for result in scene["results"]]
    assert len(set(days)) > 1  # it was set back
    assert all(b["captured_ns"] > a["captured_ns"] for a, b in pairwise(scene["results"]))
    assert all(0 < result["age_ms"] < 1_000 for result in scene["results"])
    assert_exact(scene["report"]["counts"])
