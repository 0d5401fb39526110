"""Edge TPUs of this machine, as the kernel lists them.

A USB Accelerator has one id from when it got power (1a6e:089a, its bootloader), and after its first use another (18d1:9302):
libedgetpu loads its firmware, upon which it comes back as another device. One on PCI needs the modules gasket and apex, which make
/dev/apex_N.
Source: google-coral/libedgetpu, debian/edgetpu-accelerator.rules and driver/usb; google/gasket-driver.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_sdk.errors import ConfigError, DeviceError

USB_BOOTLOADER, USB_READY = "1a6e:089a", "18d1:9302"
PCI = "1ac1:089a"
SELECTIONS = "any, usb, usb:1, pci, pci:0 or :1"
ROOT_VARIABLE = "EDGE_SDK_ROOT"
_SELECTION = re.compile(r"(usb|pci)?(?::(\d{1,3}))?")


@dataclass(frozen=True)
class EdgeTpu:
    """One Edge TPU.

    Attributes:
        bus: how it is attached.
        index: its number on that bus, counted from 0 in the order of the kernel's names. libedgetpu counts in an order of its own,
            which differs where there are several.
        id: vendor:device.
        path: its folder in /sys.
        device_file: what is opened to drive it; None for one on PCI without its driver.
        speed_mbit_s: of its USB port's connection; None on PCI.
    """

    bus: Literal["usb", "pci"]
    index: int
    id: str
    path: Path
    device_file: Path | None
    speed_mbit_s: float | None = None

    @property
    def name(self) -> str:
        """As the engine's option ``device`` takes it: ``usb:0``."""
        return f"{self.bus}:{self.index}"

    @property
    def is_new(self) -> bool:
        """Whether it was not used yet since it got power: its firmware is loaded at the first use."""
        return self.id == USB_BOOTLOADER

    @property
    def is_openable(self) -> bool:
        """Whether this user may open it."""
        return self.device_file is not None and os.access(self.device_file, os.R_OK | os.W_OK)

    def __str__(self) -> str:
        where = f"{self.path.name}, {self.speed_mbit_s:g} Mbit/s" if self.speed_mbit_s else self.path.name
        return f"{self.name} ({self.id} at {where})"


def system_root() -> Path:
    """Where sys and dev are: / or the folder that the environment variable EDGE_SDK_ROOT names, where a container has the host's."""
    return Path(os.environ.get(ROOT_VARIABLE, "/"))


def list_devices(root: Path | None = None) -> tuple[EdgeTpu, ...]:
    """All that are seen on the busses, those on PCI first, as in libedgetpu.

    Args:
        root: see ``system_root``.
    """
    root = system_root() if root is None else root
    return *_on_pci(root), *_on_usb(root)


def selected(wanted: str, devices: tuple[EdgeTpu, ...]) -> tuple[EdgeTpu, ...]:
    """Those that may be meant by ``""`` (any), ``"usb"`` (any by USB), ``"usb:1"`` (the second by USB) or ``":1"`` (the second of all).

    Raises:
        ConfigError: if it is of another form.
        DeviceError: if there is none such.
    """
    bus, index = parse_selection(wanted)
    found = tuple(each for each in devices if bus in (None, each.bus))
    if index is not None:
        found = found[index : index + 1]
    if not found:
        seen = ", ".join(map(str, devices)) if devices else "none"
        raise DeviceError(
            f"there is no Edge TPU {wanted or 'at all'}; seen on the busses: {seen}. Run: edge-sdk doctor"
        )
    return found


def parse_selection(wanted: str) -> tuple[str | None, int | None]:
    """Bus and number of a selection, each None where it is left open.

    Raises:
        ConfigError: if it is of another form.
    """
    match = _SELECTION.fullmatch(wanted if wanted != "any" else "")
    if match is None:
        raise ConfigError(f"a device is {SELECTIONS}; found {wanted!r}")
    return match[1], None if match[2] is None else int(match[2])


def holders(device: EdgeTpu) -> tuple[int, ...]:
    """Pids of the processes that have it open, as far as this user may see."""
    if device.device_file is None:
        return ()
    wanted = os.path.realpath(device.device_file)
    return tuple(pid for pid in _pids() if wanted in _open_files(pid))


def opened_by(pid: int, devices: tuple[EdgeTpu, ...]) -> tuple[EdgeTpu, ...]:
    """Those that a process has open."""
    files = _open_files(pid)
    return tuple(each for each in devices if each.device_file and os.path.realpath(each.device_file) in files)


def _on_usb(root: Path) -> list[EdgeTpu]:
    found: list[EdgeTpu] = []
    for folder in _folders(root / "sys/bus/usb/devices"):
        id_ = f"{_read(folder / 'idVendor')}:{_read(folder / 'idProduct')}"
        bus, number = _read(folder / "busnum"), _read(folder / "devnum")
        if id_ in (USB_BOOTLOADER, USB_READY) and bus.isdecimal() and number.isdecimal():
            file = root / f"dev/bus/usb/{int(bus):03}/{int(number):03}"
            found.append(EdgeTpu("usb", len(found), id_, folder, file, _number(_read(folder / "speed"))))
    return found


def _on_pci(root: Path) -> list[EdgeTpu]:
    files = {os.path.realpath(each / "device"): root / "dev" / each.name for each in _folders(root / "sys/class/apex")}
    found: list[EdgeTpu] = []
    for folder in _folders(root / "sys/bus/pci/devices"):
        id_ = ":".join(_read(folder / part).lower().removeprefix("0x") for part in ("vendor", "device"))
        if id_ == PCI:
            found.append(EdgeTpu("pci", len(found), id_, folder, files.get(os.path.realpath(folder))))
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # no such bus
        return []


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # unplugged meanwhile, or not stated
        return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]


def _open_files(pid: int) -> set[str]:
    files = set()
    with contextlib.suppress(OSError):  # it ended, or is another user's
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                files.add(str(link.readlink()))
    return files
