"""The kernel's watchdog device: its requests, and what /sys says of it without opening it.

Linux's interface: docs.kernel.org/watchdog/watchdog-api.html, include/uapi/linux/watchdog.h and
Documentation/ABI/testing/sysfs-class-watchdog of the kernel's sources.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Protocol

_WRITE, _READ = 1, 2
INFO = struct.Struct("=II32s")  # struct watchdog_info: options, firmware_version, identity
INT = struct.Struct("=i")


def _request(direction: int, number: int, size: int) -> int:
    """The number of a request of type ``W``, as _IOC of include/uapi/asm-generic/ioctl.h makes it: for arm, arm64, x86, also on 32 bits."""
    return direction << 30 | size << 16 | ord("W") << 8 | number


GETSUPPORT = _request(_READ, 0, INFO.size)
GETBOOTSTATUS = _request(_READ, 2, INT.size)
SETTIMEOUT = _request(_READ | _WRITE, 6, INT.size)
GETTIMEOUT = _request(_READ, 7, INT.size)

CAN_SET_TIMEOUT, MAGIC_CLOSE, ALARM_ONLY = 0x0080, 0x0100, 0x0400  # WDIOF_SETTIMEOUT, _MAGICCLOSE, _ALARMONLY
_CAUSES = {
    0x0001: "the processor was too hot",
    0x0002: "a fan failed",
    0x0004: "external relay 1",
    0x0008: "external relay 2",
    0x0010: "the supply voltage was too low",
    0x0020: "the watchdog was not fed in time",
    0x0040: "the supply voltage was too high",
}


class Device(Protocol):
    """An open watchdog device: what the kernel offers, and all that is needed of it."""

    def ioctl(self, request: int, buffer: bytearray) -> None:
        """Make a request, its answer written into ``buffer``; raises OSError."""

    def write(self, data: bytes) -> None:
        """Write; every write feeds it, a ``V`` in it allows the next close to disarm it; raises OSError."""

    def close(self) -> None:
        """Close; raises OSError."""


class KernelDevice:
    """A device of this machine."""

    def __init__(self, path: str) -> None:
        if not stat.S_ISCHR(os.stat(path).st_mode):  # noqa: PTH116 - before it is opened, which may arm it
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)

    def ioctl(self, request: int, buffer: bytearray) -> None:
        """See ``Device``."""
        ioctl(self._descriptor, request, buffer)

    def write(self, data: bytes) -> None:
        """See ``Device``."""
        os.write(self._descriptor, data)

    def close(self) -> None:
        """See ``Device``."""
        os.close(self._descriptor)


class Opens(Protocol):
    """Opens a device, which arms it."""

    def __call__(self, path: str) -> Device:
        """Raises OSError."""


@dataclass(frozen=True)
class Facts:
    """What the kernel says of a watchdog without opening it, so without arming it; None where it does not (CONFIG_WATCHDOG_SYSFS).

    Attributes:
        identity: its name.
        shortest_s, longest_s: the time-outs that it takes, in seconds.
        nowayout: whether it cannot be disarmed once it is armed.
        active: whether it is armed.
        causes: why the board was reset the last time, as far as the driver knows; empty also where it was not by the watchdog.
    """

    identity: str | None = None
    shortest_s: int | None = None
    longest_s: int | None = None
    nowayout: bool | None = None
    active: bool | None = None
    causes: tuple[str, ...] = ()


def facts(path: str = "/dev/watchdog", *, root: Path = Path("/")) -> Facts:
    """What the kernel says of a watchdog in /sys/class/watchdog; ``root`` is where the file system begins."""
    name = Path(os.path.realpath(path)).name
    folder = (
        root / "sys/class/watchdog" / ("watchdog0" if name == "watchdog" else name)
    )  # the old name is the first one's
    status = _number(folder / "bootstatus")
    return Facts(
        identity=_text(folder / "identity"),
        shortest_s=_number(folder / "min_timeout"),
        longest_s=_number(folder / "max_timeout") or None,  # 0: not known
        nowayout={"0": False, "1": True}.get(_text(folder / "nowayout") or ""),
        active={"active": True, "inactive": False}.get(_text(folder / "state") or ""),
        causes=causes_of(status or 0),
    )


def causes_of(status: int) -> tuple[str, ...]:
    """Why the board was reset, by the bits of the boot status."""
    return tuple(cause for bit, cause in _CAUSES.items() if status > 0 and status & bit)


def _text(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None  # older kernels, and those without CONFIG_WATCHDOG_SYSFS, do not have it


def _number(file: Path) -> int | None:
    text = _text(file)
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None
