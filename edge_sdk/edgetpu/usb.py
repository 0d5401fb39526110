"""Resets an Edge TPU on USB from outside, by the kernel's usbdevfs: what helps where a new process does not.

The kernel resets the port and reads the descriptors again. If they are others, as where the firmware is gone, the device is listed anew,
with another number and in its bootloader (see ``devices``); libedgetpu loads the firmware at the next opening. This needs write access to
the device's file in /dev/bus/usb and nothing else. For an Edge TPU on PCI there is no reset that works without root.
Source: Linux, drivers/usb/core/devio.c, include/uapi/linux/usbdevice_fs.h; google-coral/edgetpu#766.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from edge_sdk.edgetpu.devices import EdgeTpu, holders, list_devices, parse_selection, system_root
from edge_sdk.errors import DeviceError
from edge_sdk.refusal import refusal

USBDEVFS_RESET = 0x5514  # _IO('U', 20)
USBDEVFS_CLAIMINTERFACE, USBDEVFS_RELEASEINTERFACE = 0x8004550F, 0x80045510  # _IOR('U', 15 and 16, unsigned int)
BACK_S = 10.0  # for a device to be listed again: the kernel gives up its tries to read the descriptors by then
_LOOK_S = 0.02
_FIX = "unplug it and plug it in again, or switch its port's power"


Ioctl = Callable[[int, int, bytes], object]  # descriptor, request, argument; raises OSError


def system_ioctl(fd: int, request: int, argument: bytes) -> object:
    """The kernel's."""
    return fcntl.ioctl(fd, request, argument)


class UsbReset:
    """Resets the devices that a selection (``usb:0``; see ``devices``) may mean, but none that another process uses.

    Args:
        wanted: the selection.
        root: see ``devices.system_root``.
        ioctl: for tests.
        back_s: for how long a device is waited for.
    """

    def __init__(
        self, wanted: str = "", *, root: Path | None = None, ioctl: Ioctl = system_ioctl, back_s: float = BACK_S
    ) -> None:
        bus, self._index = parse_selection(wanted)
        if bus == "pci":
            raise DeviceError("an Edge TPU on PCI cannot be reset from here; unload and load its module apex, as root")
        self._root, self._ioctl, self._back_s = root, ioctl, back_s

    def __call__(self, stop: threading.Event) -> str:
        """Reset them; what was done, in words.

        Raises:
            DeviceError: if there is none, it is used by another process, may not be opened, or does not come back.
        """
        listed = tuple(each for each in self._listed() if each.bus == "usb")
        found = listed if self._index is None else listed[self._index : self._index + 1]
        if not found:
            raise DeviceError(f"no such Edge TPU is seen on USB: {_FIX}. Run: edge-sdk doctor")
        done: list[str] = []
        refused: DeviceError | None = None
        for device in found:
            try:
                done.append(self._reset(device, stop))
            except DeviceError as exc:
                refused = exc
        if not done:
            assert refused is not None  # noqa: S101 - there is a device
            raise refused
        return "; ".join(done)

    def _reset(self, device: EdgeTpu, stop: threading.Event) -> str:
        assert device.device_file is not None  # noqa: S101 - on USB there is one
        others = [pid for pid in holders(device) if pid != os.getpid()]
        if others:
            raise DeviceError(f"{device} is used by process {', '.join(map(str, others))}, which a reset would disturb")
        try:
            fd = os.open(device.device_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise DeviceError(f"{device} went away: {_FIX}") from exc
        except OSError as exc:
            fix = "add the udev rule, and this user to the group plugdev. Run: edge-sdk doctor"
            raise DeviceError(f"{device} cannot be reset: {device.device_file}: {refusal(exc)}; {fix}") from exc
        try:
            self._check_free(fd, device)
            relisted = self._was_relisted(fd, device)
        finally:
            os.close(fd)
        return self._await(device, stop) if relisted else f"{device} was reset"

    def _check_free(self, fd: int, device: EdgeTpu) -> None:
        """Another user's process is not seen in /proc, but by the kernel."""
        number = (0).to_bytes(4, "little")
        try:
            self._ioctl(fd, USBDEVFS_CLAIMINTERFACE, number)
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                raise DeviceError(f"{device} is used by another process, which a reset would disturb") from exc
            return  # it has no such interface in this state: a reason for the reset
        with suppress(OSError):  # went away: the reset says so
            self._ioctl(fd, USBDEVFS_RELEASEINTERFACE, number)

    def _was_relisted(self, fd: int, device: EdgeTpu) -> bool:
        """Reset it; whether it comes back as another."""
        try:
            self._ioctl(fd, USBDEVFS_RESET, b"")
        except OSError as exc:
            if exc.errno != errno.ENODEV:
                raise DeviceError(f"{device} cannot be reset: {refusal(exc)}; {_FIX}") from exc
            return True
        return False

    def _await(self, before: EdgeTpu, stop: threading.Event) -> str:
        """Until another device is listed at its port."""
        until = monotonic() + self._back_s
        while monotonic() < until and not stop.is_set():
            for after in self._listed():
                if after.path == before.path and after.device_file != before.device_file:
                    return f"{before} was reset, and came back as {after.id}, {after.device_file}"
            stop.wait(_LOOK_S)
        raise DeviceError(f"{before} did not come back within {self._back_s:g} s of its reset: {_FIX}")

    def _listed(self) -> tuple[EdgeTpu, ...]:
        return list_devices(self._root if self._root is not None else system_root())


def usb_reset(wanted: str) -> Callable[[threading.Event], str] | None:
    """What resets the device of this selection; None for one on PCI."""
    return None if parse_selection(wanted)[0] == "pci" else UsbReset(wanted)
