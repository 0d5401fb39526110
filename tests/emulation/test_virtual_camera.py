"""A real V4L2 driver, in a virtual machine: the kernel's virtual camera, with the faults that it can make, under ``edge-sdk run``."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.emulation.machine import Machine, Seen
from tests.emulation.null_bundle import image_bundle

PERIOD_MS = 40.0  # vivid's, 25 frames a second


@pytest.fixture(scope="module")
def seen(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("camera")
    return machine.play("camera", folder / "shared", [image_bundle(folder / "null.edge")])


def kinds(scene: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in scene["events"]]


def ages(scene: dict[str, Any]) -> list[float]:
    return sorted(result["age_ms"] for result in scene["results"])


def assert_every_sample_is_accounted_for(scene: dict[str, Any]) -> None:
    counts = dict(scene["report"]["counts"])
    assert counts.pop("captured") == sum(counts.values())
    assert counts["on_time"] + counts["late"] == len(scene["results"])
    assert scene["whole"]


def test_the_doctor_finds_the_camera(seen: Seen) -> None:
    (camera,) = [finding for finding in seen["doctor"]["findings"] if finding["check"] == "camera"]
    assert (seen["doctor"]["exit"], camera["state"]) == (0, "ok")


def queues(scene: dict[str, Any]) -> list[float]:
    """Milliseconds from capture to encoding, of each result: what the driver took is in it."""
    return sorted(result["stages"]["queue_ms"] for result in scene["results"])


def test_ages_count_from_the_drivers_time_stamp(seen: Seen) -> None:
    scene = seen["plain"]
    assert (scene["exit"], len(scene["results"]), kinds(scene)) == (0, 60, [])
    assert_every_sample_is_accounted_for(scene)
    stamps = [result["captured_ns"] for result in scene["results"]]
    gaps_ms = sorted((b - a) * 1e-6 for a, b in pairwise(stamps))
    assert gaps_ms[len(gaps_ms) // 2] == pytest.approx(PERIOD_MS, abs=8)
    from_reading = queues(seen["stamps_in_the_future"])
    assert from_reading[30] + 0.5 < queues(scene)[30] < PERIOD_MS


def test_a_stamp_in_the_future_makes_no_age_below_zero(seen: Seen) -> None:
    scene = seen["stamps_in_the_future"]
    assert (scene["exit"], len(scene["results"]), kinds(scene)) == (0, 60, [])
    assert queues(scene)[0] > 0


def test_a_slow_engine_gets_frames_that_are_new(seen: Seen) -> None:
    """With the driver's four buffers and no thread that empties them a frame would wait for 700 ms and more."""
    scene = seen["slow_engine"]
    assert (scene["exit"], len(scene["results"])) == (0, 15)
    assert_every_sample_is_accounted_for(scene)
    assert scene["report"]["counts"]["dropped"] > 30
    assert queues(scene)[7] < 1.5 * PERIOD_MS


def test_buffers_that_the_driver_drops_only_cost_their_frames(seen: Seen) -> None:
    scene = seen["dropped_buffers"]
    assert (scene["exit"], len(scene["results"]), kinds(scene)) == (0, 30, [])
    assert ages(scene)[15] < 100


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ("impossible_size", "/dev/video0 gives width=320, not width=321. Ask for what it has: v4l2-ctl -d /dev/video0"),
        ("no_such_device", "no camera at /dev/video7. Video devices here: /dev/video0. Run: edge-sdk doctor"),
        ("no_permission", "/dev/video0 may not be used by this user. Run: sudo usermod -aG video $USER"),
        ("busy", "/dev/video0 cannot be opened as a camera: it is in use (fuser -v /dev/video0 shows by whom"),
    ],
)
def test_what_cannot_be_had_says_why(seen: Seen, scene: str, message: str) -> None:
    assert seen[scene]["exit"] == 1
    assert f"error: {message}" in seen[scene]["error"]
    assert "Traceback" not in seen[scene]["error"]


def test_an_unplugged_camera_goes_on_when_it_is_back(seen: Seen) -> None:
    scene = seen["unplugged_and_back"]
    assert (scene["exit"], len(scene["results"]), kinds(scene)) == (0, 60, ["source_lost", "source_back"])
    assert_every_sample_is_accounted_for(scene)
    assert scene["events"][1]["took_ms"] > 2_000
    assert scene["report"]["sources_left_behind"] == 0
    sequences = [result["sequence"] for result in scene["results"]]
    assert sequences == sorted(set(sequences))


def test_a_camera_that_stays_away_ends_the_command(seen: Seen) -> None:
    scene = seen["stays_away"]
    assert (scene["exit"], kinds(scene)) == (1, ["source_lost"])
    assert_every_sample_is_accounted_for(scene)
    assert "it was unplugged, or its driver hangs" in scene["error"]
    assert "It did not come back within 3 s: no camera at /dev/video0" in scene["error"]


def test_a_camera_that_hangs_is_left_behind_and_opened_anew(seen: Seen) -> None:
    scene = seen["hangs"]
    assert (scene["exit"], len(scene["results"]), kinds(scene)) == (0, 60, ["source_hung", "source_back"])
    assert_every_sample_is_accounted_for(scene)
    assert scene["report"]["sources_left_behind"] == 1


def test_an_interrupt_while_the_camera_is_away_ends_at_once(seen: Seen) -> None:
    scene = seen["interrupted_while_away"]
    assert (scene["exit"], kinds(scene)) == (130, ["source_lost"])
    assert_every_sample_is_accounted_for(scene)
