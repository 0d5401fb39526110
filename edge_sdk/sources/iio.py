"""Sensors of Linux's Industrial I/O: accelerometers, gyroscopes, converters, thermometers, with a buffer or without."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.kinds import Settings
from edge_sdk.sources import Source
from edge_sdk.sources.held import Held, HeldFile
from edge_sdk.sources.iio_device import SYSFS, IioDevice
from edge_sdk.sources.iio_scan import TIMESTAMP, Scan
from edge_sdk.sources.parsed import Parsed, ParsedSource
from edge_sdk.sources.polled import PolledSource
from edge_sdk.sources.stamps import PIECE_NS
from edge_sdk.tensors import Array

_MOST_BYTES = 1 << 20  # in one go
_LOOK_S = (
    1.0  # the kernel's poll says nothing of a device that is gone, and of readings below the watermark; a read does
)
_DEV = Path("/dev")


class IioSettings(Settings):
    """``iio:device0/accel?rate_hz=100`` or ``iio:bme280/temp,pressure?mode=polled&rate_hz=1``.

    Attributes:
        device: ``device0``, or its name (/sys/bus/iio/devices/*/name), then ``/`` and the channels, joined by commas: ``accel`` for all of
            that kind, or ``accel_x``; without them, all that there are.
        mode: ``buffered`` reads what the driver takes by itself, with its time stamps; ``polled`` asks for every reading.
        rate_hz: readings a second; set where the driver or the trigger takes it. Needed to poll.
        trigger: what makes a buffered device take a reading (/sys/bus/iio/devices/trigger*/name); without it, that which is set, or the
            device's own.
        buffer: how many readings the driver keeps for us; without it, those of a second, 128 at least.
        watermark: how many make the driver wake us; without it, those of 20 ms.
        raw: give the numbers as the device has them, not (raw + offset) * scale, in the kernel's units: m/s^2, rad/s, mV, millidegrees.
    """

    location: ClassVar[str | None] = "device"

    device: str = Field(min_length=1)
    mode: Literal["buffered", "polled"] = "buffered"
    rate_hz: float | None = Field(default=None, ge=1e-3, le=1e6)
    trigger: str | None = None
    buffer: int | None = Field(default=None, ge=2, le=1 << 20)
    watermark: int | None = Field(default=None, ge=1, le=1 << 20)
    raw: bool = False

    @model_validator(mode="after")
    def _fit(self) -> IioSettings:
        if self.mode == "polled":
            if self.rate_hz is None:
                raise ValueError("polling needs rate_hz")
            if self.trigger or self.buffer or self.watermark:
                raise ValueError("trigger, buffer and watermark are of mode=buffered")
        return self

    @property
    def device_name(self) -> str:
        """What stands before the ``/``."""
        return self.device.partition("/")[0]

    @property
    def channels(self) -> tuple[str, ...]:
        """What stands behind it."""
        names = self.device.partition("/")[2]
        return tuple(name.strip().removeprefix("in_") for name in names.split(",")) if names else ()


class Iio:
    """The source of these settings.

    Args:
        sysfs, dev: where the devices are; a test may give folders of its own.
    """

    settings_class = IioSettings

    def __init__(self, sysfs: Path = SYSFS, dev: Path = _DEV) -> None:
        self._sysfs, self._dev = sysfs, dev

    def __call__(self, settings: IioSettings) -> Source:
        """A buffered or a polled one."""
        if settings.mode == "polled":
            return IioPolledSource(settings, self._sysfs)
        return IioBufferedSource(settings, self._sysfs, self._dev)


iio = Iio()


class IioBufferedSource(ParsedSource):
    """Readings out of the driver's buffer, float64 (count, channels), in units unless ``raw``.

    Times are the driver's own, on our clock, where the device has the element ``in_timestamp``. The device is set up when it is opened, and
    its buffer switched off when it is closed.
    """

    settings_class = IioSettings

    def __init__(self, settings: IioSettings, sysfs: Path = SYSFS, dev: Path = _DEV) -> None:
        self.settings = settings
        self._sysfs, self._dev = sysfs, dev
        self._held: HeldFile | None = None

    def _open(self) -> None:
        self._close()
        device = IioDevice(self.settings.device_name, self._sysfs)
        elements = device.elements()
        wanted = device.wanted(self.settings.channels, [element.name for element in elements])
        if not wanted:
            raise SourceError(f"{device} has no channel that its buffer can hold; try mode=polled&rate_hz=10")
        enabled = [element for element in elements if element.name in (*wanted, TIMESTAMP)]
        self._scan, self._rest, self._read_ns = Scan(enabled), b"", 0
        self._set_scaling(device)
        node = self._dev / device.path.name
        fd = _opened(node)
        self._held = HeldFile(fd, lambda: _switch_off(device))
        try:
            self._set_up(device, [element.name for element in elements])
        except BaseException:
            self._close()
            raise
        self.begin(str(node), self.rate_hz)

    def _set_scaling(self, device: IioDevice) -> None:
        """What is done with each number, and what it is called."""
        names, scales, offsets = [], [], []
        for element in self._scan.elements:
            if element.name == TIMESTAMP:
                continue
            scale, offset = (1.0, 0.0) if self.settings.raw else device.scale_and_offset(element.name)
            name, repeat = element.name.removeprefix("in_"), element.type.repeat
            names += [name] if repeat == 1 else [f"{name}_{place}" for place in range(repeat)]
            scales += [scale] * repeat
            offsets += [offset] * repeat
        self.channels = tuple(names)
        self._scales, self._offsets = np.array(scales), np.array(offsets)

    def _set_up(self, device: IioDevice, there: list[str]) -> None:
        settings = self.settings
        device.set("buffer/enable", "0")  # left on by a program that was killed: the device file is ours
        wanted = {element.name for element in self._scan.elements}
        for name in there:
            device.set(f"scan_elements/{name}_en", "1" if name in wanted else "0")
        self._on_our_clock = TIMESTAMP in wanted and device.get("current_timestamp_clock") is not None
        if self._on_our_clock:
            device.set("current_timestamp_clock", "monotonic")
        trigger = settings.trigger or device.get("trigger/current_trigger") or self._own_trigger(device)
        if trigger:
            device.set("trigger/current_trigger", trigger, hint=device.triggers())
        self.rate_hz = device.set_rate(settings.rate_hz, trigger)
        rate_hz = self.rate_hz or 0.0
        length = settings.buffer or max(128, round(rate_hz))
        watermark = settings.watermark or max(1, min(round(rate_hz * PIECE_NS / 1e9), length // 2))
        self.period_s = watermark / rate_hz if rate_hz else 0.0
        device.set("buffer/length", str(length))
        if device.get("buffer/watermark") is not None:
            device.set("buffer/watermark", str(watermark))
        device.set("buffer/enable", "1", hint=f"Most drivers need a trigger: trigger=NAME. {device.triggers()}")

    def _own_trigger(self, device: IioDevice) -> str | None:
        """The trigger that a driver makes of its device's data-ready line, by the name that the kernel's drivers give it."""
        name = f"{device.name}-dev{device.path.name.removeprefix('iio:device')}"
        return name if device.trigger_folder(name) is not None else None

    def _arrived(self) -> tuple[Parsed, int, int] | None:
        held = self._held
        if held is None:
            return None
        with held.use() as is_held:
            while is_held and held.wait(_LOOK_S):
                began_ns = time.monotonic_ns()
                if not held.rest((self._read_ns + PIECE_NS - began_ns) / 1e9):
                    return None
                data = self._rest + self._bytes(held)
                self._read_ns = time.monotonic_ns()
                whole = len(data) // self._scan.size * self._scan.size
                self._rest = data[whole:]
                if whole:
                    return self._parsed(data[:whole]), began_ns, self._read_ns
        return None

    def _parsed(self, data: bytes) -> Parsed:
        numbers, times_ns = self._scan.numbers(data)
        count = len(numbers)
        return Parsed((numbers + self._offsets) * self._scales, times_ns, np.arange(count, dtype=np.int64), count, "")

    def _times(self, parsed: Parsed, began_ns: int, read_ns: int) -> Array:
        if self._on_our_clock and parsed.times_ns is not None:
            return parsed.times_ns
        return super()._times(parsed, began_ns, read_ns)

    def _bytes(self, held: HeldFile) -> bytes:
        try:
            return held.read(_MOST_BYTES)
        except EOFError:
            reason = "it is at its end"
        except OSError as exc:
            reason = str(exc.strerror)
        raise SourceLostError(
            f"{self._name} is gone: {reason}. The sensor was unplugged, or its driver unloaded; see dmesg"
        )

    def _close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.give_up()


class IioPolledSource(PolledSource):
    """Readings that are asked for one by one through sysfs, float64 (count, channels), in units unless ``raw``."""

    settings_class = IioSettings

    def __init__(self, settings: IioSettings, sysfs: Path = SYSFS) -> None:
        super().__init__(settings.rate_hz or 1.0)  # never without, by the settings
        self.settings = settings
        self._sysfs = sysfs
        self._files: list[tuple[int, float, float]] = []  # descriptor, scale and offset of each channel

    def _connect(self) -> Held:
        device = IioDevice(self.settings.device_name, self._sysfs)
        values = device.values()
        wanted = device.wanted(self.settings.channels, list(values))
        if not wanted:
            raise SourceError(f"{device} has no channel that can be read")
        files: list[tuple[int, float, float]] = []
        held = Held(lambda: _close_all(files))
        try:
            for name in wanted:
                in_units = self.settings.raw or values[name].endswith("_input")
                scale, offset = (1.0, 0.0) if in_units else device.scale_and_offset(name)
                files.append((os.open(device.path / values[name], os.O_RDONLY | os.O_CLOEXEC), scale, offset))
            self._files, self._device = files, str(device)
            self._one()
        except (OSError, ValueError) as exc:
            held.give_up()
            reason = (isinstance(exc, OSError) and exc.strerror) or str(exc)
            raise SourceError(f"{device} cannot be read: {reason}") from exc
        except BaseException:
            held.give_up()
            raise
        self.channels = tuple(name.removeprefix("in_") for name in wanted)
        return held

    def _one(self) -> list[float]:
        return [(float(os.pread(fd, 64, 0)) + offset) * scale for fd, scale, offset in self._files]

    def __str__(self) -> str:
        return self._device


def _opened(node: Path) -> int:
    """The device file, which the kernel lets one program have."""
    try:
        return os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise SourceError(f"{node} cannot be opened: {exc.strerror}{_what_to_do(node, exc)}") from exc


def _what_to_do(node: Path, exc: OSError) -> str:
    if exc.errno == errno.EBUSY:
        return f". fuser -v {node} shows which program uses it"
    if exc.errno == errno.EACCES:
        return '. Let a udev rule give it to a group: SUBSYSTEM=="iio", GROUP="plugdev", MODE="0660"'
    return ". A device that has a buffer has this file: is udev running?" if exc.errno == errno.ENOENT else ""


def _switch_off(device: IioDevice) -> None:
    """Stop the buffer; a device that is gone has none."""
    with suppress(SourceError):
        device.set("buffer/enable", "0")


def _close_all(files: list[tuple[int, float, float]]) -> None:
    for fd, _, _ in files:
        os.close(fd)
