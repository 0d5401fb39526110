"""An Edge TPU on USB is reset by usbdevfs: found, refused for a reason, waited for; in a tree of files, and with umockdev."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.edgetpu.usb import USBDEVFS_CLAIMINTERFACE, USBDEVFS_RELEASEINTERFACE, USBDEVFS_RESET, UsbReset, usb_reset
from edge_sdk.errors import ConfigError, DeviceError

GO_ON = threading.Event()


class Port:
    """One device in a tree of files, and the kernel's part in its reset."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "sys/bus/usb/devices/1-2"
        self.asked: list[int] = []
        self.answers: dict[int, int] = {}  # errno by request
        self.on_reset: Callable[[], None] = lambda: None
        self.list_as("18d1:9302", 4)

    def list_as(self, id_: str, number: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        vendor, product = id_.split(":")
        told = {"idVendor": vendor, "idProduct": product, "busnum": "1", "devnum": str(number), "speed": "5000"}
        for key, value in told.items():
            (self.folder / key).write_text(f"{value}\n")
        file = self.root / f"dev/bus/usb/001/{number:03}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    def vanish(self) -> None:
        shutil.rmtree(self.folder)

    def ioctl(self, fd: int, request: int, argument: bytes | int = 0) -> int:
        assert Path(f"/proc/self/fd/{fd}").readlink() == self.root / "dev/bus/usb/001/004"
        self.asked.append(request)
        if request == USBDEVFS_RESET:
            self.on_reset()
        if number := self.answers.get(request, 0):
            raise OSError(number, os.strerror(number))
        return 0

    def reset(self, wanted: str = "", back_s: float = 5) -> str:
        return UsbReset(wanted, root=self.root, ioctl=self.ioctl, back_s=back_s)(GO_ON)


@pytest.fixture
def port(tmp_path: Path) -> Port:
    return Port(tmp_path)


def test_a_device_that_stays_is_reset(port: Port) -> None:
    assert port.reset() == "usb:0 (18d1:9302 at 1-2, 5000 Mbit/s) was reset"
    assert port.asked == [USBDEVFS_CLAIMINTERFACE, USBDEVFS_RELEASEINTERFACE, USBDEVFS_RESET]


def test_one_that_loses_its_firmware_comes_back_in_its_bootloader(port: Port) -> None:
    def relist() -> None:
        port.vanish()
        threading.Timer(0.1, port.list_as, ("1a6e:089a", 5)).start()

    port.on_reset, port.answers = relist, {USBDEVFS_RESET: errno.ENODEV}
    assert "came back as 1a6e:089a" in port.reset()


def test_one_that_does_not_come_back_is_not_waited_for_without_end(port: Port) -> None:
    port.on_reset, port.answers = port.vanish, {USBDEVFS_RESET: errno.ENODEV}
    with pytest.raises(DeviceError, match=r"did not come back within 0.1 s of its reset: unplug it"):
        port.reset(back_s=0.1)


def test_an_end_that_is_wanted_ends_the_waiting(port: Port) -> None:
    port.on_reset, port.answers = port.vanish, {USBDEVFS_RESET: errno.ENODEV}
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(DeviceError):
        UsbReset(root=port.root, ioctl=port.ioctl, back_s=600)(stop)


@pytest.mark.parametrize(
    ("request_", "number", "said"),
    [
        (USBDEVFS_CLAIMINTERFACE, errno.EBUSY, "is used by another process, which a reset would disturb"),
        (USBDEVFS_RESET, errno.EIO, "cannot be reset: "),
        (USBDEVFS_RESET, errno.EPERM, "cannot be reset: "),
    ],
)
def test_what_the_kernel_refuses_is_said(request_: int, number: int, said: str, port: Port) -> None:
    port.answers = {request_: number}
    with pytest.raises(DeviceError, match=said):
        port.reset()


def test_one_in_use_by_another_process_of_ours_is_left_alone(port: Port) -> None:
    file = port.root / "dev/bus/usb/001/004"
    other = subprocess.Popen(
        [sys.executable, "-c", "import sys; f = open(sys.argv[1]); print(flush=True); sys.stdin.read()", str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(DeviceError, match=f"is used by process {other.pid}"):
            port.reset()
    assert not port.asked


def test_no_device_is_said(port: Port) -> None:
    with pytest.raises(DeviceError, match="no such Edge TPU is seen on USB: unplug it"):
        port.reset("usb:1")
    port.vanish()
    with pytest.raises(DeviceError, match="no such Edge TPU is seen on USB"):
        port.reset()


def test_a_device_whose_file_is_gone_is_said(port: Port) -> None:
    (port.root / "dev/bus/usb/001/004").unlink()
    with pytest.raises(DeviceError, match="went away"):
        port.reset()


def test_without_permission_the_fix_is_said(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("edge_sdk.edgetpu.usb.os.open", refuse)  # root may open everything
    with pytest.raises(DeviceError, match="add the udev rule, and this user to the group plugdev"):
        port.reset()


def test_one_on_pci_has_no_reset() -> None:
    assert usb_reset("pci:0") is None and usb_reset("usb") is not None
    with pytest.raises(ConfigError, match="a device is"):
        usb_reset("tpu")


_DEVICE = """\
P: /devices/pci0000:00/0000:00:14.0/usb1/1-2
N: bus/usb/001/004
E: DEVNAME=/dev/bus/usb/001/004
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
A: idVendor=18d1\\n
A: idProduct=9302\\n
A: busnum=1\\n
A: devnum=4\\n
A: speed=5000\\n
"""
_RESET = """
import sys, threading
from edge_sdk.edgetpu import usb
from edge_sdk.errors import DeviceError
usb.USBDEVFS_RESET += int(sys.argv[1])
try:
    print(usb.UsbReset()(threading.Event()))
except DeviceError as exc:
    print("refused:", exc)
"""


@pytest.mark.parametrize(("wrong_by", "said"), [(0, "was reset"), (1, "refused: ")])
def test_the_calls_are_those_of_usbdevfs(wrong_by: int, said: str, tmp_path: Path) -> None:
    """umockdev puts itself in the place of /sys, /dev and their ioctls: it grants those of usbdevfs, and no others."""
    if shutil.which("umockdev-run") is None:
        pytest.skip("umockdev-run is not installed: apt install umockdev")
    device = tmp_path / "coral.umockdev"
    device.write_text(_DEVICE)
    command = ["umockdev-run", "--device", str(device), "--", sys.executable, "-c", _RESET, str(wrong_by)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=True)
    assert said in done.stdout and "18d1:9302 at 1-2" in done.stdout, done
