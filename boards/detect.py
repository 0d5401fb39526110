"""Which board this is, and which accelerators are attached: read from the kernel's files, with the evidence.

No code here knows a board: what to look for stands in the profiles. Everything is read below a root, so that a small tree
of files is a machine to test on.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from boards import Accelerator, Board, Computer, load, names

_DEVICE_TREES = ("proc/device-tree", "sys/firmware/devicetree/base")
_TEGRA_RELEASE = "etc/nv_tegra_release"
_BUSES = {
    "usb": ("sys/bus/usb/devices", "idVendor", "idProduct"),
    "pci": ("sys/bus/pci/devices", "vendor", "device"),
}


@dataclass(frozen=True)
class FoundAccelerator:
    """An accelerator that the kernel lists.

    Attributes:
        name: of its profile.
        id: vendor:device.
        path: its folder below /sys, under the root that was searched.
    """

    name: str
    id: str
    path: Path

    @property
    def evidence(self) -> str:
        """What was seen."""
        return f"{self.id} at {self.path}"


@dataclass(frozen=True)
class Detection:
    """What was detected.

    Attributes:
        board: the profile's name; a generic one where only the machine is known, None for a machine without a profile.
        evidence: what was seen, one sentence each; the first is what decided.
        accelerators: those attached or built in.
    """

    board: str | None
    evidence: tuple[str, ...]
    accelerators: tuple[FoundAccelerator, ...]

    @property
    def variants(self) -> tuple[str, ...]:
        """Kinds of variants to try here in this order: those of the accelerators found, then the board's own.

        What only a built-in accelerator runs is left out when that accelerator is not there.
        """
        found: list[str] = [kind for a in self.accelerators for kind in load(a.name).variants]
        board = load(self.board) if self.board else None
        if board:
            lost = {kind for name in _built_in(board) for kind in load(name).variants}
            found += [kind for kind in board.variants if kind not in lost]
        return tuple(dict.fromkeys(found))


def detect(root: Path = Path("/"), machine: str | None = None) -> Detection:
    """Find out the board and its accelerators.

    Args:
        root: where proc, sys and etc are.
        machine: the kernel's machine name, such as ``"aarch64"``; default this machine's.

    Raises:
        BoardError: if the profiles are gone or broken.
    """
    boards = [board for board in map(load, names()) if isinstance(board, Computer)]
    board, evidence = _board(root, machine or platform.machine(), boards)
    return Detection(board, evidence, _accelerators(root))


def _board(root: Path, machine: str, boards: list[Computer]) -> tuple[str | None, tuple[str, ...]]:
    model, compatibles = _device_tree(root, "model"), _device_tree(root, "compatible")
    release, tegra_board = _tegra_release(root)
    for board in boards:
        for part in board.detect.device_tree_models:
            if model and part in model[0]:
                return board.name, (f"the device tree's model is {model[0]!r}", *release)
    for board in boards:
        if shared := set(compatibles) & set(board.detect.device_tree_compatibles):
            return board.name, (f"the device tree is compatible with {', '.join(sorted(shared))}", *release)
    for board in boards:
        if tegra_board in board.detect.tegra_boards:
            return board.name, (f"/{_TEGRA_RELEASE} names the board {tegra_board!r}", *release)
    seen: tuple[str, ...] = (f"the kernel's machine is {machine}",)
    if model:
        seen += (f"no profile knows the device tree's model {model[0]!r}",)
    elif release:
        seen += (
            *release,
            "there is no device tree to tell which Jetson this is: a container hides it unless /sys/firmware is mounted",
        )
    for board in boards:
        if machine in board.detect.machines:
            return board.name, seen
    return None, (*seen, "which no profile knows")


def _device_tree(root: Path, entry: str) -> tuple[str, ...]:
    """The strings of a device-tree property: each ends in a zero byte."""
    for folder in _DEVICE_TREES:
        file = root / folder / entry
        if file.is_file():
            return tuple(filter(None, file.read_bytes().decode("utf-8", "replace").strip().split("\0")))
    return ()


def _tegra_release(root: Path) -> tuple[tuple[str, ...], str | None]:
    """Evidence of Jetson Linux, and the board it names. The line is ``# R36 (release), REVISION: 4.3, ... BOARD: generic, ...``."""
    file = root / _TEGRA_RELEASE
    if not file.is_file():
        return (), None
    first = file.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    version = re.search(r"R(\d+).*?REVISION: ([\d.]+)", first)
    board = re.search(r"BOARD: (\w+)", first)
    said = f"Jetson Linux {version[1]}.{version[2]}" if version else f"/{_TEGRA_RELEASE} is there"
    return (said,), board[1] if board else None


def _accelerators(root: Path) -> tuple[FoundAccelerator, ...]:
    attached = [board for board in map(load, names()) if isinstance(board, Accelerator)]
    found = []
    for bus in _BUSES:
        wanted = {id_: a.name for a in attached if a.connection.bus == bus for id_ in a.connection.ids}
        found += [FoundAccelerator(wanted[id_], id_, path) for path, id_ in _devices(root, bus) if id_ in wanted]
    return tuple(found)


def _devices(root: Path, bus: str) -> list[tuple[Path, str]]:
    """Every device on a bus that states its ids, as vendor:device."""
    folder, vendor_file, device_file = _BUSES[bus]
    devices = []
    for vendor in sorted((root / folder).glob(f"*/{vendor_file}")):
        device = vendor.with_name(device_file)
        try:
            ids = (vendor.read_text(), device.read_text())
        except OSError:  # unplugged while we look: it is not there any more
            continue
        devices.append((vendor.parent, ":".join(part.strip().lower().removeprefix("0x") for part in ids)))
    return devices


def _built_in(board: Board) -> tuple[str, ...]:
    return board.accelerators if isinstance(board, Computer) else ()
