"""A sensor on an I2C bus, read register by register, where no driver of the kernel reads it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from edge_sdk.errors import SourceError, needs
from edge_sdk.kinds import Names, Numbers, Settings
from edge_sdk.sources.held import Held
from edge_sdk.sources.packets import Format, Layout
from edge_sdk.sources.polled import PolledSource

_MOST_BYTES = 32  # of a block, in SMBus


class Bus(Protocol):
    """What is used of ``smbus2.SMBus``; a test may give its own."""

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        """So many bytes from a register on."""

    def write_byte_data(self, i2c_addr: int, register: int, value: int) -> None:
        """Write a register."""

    def close(self) -> None:
        """Let go of the bus."""


def _integer(value: object) -> object:
    return int(value, 0) if isinstance(value, str) else value


def _writes(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [[part.strip() for part in pair.split(":")] for pair in value.split(",")]


Byte = Annotated[int, BeforeValidator(_integer), Field(ge=0, le=255)]


class I2cSettings(Settings):
    """``i2c:1?address=0x68&register=0x3b&format=>3h&rate_hz=100&scale=0.000598&write=0x6b:0``.

    Attributes:
        bus: its number: 1 is /dev/i2c-1.
        address: the sensor's, of seven bits; ``i2cdetect -y 1`` shows those that answer.
        register: the first one of a reading.
        format: of the bytes from there on: numbers as in Python's module ``struct``; 32 bytes at most.
        rate_hz: readings a second.
        scale, offset: what makes units of a number: number * scale + offset; one for all channels, or one for each.
        channels: their names; without them, their positions.
        write: registers to write when it is opened, in this order, such as ``0x6b:0,0x1c:0x10``: to wake the sensor, to choose its range.
    """

    location: ClassVar[str | None] = "bus"

    bus: int = Field(ge=0, le=255)
    address: Annotated[int, BeforeValidator(_integer), Field(ge=0x03, le=0x77)]
    first_register: Byte = Field(alias="register")  # pydantic has a register of its own
    format: Format
    rate_hz: float = Field(ge=1e-3, le=10_000)
    scale: Numbers = (1.0,)
    offset: Numbers = (0.0,)
    channels: Names = ()
    write: Annotated[tuple[tuple[Byte, Byte], ...], BeforeValidator(_writes)] = ()

    @model_validator(mode="after")
    def _fit(self) -> I2cSettings:
        layout = Layout(self.format)
        if layout.size > _MOST_BYTES:
            raise ValueError(f"format={self.format} is {layout.size} bytes long; a block has {_MOST_BYTES} at most")
        for name, given in (("scale", self.scale), ("offset", self.offset)):
            if len(given) not in (1, layout.count):
                raise ValueError(f"{len(given)} values of {name} for {layout.count} numbers; give one, or one for each")
        if self.channels and len(self.channels) != layout.count:
            raise ValueError(f"{len(self.channels)} names of channels for {layout.count} numbers")
        return self


class I2cSource(PolledSource):
    """Readings, float64 (count, channels).

    Args:
        settings: which sensor, and how.
        bus: opens the bus of this device file; a test may give its own.
    """

    settings_class = I2cSettings

    def __init__(self, settings: I2cSettings, *, bus: Callable[[str], Bus] | None = None) -> None:
        super().__init__(settings.rate_hz)
        self.settings = settings
        self._layout = Layout(settings.format)
        self.channels = settings.channels or tuple(map(str, range(self._layout.count)))
        self._scale, self._zero = np.array(settings.scale), np.array(settings.offset)
        self._path = f"/dev/i2c-{settings.bus}"
        self._make = bus or _smbus

    def _connect(self) -> Held:
        try:
            bus = self._bus = self._make(self._path)
        except FileNotFoundError as exc:
            raise SourceError(f"no I2C bus at {self._path}. {_buses_there()}") from exc
        except OSError as exc:
            hint = "Run: sudo usermod -aG i2c $USER, and log in again" if exc.errno == errno.EACCES else "See dmesg"
            raise SourceError(f"{self._path} cannot be opened: {exc.strerror}. {hint}") from exc
        held = Held(bus.close)
        try:
            for register, value in self.settings.write:
                bus.write_byte_data(self.settings.address, register, value)
            self._one()
        except OSError as exc:
            held.give_up()
            raise SourceError(f"{self} does not answer: {exc.strerror}. {self._advice(exc)}") from exc
        except BaseException:
            held.give_up()
            raise
        return held

    def _one(self) -> list[float]:
        settings = self.settings
        block = self._bus.read_i2c_block_data(settings.address, settings.first_register, self._layout.size)
        if len(block) != self._layout.size:
            raise ValueError(f"{len(block)} bytes of {self._layout.size}")
        readings = self._layout.readings(bytes(block)) * self._scale + self._zero
        numbers: list[float] = readings[0].tolist()
        return numbers

    def _advice(self, exc: OSError) -> str:
        if exc.errno == errno.EBUSY:
            return "A driver of the kernel has it: read it by iio:, or unbind the driver"
        if exc.errno == errno.EOPNOTSUPP:
            return "This bus cannot read blocks"
        return f"Check its wires and its address: i2cdetect -y {self.settings.bus} shows what answers"

    def __str__(self) -> str:
        return f"{self._path}, address {self.settings.address:#04x}"


def _smbus(path: str) -> Bus:
    with needs("smbus2", for_="reading an I2C bus", extra="i2c"):
        from smbus2 import SMBus
    bus: Bus = SMBus(path)
    return bus


def _buses_there() -> str:
    there = sorted(str(path) for path in Path("/dev").glob("i2c-*"))
    if there:
        return f"I2C buses here: {', '.join(there)}"
    return "There is no /dev/i2c-*: switch the bus on (Raspberry Pi: dtparam=i2c_arm=on in config.txt), and run: sudo modprobe i2c-dev"
