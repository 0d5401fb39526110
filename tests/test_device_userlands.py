"""The wheel in an emulated 64-bit Arm userland: what the converter proved on the workstation comes out there, and faults are survived."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulation import SCRIPTS, build_wheel, download, need_emulation, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOOLS = {
    "qemu-aarch64-static": "qemu-user-static binfmt-support",
    "mmdebstrap": "mmdebstrap debian-archive-keyring arch-test",
}
# A Raspberry Pi 4's. The largest core that QEMU 7.2 emulates has SME, in which the interpreter computes nonsense there.
CORE = "cortex-a72"
BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass(frozen=True)
class Userland:
    root: Path
    shared: Path

    def run(self, *words: object, timeout_s: float = 120) -> str:
        """What a command prints; paths in ``shared`` are below /mnt/host there, the working directory is /."""
        entered = [SCRIPTS / "enter_rootfs.sh", self.root, "env", "PYTHONPATH=/opt/packages"]
        return run(*entered, *words, timeout_s=timeout_s, BIND=str(self.shared), QEMU_CPU=CORE)

    def sdk(self, *words: object) -> Any:
        """What ``edge-sdk ... --json`` prints; the native library's own lines stand before it."""
        printed = self.run("python3", "-m", "edge_sdk.cli", *words, "--json")
        return json.loads(printed[printed.index("\n{") if "\n{" in printed else 0 :])


@pytest.fixture(scope="module")
def arm64(face_bundle: Path, carphone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Userland]:
    need_emulation(TOOLS)
    folder = tmp_path_factory.mktemp("arm64")
    shared = folder / "shared"
    wheels = download(shared / "wheels", "aarch64", f"{build_wheel(folder)}[camera]")
    for file in (face_bundle, carphone, Path(__file__).with_name("userland_session.py")):
        shutil.copy(file, shared)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, _foreign_programs():
        root = Path(memory) / "root"
        run(SCRIPTS / "build_rootfs.sh", "arm64", root, "libstdc++6,libgomp1", timeout_s=300, QUICK="1")
        _show_processors(root)
        for wheel in wheels:
            shutil.unpack_archive(wheel, root / "opt/packages", "zip")
        yield Userland(root, shared)


@contextmanager
def _foreign_programs() -> Iterator[None]:
    """The scripts let the kernel run programs of other processors; this takes back the mount that they need, if it was not there."""
    there_before = BINFMT.is_mount()
    try:
        yield
    finally:
        if BINFMT.is_mount() and not there_before:
            run("umount", BINFMT, timeout_s=20)


def _show_processors(root: Path) -> None:
    """Two files of /sys: without them the interpreter leaves out its optimised kernels, with the host's whole /sys it dies in QEMU."""
    folder = root / "sys/devices/system/cpu"
    folder.mkdir(parents=True)
    for name in ("possible", "present"):
        (folder / name).write_text("0-1\n")


def test_the_doctor_finds_no_fault(arm64: Userland) -> None:
    found = {finding["check"]: finding for finding in arm64.sdk("doctor", "/mnt/host/face.edge")["findings"]}
    assert not [finding for finding in found.values() if finding["state"] == "fault"]
    assert found["board"]["found"].startswith("generic-arm64")
    assert found["bundle"]["found"].endswith("this board runs its variant tflite-int8")


@pytest.mark.parametrize("kernels", ["optimised", "built-in"])
def test_golden_vectors_come_out_within_their_tolerance(arm64: Userland, kernels: str) -> None:
    folder = arm64.root / "sys/devices"
    if kernels == "built-in":
        folder.rename(folder.with_name("hidden"))
    try:
        golden = arm64.sdk("bench", "/mnt/host/face.edge", "--runs", 3)["golden"]
    finally:
        if kernels == "built-in":
            folder.with_name("hidden").rename(folder)
    assert golden["inputs"] > 0
    assert golden["worst"] <= golden["tolerance"]
    assert (golden["worst"] == 0) is (
        kernels == "optimised"
    )  # those compute on Arm what they compute on x86, bit by bit


def test_a_model_and_a_bundle_can_be_looked_into(arm64: Userland) -> None:
    assert "Whole: each of the" in arm64.run("python3", "-m", "edge_sdk.cli", "inspect", "/mnt/host/face.edge")


def test_faults_of_the_engine_cost_one_frame_each(arm64: Userland) -> None:
    faults = ("crash", "stop", "hang", "killed")
    paths = ("/mnt/host/face.edge", "/mnt/host/carphone_pristine.mp4")
    printed = arm64.run("python3", "/mnt/host/userland_session.py", *paths, *faults)
    seen = json.loads(printed.splitlines()[-1])
    for fault in faults:
        assert seen[fault]["sequences"] == [0, 1, 2, 3, 5, 6, 7]
        kind = "hang" if fault in ("hang", "stop") else "crash"
        assert [event["kind"] for event in seen[fault]["events"]] == [kind, "recovered"]
