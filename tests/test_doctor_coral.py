"""The doctor for Coral: what it says of each state of an Edge TPU, with the fix that fits this state and no other."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edge_sdk
from edge_sdk.doctor import Environment, Finding, examine
from edge_sdk.doctor.coral import check_coral
from edge_sdk.doctor.packages import check_namesakes
from tests.test_doctor import install, only, put, works

ROOT = Path(edge_sdk.__file__).parent.parent
USB_RULES = (
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="1a6e",ATTRS{idProduct}=="089a",GROUP="plugdev"\n'
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="18d1",ATTRS{idProduct}=="9302",GROUP="plugdev"\n'
)
DPKG = "Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a libedgetpu and rules, to which a device may be attached; user ann may open it."""
    root = tmp_path / "root"
    put(root, "usr/lib/aarch64-linux-gnu/libedgetpu.so.1.0", "ELF")
    (root / "usr/lib/aarch64-linux-gnu/libedgetpu.so.1").symlink_to("libedgetpu.so.1.0")
    put(root, "var/lib/dpkg/status", DPKG.format(name="libedgetpu1-std", version="16.0TF2.13.1-1"))
    put(root, "lib/udev/rules.d/60-libedgetpu1-std.rules", USB_RULES)
    put(root, "lib/udev/rules.d/60-gasket-dkms.rules", 'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"\n')
    put(root, "etc/group", "root:x:0:\nplugdev:x:46:ann\napex:x:1001:ann\n")
    return root


@pytest.fixture
def machine(root: Path, tmp_path: Path) -> Environment:
    return Environment(
        root=root,
        search_path=(install(tmp_path / "packages", "tflite-runtime", "2.14.1"),),
        python=(3, 11),
        bits=64,
        machine="aarch64",
        kernel="6.6.20-v8",
        user="ann",
        user_id=1000,
        group_ids=frozenset({1000, 46, 1001}),
        page_size_bytes=4096,
        interpreter_probe=works,
        import_probe=works,
        can_open=lambda path: True,
    )


def plug_usb(root: Path, id_: str = "18d1:9302", *, speed: str = "5000", node: bool = True) -> None:
    vendor, product = id_.split(":")
    files = {"idVendor": vendor, "idProduct": product, "speed": speed, "busnum": "2", "devnum": "3"}
    for name, content in files.items():
        put(root, f"sys/bus/usb/devices/2-1/{name}", f"{content}\n")
    if node:
        put(root, "dev/bus/usb/002/003")


def plug_pci(root: Path, *, loaded: bool = True, driven: bool = True) -> None:
    device = root / "sys/devices/pci0000:00/0000:01:00.0"
    put(device, "vendor", "0x1ac1\n")
    put(device, "device", "0x089a\n")
    bus = root / "sys/bus/pci/devices"
    bus.mkdir(parents=True)
    (bus / "0000:01:00.0").symlink_to(device)
    if loaded:
        put(root, "proc/modules", "apex 24576 0 - Live 0x0 (O)\ngasket 118784 1 apex, Live 0x0 (O)\n")
        put(root, "sys/module/apex/version", "1.2\n")
    if driven:
        put(root, "dev/apex_0")
        (root / "sys/class/apex/apex_0").mkdir(parents=True)
        (root / "sys/class/apex/apex_0/device").symlink_to(device)


def said(findings: list[Finding]) -> str:
    return "\n".join(f"{each.state}: {each.check}: {each.found} -> {each.fix}" for each in findings)


def states(findings: list[Finding]) -> set[str]:
    return {finding.state for finding in findings}


def closed(machine: Environment, **changes: object) -> Environment:
    return dataclasses.replace(machine, can_open=lambda path: False, **changes)


# Seen, and in which state


def test_no_edge_tpu_is_no_fault(machine: Environment):
    assert only(check_coral(machine), "ok").found == "none is seen on USB or PCI"


def test_the_bootloader_is_a_normal_state(machine: Environment, root: Path):
    plug_usb(root, "1a6e:089a")
    findings = check_coral(machine)
    assert states(findings) == {"ok"}, said(findings)
    assert "waits in its bootloader (1a6e:089a, Global Unichip), as always until its first use" in findings[0].found
    assert "comes back as 18d1:9302" in findings[0].found


def test_after_its_first_use_it_is_googles(machine: Environment, root: Path):
    plug_usb(root)
    findings = check_coral(machine)
    assert states(findings) == {"ok"}, said(findings)
    assert (findings[0].check, findings[0].found) == (
        "edge tpu usb:0",
        "at 2-1 it has its firmware (18d1:9302, Google): it was used since it got power",
    )


@pytest.mark.parametrize(
    ("model", "named"),
    [("Freescale i.MX8MQ Phanbell", "--device /dev/apex_0"), ("Google Coral Dev Board Mini", "--device /dev/bus/usb")],
)
def test_an_edge_tpu_built_in_that_is_not_seen(machine: Environment, root: Path, model: str, named: str):
    put(root, "proc/device-tree/model", f"{model}\0")
    found = only(check_coral(machine), "fault")
    assert "this board has an Edge TPU built in" in found.found
    assert named in found.fix


# Open to this user


def test_a_machine_without_the_rule(machine: Environment, root: Path):
    plug_usb(root)
    (root / "lib/udev/rules.d/60-libedgetpu1-std.rules").write_text("# " + USB_RULES.replace("\n", "\n# "))
    found = only(check_coral(closed(machine, group_ids=frozenset({1000}))), "fault")
    assert found.found == "this user (ann) may not open /dev/bus/usb/002/003: no udev rule opens it to a group"
    assert found.fix.startswith('printf \'%s\\n\' \'SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e"')
    assert "sudo tee /etc/udev/rules.d/99-edgetpu-accelerator.rules && sudo udevadm control --reload-rules" in found.fix
    assert "usermod" not in found.fix  # ann is in the group already
    assert found.fix.endswith("; then log out and in again")


def test_the_rule_that_the_fix_writes_is_one_that_counts(machine: Environment, root: Path):
    plug_usb(root)
    (root / "lib/udev/rules.d/60-libedgetpu1-std.rules").unlink()
    fix = only(check_coral(machine), "warning").fix
    (root / "etc/udev/rules.d").mkdir(parents=True)
    write = fix.partition(" | sudo tee ")[0]
    rules = subprocess.run(["sh", "-c", write], capture_output=True, text=True, check=True).stdout
    put(root, "etc/udev/rules.d/99-edgetpu-accelerator.rules", rules)
    assert states(check_coral(machine)) == {"ok"}


def test_a_rule_for_one_of_the_two_ids_only(machine: Environment, root: Path):
    plug_usb(root, "1a6e:089a")
    (root / "lib/udev/rules.d/60-libedgetpu1-std.rules").write_text(USB_RULES.splitlines()[0])
    found = only(check_coral(machine), "warning")
    assert "no udev rule covers 18d1:9302: after a change of id or a start it may be closed" in found.found
    assert states(check_coral(dataclasses.replace(machine, user_id=0))) == {"ok"}  # root needs none


def test_a_rule_for_another_product_of_the_vendor_does_not_count(machine: Environment, root: Path):
    plug_usb(root)
    android = 'ATTR{idVendor}=="18d1", ATTR{idProduct}=="4ee7", MODE="0666"'  # a phone
    put(root, "lib/udev/rules.d/60-libedgetpu1-std.rules", f"{USB_RULES.splitlines()[0]}\n{android}\n")
    assert "no udev rule covers 18d1:9302" in only(check_coral(machine), "warning").found


def test_any_file_and_form_of_rule_counts(machine: Environment, root: Path):
    plug_usb(root)
    (root / "lib/udev/rules.d/60-libedgetpu1-std.rules").unlink()
    put(
        root,
        "etc/udev/rules.d/71-mine.rules",
        'ATTR{idVendor}=="1a6e", MODE="0666"\nATTR{idVendor}=="18d1", \\\n  ATTR{idProduct}=="9302|9303", TAG+="uaccess"\n',
    )
    assert states(check_coral(machine)) == {"ok"}


@pytest.mark.parametrize(
    ("group", "ids", "reason", "fix"),
    [
        (
            "",
            {1000},
            "there is no group plugdev",
            "sudo groupadd plugdev && sudo usermod -aG plugdev ann && sudo udevadm",
        ),
        (
            "plugdev:x:46:bob",
            {1000},
            "it is not in the group plugdev",
            "sudo usermod -aG plugdev ann; then log out and in",
        ),
        ("plugdev:x:46:bob,ann", {1000}, "since after it logged in", "log out and in again"),
        (
            "plugdev:x:46:ann",
            {1000, 46},
            "its udev rule is there, and has not been applied",
            "sudo udevadm control --rel",
        ),
    ],
)
def test_groups(machine: Environment, root: Path, group: str, ids: set[int], reason: str, fix: str):
    plug_usb(root)
    put(root, "etc/group", f"root:x:0:\n{group}\n")
    found = only(check_coral(closed(machine, group_ids=frozenset(ids))), "fault")
    assert reason in found.found
    assert found.fix.startswith(fix)


def test_a_container_without_the_usb_bus(machine: Environment, root: Path):
    plug_usb(root, node=False)
    found = only(check_coral(machine), "fault")
    assert "the kernel lists it, but /dev/bus/usb/002/003 is not there" in found.found
    assert "-v /dev/bus/usb:/dev/bus/usb" in found.fix


# Speed


def test_a_usb_2_port(machine: Environment, root: Path):
    plug_usb(root, speed="480")
    found = only(check_coral(machine), "warning")
    assert found.found.startswith("it runs at 480 Mbit/s of 5000: a USB 2 port, hub or cable")
    put(root, "proc/device-tree/model", "Google Coral Dev Board Mini\0")  # built in, by USB 2
    assert states(check_coral(machine)) == {"ok"}


# PCI: driver and pages


def test_on_pci_all_is_well(machine: Environment, root: Path):
    plug_pci(root)
    put(root, "var/lib/dpkg/status", DPKG.format(name="libedgetpu1-max", version="16.0TF2.13.1-1"))
    findings = check_coral(machine)
    assert states(findings) == {"ok"}, said(findings)
    assert "gasket and apex are loaded for kernel 6.6.20-v8" in said(findings)
    assert "std and max are the same on PCI" in said(findings)
    assert "driver apex 1.2: reported to work" in said(findings)


@pytest.mark.parametrize(
    ("file", "found", "fix"),
    [
        (
            "lib/modules/6.6.20-v8/updates/dkms/apex.ko.xz",
            "it is built for kernel 6.6.20-v8, but",
            "sudo modprobe apex",
        ),
        ("lib/modules/6.1.0/updates/dkms/apex.ko", "there is no build for kernel 6.6.20-v8", "feranick/gasket-driver"),
        (
            "usr/src/gasket-1.0/dkms.conf",
            "its source is installed, but gasket and apex are not built",
            "sudo dkms autoinstall",
        ),
        ("nothing", "there is no build for kernel 6.6.20-v8", "linux-headers-6.6.20-v8"),
    ],
)
def test_modules_that_are_not_loaded(machine: Environment, root: Path, file: str, found: str, fix: str):
    plug_pci(root, loaded=False, driven=False)
    put(root, file)
    told = only(check_coral(machine), "fault")
    assert told.check == "gasket driver"
    assert found in told.found
    assert fix in told.fix


def test_a_driver_that_takes_no_device(machine: Environment, root: Path):
    plug_pci(root, driven=False)
    found = only(check_coral(machine), "fault")
    assert "loaded, but have made no /dev/apex_* for pci:0" in found.found
    assert "dmesg" in found.fix


def test_wide_pages_on_a_raspberry_pi_5(machine: Environment, root: Path):
    plug_pci(root)
    found = only(check_coral(dataclasses.replace(machine, page_size_bytes=16384)), "fault")
    assert "memory pages of 16384 bytes; the driver copes with 4096" in found.found
    assert "kernel=kernel8.img" in found.fix


def test_an_apex_file_that_is_closed(machine: Environment, root: Path):
    plug_pci(root)
    (root / "lib/udev/rules.d/60-gasket-dkms.rules").unlink()
    put(root, "etc/group", "root:x:0:\n")
    found = only(check_coral(closed(machine, group_ids=frozenset({1000}))), "fault")
    assert "may not open /dev/apex_0: no udev rule opens it" in found.found
    assert '\'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"\' | sudo tee /etc/udev/rules.d/65-apex.rules' in found.fix
    assert "sudo groupadd apex && sudo usermod -aG apex ann" in found.fix


# Library and trio


def test_a_missing_library(machine: Environment, root: Path):
    plug_usb(root)
    shutil.rmtree(root / "usr/lib")
    found = only(check_coral(machine), "fault")
    assert "libedgetpu.so.1 is not installed" in found.found
    assert "feranick/libedgetpu" in found.fix


@pytest.mark.parametrize(
    ("package", "clock"),
    [
        ("libedgetpu1-std", "libedgetpu1-std 16.0TF2.13.1-1: std, the reduced clock"),
        ("libedgetpu1-max", "libedgetpu1-max 16.0TF2.13.1-1: max, the full clock: it gets hot"),
        ("nothing", "no Debian package: whether it is std (reduced clock) or max (full clock, hot) cannot be told"),
    ],
)
def test_which_clock(machine: Environment, root: Path, package: str, clock: str):
    plug_usb(root)
    put(root, "var/lib/dpkg/status", DPKG.format(name=package, version="16.0TF2.13.1-1"))
    assert f"/usr/lib/aarch64-linux-gnu/libedgetpu.so.1.0 of {clock}" in said(check_coral(machine))


def test_the_clock_of_googles_archive_stands_in_its_folders(machine: Environment, root: Path):
    plug_usb(root)
    put(root, "opt/edgetpu_runtime/libedgetpu/direct/aarch64/libedgetpu.so.1.0")
    link = root / "usr/local/lib/libedgetpu.so.1"
    link.parent.mkdir(parents=True)
    link.symlink_to(root / "opt/edgetpu_runtime/libedgetpu/direct/aarch64/libedgetpu.so.1.0")
    assert "max, the full clock" in said(check_coral(machine))


def test_a_trio_that_is_known_to_crash(machine: Environment, root: Path):
    plug_usb(root)
    put(root, "var/lib/dpkg/status", DPKG.format(name="libedgetpu1-std", version="16.0"))
    found = only(check_coral(machine), "fault")
    assert found.check == "edge tpu trio"
    assert "tflite-runtime 2.14.1, libedgetpu1-std 16.0, no driver, as by USB: reported not to work" in found.found
    assert "google-coral/edgetpu#812" in found.found
    assert "combinations that work: " in found.fix


def test_a_trio_that_is_on_record(machine: Environment, root: Path):
    plug_usb(root)
    assert "tflite-runtime 2.14.1, libedgetpu1-std 16.0TF2.13.1-1, no driver, as by USB: reported to work" in said(
        check_coral(machine)
    )


def test_a_trio_that_nobody_has_tried(machine: Environment, root: Path, tmp_path: Path):
    plug_usb(root)
    env = dataclasses.replace(machine, search_path=(install(tmp_path / "others", "ai-edge-litert", "2.3.0"),))
    found = only(check_coral(env), "warning")
    assert "nobody is on record for this combination" in found.found
    assert found.fix.startswith("try it, in a child process that may die: edge-sdk bench")


def test_pycoral_of_the_package_index_is_named_with_what_to_take(machine: Environment, tmp_path: Path):
    for name, version in (("pycoral", "0.2.0"), ("pycoral-pi5", "2.1.4")):
        env = dataclasses.replace(machine, search_path=(install(tmp_path / name, name, version),))
        found = only(check_namesakes(env), "fault")
        assert found.fix.startswith(f"pip uninstall {name}; edge_sdk.pycoral has its functions")


def test_every_fault_and_warning_has_a_fix(machine: Environment, root: Path):
    plug_usb(root, "1a6e:089a", speed="12", node=False)
    plug_pci(root, loaded=False, driven=False)
    shutil.rmtree(root / "usr")
    env = closed(machine, page_size_bytes=65536)
    bad = [finding for finding in examine(env) if finding.state != "ok"]
    assert len(bad) >= 5
    assert all(finding.fix for finding in bad)


# As the kernel itself shows it


DESCRIPTION = """\
P: /devices/pci0000:00/0000:00:14.0/usb2/2-1
N: bus/usb/002/003
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
A: idVendor={vendor}\\n
A: idProduct={product}\\n
A: busnum=2\\n
A: devnum=3\\n
A: speed=5000\\n
"""
LOOK = (
    "from edge_sdk.edgetpu.devices import list_devices; from edge_sdk.doctor import Environment;"
    "from edge_sdk.doctor.coral import check_coral; print(*list_devices());"
    "print([f.found for f in check_coral(Environment()) if f.check == 'edge tpu usb:0'])"
)


@pytest.mark.parametrize(
    ("id_", "state"), [("1a6e:089a", "waits in its bootloader"), ("18d1:9302", "has its firmware")]
)
def test_on_a_machine_of_umockdev(tmp_path: Path, id_: str, state: str):
    """The real paths /sys and /dev, as programs see them where umockdev stands before the kernel."""
    run = shutil.which("umockdev-run")
    if run is None:
        pytest.skip("umockdev-run is not installed: apt install umockdev")
    vendor, product = id_.split(":")
    description = tmp_path / "coral.umockdev"
    description.write_text(DESCRIPTION.format(vendor=vendor, product=product))
    command = [run, "--device", str(description), "--", sys.executable, "-c", LOOK]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    assert f"usb:0 ({id_} at 2-1, 5000 Mbit/s)" in done.stdout
    assert state in done.stdout
