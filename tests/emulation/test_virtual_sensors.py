"""Sensors that a virtual machine's kernel makes without hardware: IIO, I2C, sound."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.emulation.machine import Machine, Seen


@pytest.fixture(scope="module")
def seen(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return machine.play("sensors", tmp_path_factory.mktemp("sensors"))


def test_the_kernel_gives_a_buffered_iio_device(seen: Seen) -> None:
    scene = seen["iio"]
    gaps_ms = sorted((b - a) * 1e-6 for a, b in pairwise(scene["stamps_ns"]))
    assert gaps_ms[len(gaps_ms) // 2] == pytest.approx(10, abs=2)


def test_the_kernel_gives_an_i2c_bus(seen: Seen) -> None:
    assert seen["i2c"]["read"] == "0x8015"


def test_the_kernel_gives_a_sound_card_that_hears_itself(seen: Seen) -> None:
    assert seen["sound"]["hertz"] == pytest.approx(1000, rel=0.05)
    assert seen["sound"]["loudest"] > 1_000
