"""Sensors that a virtual machine's kernel makes without hardware: IIO, I2C, sound."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.emulation.machine import Machine, Seen


@pytest.fixture(scope="module")
def seen(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return machine.play("sensors", tmp_path_factory.mktemp("sensors"))


def test_the_kernel_gives_a_buffered_iio_device(seen: Seen) -> None:
    scene = seen["iio"]
    gaps_ms = sorted((b - a) * 1e-6 for a, b in pairwise(scene["stamps_ns"]))
    assert gaps_ms[len(gaps_ms) // 2] == pytest.approx(10, abs=2)


def assert_steady(scene: dict[str, Any], rate_hz: float) -> None:
    """All that came in four seconds, evenly, with times of our clock."""
    times = scene["times_ns"]
    assert len(times) == pytest.approx(4 * rate_hz, rel=0.2)
    gaps_ms = sorted((b - a) * 1e-6 for a, b in pairwise(times))
    assert gaps_ms[0] > 0
    assert gaps_ms[len(gaps_ms) // 2] == pytest.approx(1_000 / rate_hz, rel=0.1)
    assert 0 < scene["now_ns"] - times[-1] < 2_000_000_000


def test_a_buffered_sensor_is_read_at_its_rate_with_the_drivers_times(seen: Seen) -> None:
    scene = seen["iio_buffered"]
    assert (scene["channels"], scene["rate_hz"]) == (["accel_x"], 100)
    assert_steady(scene, 100)


def test_a_sensor_is_polled_at_the_rate_that_was_asked_for(seen: Seen) -> None:
    scene = seen["iio_polled"]
    assert scene["channels"] == ["accel_x", "voltage0"]
    assert_steady(scene, 50)


def test_a_sensor_whose_driver_goes_lets_go_and_is_read_again_when_it_is_back(seen: Seen) -> None:
    scene = seen["iio_gone_and_back"]
    assert scene["lost_by_itself"]
    assert "no IIO device 'motion'" in scene["away"]
    assert len(scene["times_ns"]) > 50


def test_the_kernel_gives_an_i2c_bus(seen: Seen) -> None:
    assert seen["i2c"]["read"] == "0x8015"


def test_the_kernel_gives_a_sound_card_that_hears_itself(seen: Seen) -> None:
    assert seen["sound"]["hertz"] == pytest.approx(1000, rel=0.05)
    assert seen["sound"]["loudest"] > 1_000


def test_a_chip_on_the_i2c_bus_is_polled_in_its_units(seen: Seen) -> None:
    scene = seen["i2c_polled"]
    assert_steady(scene, 50)
    assert (scene["channels"], set(map(tuple, scene["values"]))) == (["celsius"], {(21.5,)})


def test_a_chip_that_does_not_answer_is_said(seen: Seen) -> None:
    assert "0x20" in seen["i2c_absent"]["message"]


def test_sound_is_recorded_at_its_rate(seen: Seen) -> None:
    scene = seen["sound_recorded"]
    assert_steady(scene, 16_000)
    assert scene["hertz"] == pytest.approx(1000, rel=0.05)


def test_a_sound_card_that_another_program_has_is_said_and_had_later(seen: Seen) -> None:
    scene = seen["sound_busy"]
    assert scene["message"]
    assert scene["after"] == pytest.approx(16_000, rel=0.2)
