"""What the kernel's usbdevfs does to a simulated Edge TPU: the reset of its port, after which it is listed anew, with another number."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edge_sdk.edgetpu.devices import USB_BOOTLOADER
from edge_sdk.edgetpu.usb import USBDEVFS_RESET
from tests.edgetpu_delegate import Bench, Device


class UsbPort:
    """Stands in for ``fcntl.ioctl`` on the file of a device of the bench's; who uses it is told by the device's lock, not by a claim.

    Args:
        bench: has the device.
        device: on USB.
    """

    def __init__(self, bench: Bench, device: Device) -> None:
        self._link, self._device = bench.folder / device.name, device
        self._folder = bench.root / "sys/bus/usb/devices" / f"2-{int(device.name[3:]) + 1}"

    def ioctl(self, fd: int, request: int, argument: bytes) -> object:
        """A reset takes the firmware, and the device is another then: ENODEV, as the kernel has it."""
        file = self._link.resolve()
        if Path(f"/proc/self/fd/{fd}").resolve() != file:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if request == USBDEVFS_RESET:
            self._device.reset()
            self._list_anew(file)
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return argument

    def _list_anew(self, file: Path) -> None:
        number = int(file.name) % 120 + 1
        renamed = file.with_name(f"{number:03}")
        beside = self._link.with_name(f"new-{self._link.name}")
        beside.symlink_to(renamed)
        file.rename(renamed)
        beside.rename(self._link)
        (self._folder / "devnum").write_text(f"{number}\n")
        for key, value in zip(("idVendor", "idProduct"), USB_BOOTLOADER.split(":"), strict=True):
            (self._folder / key).write_text(f"{value}\n")
