"""I2C sensors on a bus that a test plays; i2c-stub's, which is the kernel's, is tested in the virtual machine."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import ConfigError, SourceError, SourceLostError
from edge_sdk.sources import KINDS, Source, source_from
from edge_sdk.sources.i2c import I2cSettings, I2cSource
from tests.source_contract import SourceContract


class Sensor:
    """A bus with one sensor; it fails with each of ``errors`` first."""

    def __init__(self) -> None:
        self.registers = bytearray(256)
        self.errors: list[int] = []
        self.opened = self.closed = 0

    def __call__(self, path: str) -> Sensor:
        self.opened += 1
        self._fail()
        return self

    def _fail(self) -> None:
        if self.errors and (number := self.errors.pop(0)):
            raise OSError(number, os.strerror(number))

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        assert i2c_addr == 0x68
        self._fail()
        return list(self.registers[register : register + length])

    def write_byte_data(self, i2c_addr: int, register: int, value: int) -> None:
        self._fail()
        self.registers[register] = value

    def close(self) -> None:
        self.closed += 1

    def source(self, more: str = "&format=>3h&rate_hz=200") -> Source:
        _, given = KINDS.parse(f"i2c:1?address=0x68&register=0x3b{more}")
        return I2cSource(I2cSettings.model_validate(given), bus=self)


@pytest.fixture
def sensor() -> Sensor:
    sensor = Sensor()
    sensor.registers[0x3B:0x41] = struct.pack(">3h", 16384, -16384, 1)
    return sensor


class TestI2c(SourceContract):
    count = None

    @pytest.fixture
    def make(self, sensor: Sensor) -> Callable[[], Source]:
        return sensor.source


def test_readings_are_in_units_after_the_sensor_was_woken(sensor: Sensor) -> None:
    more = "&format=>3h&rate_hz=100&scale=0.5,1,2&offset=1&channels=x,y,z&write=0x6b:1,0x1c:0x10"
    with sensor.source(more) as source:
        sample = source.read()
    assert sample.data.tolist() == [[8193, -16383, 3]] * 2 and source.channels == ("x", "y", "z")
    assert (sensor.registers[0x6B], sensor.registers[0x1C]) == (1, 0x10)
    assert np.diff(sample.times_ns)[0] > 5e6 and source.period_s == 0.02
    assert (sensor.opened, sensor.closed) == (1, 1)


def test_one_reading_that_fails_is_broken_and_the_third_in_a_row_is_the_end(sensor: Sensor) -> None:
    source = sensor.source("&format=>3h&rate_hz=40")
    source.open()
    for errors, lost in (
        ([errno.EREMOTEIO], False),
        ([errno.EIO, errno.EIO, errno.ETIMEDOUT], True),
        ([errno.ENODEV], True),
    ):
        sensor.errors = list(errors)
        for number in range(len(errors)):
            with pytest.raises(
                SourceError, match=r"/dev/i2c-1, address 0x68 (gave no reading|does not answer any more): "
            ) as caught:
                source.read()
            assert isinstance(caught.value, SourceLostError) == (lost and number == len(errors) - 1)
        assert source.read().data.shape == (1, 3)
    source.close()


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([errno.ENOENT], r"no I2C bus at /dev/i2c-1. (There is no /dev/i2c|I2C buses here)"),
        ([errno.EACCES], "may|usermod -aG i2c"),
        (
            [0, errno.ENXIO],
            "address 0x68 does not answer: No such device or address. Check its wires .* i2cdetect -y 1",
        ),
        ([0, errno.EBUSY], "A driver of the kernel has it"),
        ([0, errno.EOPNOTSUPP], "cannot read blocks"),
    ],
)
def test_what_does_not_answer_says_why(sensor: Sensor, errors: list[int], message: str) -> None:
    sensor.errors = list(errors)
    with pytest.raises(SourceError, match=message):
        sensor.source().open()
    assert sensor.closed == (len(errors) - 1)


def test_a_bus_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("smbus2", reason="smbus2 is not installed; it comes with the extra i2c")
    with pytest.raises(SourceError, match=r"no I2C bus at /dev/i2c-255"):
        source_from("i2c:255?address=0x68&register=0&format=b&rate_hz=1").open()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("&format=>3h", "rate_hz: is missing"),
        ("&format=>17h&rate_hz=1", "34 bytes long; a block has 32 at most"),
        ("&format=>3h&rate_hz=1&scale=1,2", "2 values of scale for 3 numbers"),
        ("&format=>3h&rate_hz=1&channels=x", "1 names of channels for 3 numbers"),
        ("&format=>3h&rate_hz=1&write=0x6b", "write"),
        ("&format=>3h&rate_hz=1&write=0x6b:256", "write"),
        ("&format=>3s&rate_hz=1", "has more than numbers"),
    ],
)
def test_settings_that_do_not_fit(sensor: Sensor, more: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_from(f"i2c:1?address=0x68&register=0x3b{more}")


@pytest.mark.parametrize(("address", "register"), [("0x78", "0"), ("2", "0"), ("x", "0"), ("0x68", "256")])
def test_addresses_that_are_none(address: str, register: str) -> None:
    with pytest.raises(ConfigError, match=r"address|register"):
        source_from(f"i2c:1?address={address}&register={register}&format=b&rate_hz=1")
