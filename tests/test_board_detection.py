"""Which board this is: told from small trees of the kernel's files, with the evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards import Computer, load, names
from boards.detect import detect

MODELS = [
    ("Raspberry Pi 5 Model B Rev 1.0", "raspberry-pi-5"),
    ("Raspberry Pi 500 Rev 1.0", "raspberry-pi-5"),
    ("Raspberry Pi Compute Module 5 Rev 1.0", "raspberry-pi-5"),
    ("Raspberry Pi 4 Model B Rev 1.4", "raspberry-pi-4"),
    ("Raspberry Pi 400 Rev 1.0", "raspberry-pi-4"),
    ("Raspberry Pi Compute Module 4 Rev 1.1", "raspberry-pi-4"),
    ("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberry-pi-3"),
    ("Raspberry Pi Zero 2 W Rev 1.0", "raspberry-pi-zero-2w"),
    ("Freescale i.MX8MQ Phanbell", "coral-dev-board"),
    ("Google i.MX8MQ Phanbell", "coral-dev-board"),
    ("Google Coral MT8167", "coral-dev-board-mini"),
    ("NVIDIA Jetson Nano Developer Kit", "jetson-nano"),
    ("NVIDIA Jetson Xavier NX Developer Kit (SD-card)", "jetson-xavier-nx"),
    ("NVIDIA Jetson Orin Nano Developer Kit", "jetson-orin-nano"),
    ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "jetson-orin-nano"),
    ("NVIDIA Jetson AGX Orin Developer Kit", "jetson-agx-orin"),
    ("Jetson AGX Orin", "jetson-agx-orin"),
    ("NXP i.MX93 11X11 EVK board", "imx93"),
]
RELEASE = "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: Sat Feb 19 17:05:08 UTC 2022\n"


def put(root: Path, path: str, content: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode())
    return file


def plug_usb(root: Path, device: str, ids: str) -> Path:
    vendor, product = ids.split(":")
    put(root, f"sys/bus/usb/devices/{device}/idVendor", f"{vendor}\n")
    return put(root, f"sys/bus/usb/devices/{device}/idProduct", f"{product}\n").parent


def plug_pci(root: Path, slot: str, ids: str) -> Path:
    vendor, device = ids.split(":")
    put(root, f"sys/bus/pci/devices/{slot}/vendor", f"0x{vendor}\n")
    return put(root, f"sys/bus/pci/devices/{slot}/device", f"0x{device}\n").parent


@pytest.mark.parametrize(("model", "board"), MODELS)
def test_the_device_trees_model_tells_the_board(tmp_path: Path, model: str, board: str):
    put(tmp_path, "proc/device-tree/model", f"{model}\0")
    found = detect(tmp_path, "aarch64")
    assert found.board == board
    assert found.evidence[0] == f"the device tree's model is {model!r}"


@pytest.mark.parametrize(("model", "board"), MODELS)
def test_no_two_profiles_claim_one_model(model: str, board: str):
    claims = [
        profile.name
        for profile in map(load, names())
        if isinstance(profile, Computer) and any(part in model for part in profile.detect.device_tree_models)
    ]
    assert claims == [board]


def test_a_32_bit_userland_does_not_hide_the_board(tmp_path: Path):
    put(tmp_path, "proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    assert detect(tmp_path, "armv7l").board == "raspberry-pi-4"


def test_the_model_is_read_from_sys_too(tmp_path: Path):
    put(tmp_path, "sys/firmware/devicetree/base/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    assert detect(tmp_path, "aarch64").board == "raspberry-pi-5"


def test_compatible_decides_where_the_model_is_a_carriers(tmp_path: Path):
    put(tmp_path, "proc/device-tree/model", "Somebody's own carrier\0")
    put(tmp_path, "proc/device-tree/compatible", "acme,carrier\0nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    found = detect(tmp_path, "aarch64")
    assert found.board == "jetson-orin-nano"
    assert "nvidia,p3768-0000+p3767-0005" in found.evidence[0]


def test_the_tegra_release_decides_where_a_container_hides_the_device_tree(tmp_path: Path):
    put(tmp_path, "etc/nv_tegra_release", RELEASE)
    found = detect(tmp_path, "aarch64")
    assert found.board == "jetson-nano"
    assert found.evidence == ("/etc/nv_tegra_release names the board 't210ref'", "Jetson Linux 32.7.1")


def test_a_tegra_release_that_names_no_board_is_generic_and_says_why(tmp_path: Path):
    put(
        tmp_path,
        "etc/nv_tegra_release",
        RELEASE.replace("R32", "R36").replace("7.1", "4.3").replace("t210ref", "generic"),
    )
    found = detect(tmp_path, "aarch64")
    assert found.board == "generic-arm64"
    assert "Jetson Linux 36.4.3" in found.evidence
    assert any("which Jetson this is" in said for said in found.evidence)


@pytest.mark.parametrize(
    ("machine", "board"), [("aarch64", "generic-arm64"), ("x86_64", "generic-x86-64"), ("riscv64", None)]
)
def test_an_unknown_board_is_generic_by_its_machine_or_unknown(tmp_path: Path, machine: str, board: str | None):
    put(tmp_path, "proc/device-tree/model", "Radxa ROCK 5B\0")
    found = detect(tmp_path, machine)
    assert found.board == board
    assert "no profile knows the device tree's model 'Radxa ROCK 5B'" in found.evidence
    assert bool(found.variants) == (board is not None)


def test_an_empty_tree_is_no_error(tmp_path: Path):
    found = detect(tmp_path, "x86_64")
    assert (found.board, found.accelerators) == ("generic-x86-64", ())


@pytest.mark.parametrize("ids", ["1a6e:089a", "18d1:9302"])
def test_a_usb_accelerator_is_found_before_and_after_its_firmware(tmp_path: Path, ids: str):
    put(tmp_path, "sys/bus/usb/devices/usb1/idVendor", "1d6b\n")  # a hub without a product file: being unplugged
    plug_usb(tmp_path, "1-1", "046d:082d")
    path = plug_usb(tmp_path, "2-1", ids)
    found = detect(tmp_path, "aarch64")
    assert [(a.name, a.id, a.path) for a in found.accelerators] == [("coral-usb", ids, path)]
    assert found.variants[:2] == ("edgetpu", "tflite-int8")


def test_pci_accelerators_are_found_each(tmp_path: Path):
    plug_pci(tmp_path, "0000:00:02.0", "8086:3e92")
    plug_pci(tmp_path, "0000:01:00.0", "1ac1:089a")
    plug_pci(tmp_path, "0000:02:00.0", "1AC1:089A")
    found = detect(tmp_path, "x86_64")
    assert [(a.name, a.path.name) for a in found.accelerators] == [
        ("coral-pcie", "0000:01:00.0"),
        ("coral-pcie", "0000:02:00.0"),
    ]


def test_a_usb_id_on_pci_is_no_accelerator(tmp_path: Path):
    plug_pci(tmp_path, "0000:01:00.0", "18d1:9302")
    assert detect(tmp_path, "x86_64").accelerators == ()


def test_a_built_in_accelerator_that_is_not_there_is_not_used(tmp_path: Path):
    put(tmp_path, "proc/device-tree/model", "Freescale i.MX8MQ Phanbell\0")
    assert detect(tmp_path, "aarch64").variants[0] == "tflite-int8"
    plug_pci(tmp_path, "0000:01:00.0", "1ac1:089a")
    assert detect(tmp_path, "aarch64").variants[:2] == ("edgetpu", "tflite-int8")
