"""What Video4Linux says of a device, and its controls: the ioctls that OpenCV hides. Numbers and layouts are those of linux/videodev2.h."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import SourceError

_CAPABILITY = struct.Struct("=16s32s32s3I12x")  # driver, card, bus, version, capabilities, device_caps
_QUERY = struct.Struct("=2I32s4iI8x")  # id, type, name, minimum, maximum, step, default, flags
_MENU = struct.Struct("=2I32s4x")  # id, index, name
_VALUE = struct.Struct("=Ii")  # id, value
_READ, _READ_WRITE = 2, 3
_CAPTURES = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, _MPLANE
_DEVICE_CAPS = 0x80000000
_IO_MC = 0x20000000  # a part of a camera's chain, which libcamera drives
_NEXT_CONTROL = 0x80000000
_DISABLED, _READ_ONLY, _INACTIVE = 0x1, 0x4, 0x10
_TYPES = {1: "a number", 2: "0 or 1", 3: "one of", 8: "bits", 9: "one of"}  # those whose value is a 32-bit number
_MENUS = (3, 9)
# These say that they capture, and give no picture by themselves: image processors and decoders of a Raspberry Pi, a Jetson's raw sensors.
_NO_CAMERAS = ("bcm2835-isp", "bcm2835-codec", "pispbe", "rpi-hevc-dec", "rpivid", "unicam", "rp1-cfe", "tegra-video")

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True)
class Control:
    """A control of a device.

    Attributes:
        name: as ``v4l2-ctl --list-ctrls`` shows it: ``exposure_time_absolute``.
        kind: V4L2's type.
        menu: names by value, of a menu.
    """

    id: int
    name: str
    kind: int
    minimum: int
    maximum: int
    step: int
    flags: int
    menu: tuple[tuple[int, str], ...] = ()

    @property
    def takes(self) -> str:
        """The values that it takes."""
        if self.menu:
            return ", ".join(f"{value} ({name})" for value, name in self.menu)
        if self.kind == 2:
            return "0 or 1"
        return f"{self.minimum} to {self.maximum}" + (f" in steps of {self.step}" if self.step > 1 else "")


def captures(path: Path, ioctl: Ioctl = fcntl.ioctl) -> bool:
    """Whether the device gives pictures by itself: no metadata, no decoder, no part of a chain that another library drives."""
    try:
        with _opened(path) as fd:
            said = bytearray(_CAPABILITY.size)
            ioctl(fd, _number(_READ, 0, _CAPABILITY.size), said)
    except OSError:  # no V4L2 device, or gone
        return False
    driver, _, _, _, whole, own = _CAPABILITY.unpack(said)
    caps = own if whole & _DEVICE_CAPS else whole
    return bool(caps & _CAPTURES) and not caps & _IO_MC and driver.rstrip(b"\0").decode("latin-1") not in _NO_CAMERAS


def first_that_captures(folder: Path = Path("/dev"), ioctl: Ioctl = fcntl.ioctl) -> Path | None:
    """The device of the lowest number that ``captures``."""
    devices = [path for path in folder.glob("video*") if path.name[5:].isdigit()]
    return next((path for path in sorted(devices, key=lambda path: int(path.name[5:])) if captures(path, ioctl)), None)


def set_controls(path: Path, wanted: Mapping[str, int], ioctl: Ioctl = fcntl.ioctl) -> None:
    """Set controls in the order given: an automatic one that rules another is switched off before it.

    Raises:
        SourceError: if there is no such control, or it does not take the value; the message names what there is.
    """
    try:
        with _opened(path) as fd:
            there = {control.name: control for control in _controls(fd, ioctl)}
            for name, value in wanted.items():
                if name not in there:
                    listed = "; ".join(f"{one.name}: {one.takes}" for one in there.values())
                    raise SourceError(f"{path} has no control {name!r}; it has {listed or 'none'}")
                _set(fd, path, there[name], value, ioctl)
    except OSError as exc:
        raise SourceError(f"the controls of {path} cannot be set: {exc.strerror}") from exc


def _set(fd: int, path: Path, control: Control, value: int, ioctl: Ioctl) -> None:
    asked = f"{path} does not take control {control.name}={value}"
    if control.flags & _READ_ONLY:
        raise SourceError(f"{asked}: it can be read only")
    try:
        ioctl(fd, _number(_READ_WRITE, 28, _VALUE.size), bytearray(_VALUE.pack(control.id, value)))
        given = bytearray(_VALUE.pack(control.id, 0))
        ioctl(fd, _number(_READ_WRITE, 27, _VALUE.size), given)
    except (OSError, struct.error) as exc:
        if isinstance(exc, OSError) and exc.errno not in (
            errno.EINVAL,
            errno.ERANGE,
            errno.EBUSY,
            errno.EACCES,
            errno.EILSEQ,
        ):
            raise
        ruled = "; an automatic control rules it now: switch that off before it" if control.flags & _INACTIVE else ""
        raise SourceError(f"{asked}; it takes {control.takes}{ruled}") from exc
    if (got := _VALUE.unpack(given)[1]) != value:
        raise SourceError(f"{asked}: it made {got} of it; it takes {control.takes}")


def _controls(fd: int, ioctl: Ioctl) -> Iterator[Control]:
    last = 0
    while True:
        said = bytearray(_QUERY.pack(last | _NEXT_CONTROL, 0, b"", 0, 0, 0, 0, 0))
        try:
            ioctl(fd, _number(_READ_WRITE, 36, _QUERY.size), said)
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOTTY):  # there are no more, or none at all
                return
            raise
        last, kind, name, minimum, maximum, step, _, flags = _QUERY.unpack(said)
        if kind in _TYPES and not flags & _DISABLED:
            menu = tuple(_menu(fd, last, kind, range(minimum, maximum + 1), ioctl)) if kind in _MENUS else ()
            yield Control(last, _plain(name), kind, minimum, maximum, step, flags, menu)


def _menu(fd: int, control: int, kind: int, values: range, ioctl: Ioctl) -> Iterator[tuple[int, str]]:
    for value in values:
        said = bytearray(_MENU.pack(control, value, b""))
        try:
            ioctl(fd, _number(_READ_WRITE, 37, _MENU.size), said)
        except OSError:  # a value that this device leaves out
            continue
        name = _MENU.unpack(said)[2]
        yield (
            value,
            str(int.from_bytes(name[:8], "little", signed=True)) if kind == 9 else name.rstrip(b"\0").decode("latin-1"),
        )


def _plain(name: bytes) -> str:
    """As v4l2-ctl writes it: ``Exposure Time, Absolute`` is ``exposure_time_absolute``."""
    return re.sub(r"[^a-z0-9]+", "_", name.rstrip(b"\0").decode("latin-1").lower()).strip("_")


def _number(direction: int, number: int, size: int) -> int:
    """_IOR and _IOWR of linux/ioctl.h, as on x86 and Arm."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
