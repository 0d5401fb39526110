"""Checks of Coral's Edge TPUs: seen and in which state, open to this user, as fast as they can be, with a driver and a library that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_sdk.doctor.coral_access import check_access
from edge_sdk.doctor.coral_driver import check_driver
from edge_sdk.doctor.coral_library import check_library, check_trio
from edge_sdk.doctor.environment import Environment
from edge_sdk.doctor.finding import Finding, fault, ok, warning
from edge_sdk.edgetpu.devices import EdgeTpu, list_devices
from edge_sdk.errors import BoardError

if TYPE_CHECKING:
    from boards import Accelerator
    from boards.profile import Software

_BUSES = {"coral-usb": "usb", "coral-pcie": "pci"}
_NEW = (
    "waits in its bootloader (1a6e:089a, Global Unichip), as always until its first use since it got power: libedgetpu then loads its "
    "firmware, and within seconds it comes back as 18d1:9302, Google, with another device number"
)
_USED = "has its firmware (18d1:9302, Google): it was used since it got power"


def check_coral(env: Environment) -> list[Finding]:
    """Every Edge TPU on USB and PCI, then what they have in common: library and trio."""
    try:
        detection = env.detection()
    except (BoardError, ImportError):  # check_board has said it, with the fix
        return []
    from boards import Accelerator, Computer, load

    board = load(detection.board) if detection.board else None
    built_in = board.accelerators if isinstance(board, Computer) else ()
    devices = list_devices(env.root)
    findings = [_not_seen(name) for name in built_in if not any(device.bus == _BUSES.get(name) for device in devices)]
    if not devices:
        return findings or [ok("edge tpu", "none is seen on USB or PCI")]
    known: list[Software] = []
    for name, bus in _BUSES.items():
        profile, seen = load(name), [device for device in devices if device.bus == bus]
        if not seen or not isinstance(profile, Accelerator):
            continue
        known += [entry for entry in profile.software if not any(_same(entry, other) for other in known)]
        for device in seen:
            findings += _check_device(env, device, profile, built_in=name in built_in)
        if bus == "pci":
            findings += check_driver(env, seen)
    return [*findings, *check_library(env, devices, tuple(known)), *check_trio(env, devices, tuple(known))]


def _same(a: Software, b: Software) -> bool:
    """Whether both are of the same versions: the profiles for USB and PCI say of most the same."""
    return (a.interpreter, a.libedgetpu, a.works) == (b.interpreter, b.libedgetpu, b.works)


def _not_seen(name: str) -> Finding:
    where = {"coral-usb": "--device /dev/bus/usb", "coral-pcie": "--device /dev/apex_0"}.get(name, "its device")
    fix = f"in a container pass it on ({where}, and the host's /sys); else switch the board off and on, then look into: sudo dmesg"
    return fault("edge tpu", f"this board has an Edge TPU built in ({name}), which is not seen", fix)


def _check_device(env: Environment, device: EdgeTpu, profile: Accelerator, *, built_in: bool) -> list[Finding]:
    check = f"edge tpu {device.name}"
    state = f"{device.id} at {device.path.name}"
    if device.bus == "usb":
        state = f"at {device.path.name} it {_NEW if device.is_new else _USED}"
    findings = [ok(check, state), *check_access(env, device)]
    speed, full = device.speed_mbit_s, profile.connection.full_speed_mbit_s
    if speed and full and speed < full and not built_in:
        fix = "plug it into a USB 3 port (blue) of the computer itself, with the USB 3 cable that came with it"
        found = f"it runs at {speed:g} Mbit/s of {full}: a USB 2 port, hub or cable, and every inference takes longer by its transfers"
        findings.append(warning(check, found, fix))
    largest = profile.connection.page_size_bytes
    if largest and env.page_size_bytes > largest:
        found = f"the kernel has memory pages of {env.page_size_bytes} bytes; the driver copes with {largest} at most"
        findings.append(fault(check, found, profile.connection.page_size_fix))
    return findings
