"""Edge TPUs as the kernel lists them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sdk.edgetpu.devices import holders, list_devices, opened_by, selected
from edge_sdk.errors import ConfigError, DeviceError
from tests.edgetpu_delegate import Bench


@pytest.fixture
def busses(edgetpu_bench: Bench) -> Bench:
    for name in ("usb0", "usb1", "pci0"):
        edgetpu_bench.add(name)
    return edgetpu_bench


def test_devices_are_listed_with_their_bus_and_speed(busses: Bench) -> None:
    found = list_devices()
    assert [str(each) for each in found] == [
        "pci:0 (1ac1:089a at 0000:01:00.0)",
        "usb:0 (18d1:9302 at 2-1, 5000 Mbit/s)",
        "usb:1 (18d1:9302 at 2-2, 5000 Mbit/s)",
    ]
    assert [each.device_file for each in found] == [
        busses.root / "dev/apex_0",
        busses.root / "dev/bus/usb/002/002",
        busses.root / "dev/bus/usb/002/003",
    ]
    assert all(each.is_openable and not each.is_new for each in found)


def test_nothing_is_listed_where_there_are_no_busses(tmp_path: Path) -> None:
    assert list_devices(tmp_path) == ()


def test_a_device_in_its_bootloader_one_without_driver_and_strangers(busses: Bench) -> None:
    usb = busses.root / "sys/bus/usb/devices"
    (usb / "2-1/idVendor").write_text("1a6e\n")
    (usb / "2-1/idProduct").write_text("089a\n")
    (usb / "2-2/idProduct").write_text("4ee7\n")  # a telephone
    (usb / "usb2").mkdir()
    (busses.root / "sys/class/apex/apex_0/device").unlink()
    pci, bootloader = list_devices()
    assert bootloader.is_new
    assert pci.device_file is None and not pci.is_openable and holders(pci) == ()


def test_unplugged_devices_are_gone_and_come_back(busses: Bench) -> None:
    busses.add("usb0").vanish()
    assert [each.path.name for each in list_devices()] == ["0000:01:00.0", "2-2"]
    busses.add("usb0").come_back()
    assert len(list_devices()) == 3


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("", ["pci:0", "usb:0", "usb:1"]),
        ("any", ["pci:0", "usb:0", "usb:1"]),
        ("usb", ["usb:0", "usb:1"]),
        ("usb:1", ["usb:1"]),
        ("pci:0", ["pci:0"]),
        (":1", ["usb:0"]),
    ],
)
def test_selection(wanted: str, names: list[str], busses: Bench) -> None:
    assert [each.name for each in selected(wanted, list_devices())] == names


def test_what_is_not_there_is_said_with_what_is(busses: Bench) -> None:
    with pytest.raises(
        DeviceError, match=r"no Edge TPU usb:2; seen on the busses: pci:0 \(1ac1:089a at 0000:01:00.0\)"
    ):
        selected("usb:2", list_devices())
    with pytest.raises(DeviceError, match="no Edge TPU at all; seen on the busses: none"):
        selected("", ())


@pytest.mark.parametrize("wanted", ["usb:x", "tpu", "usb:-1", "pci:", "usb:1:2", "USB"])
def test_other_texts_are_refused(wanted: str) -> None:
    with pytest.raises(ConfigError, match="a device is any, usb, usb:1"):
        selected(wanted, ())


def test_who_has_a_device_open_is_seen(busses: Bench) -> None:
    devices = list_devices()
    assert all(holders(each) == () for each in devices)
    with devices[1].device_file.open("rb"):  # type: ignore[union-attr]
        assert holders(devices[1]) == (os.getpid(),)
        assert opened_by(os.getpid(), devices) == (devices[1],)
    assert opened_by(2**22 + 1, devices) == ()
