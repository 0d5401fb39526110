"""A virtual x86-64 machine, emulated in software: Debian with its own kernel, its virtual devices, systemd, and the project's wheel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulation import GUEST, UNPACK_ONLY, debian, enter, run
from tests.emulation.boot import UP, booted
from tests.emulation.kept import unpack_kept
from tests.emulation.wheels import download, requirements

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86 qemu-system-data seabios ipxe-qemu",
    "mmdebstrap": "mmdebstrap debian-archive-keyring arch-test",
    "mke2fs": "e2fsprogs",
}
EXTRAS = ("camera", "i2c", "audio")
PACKAGES = (
    "systemd-sysv,udev,kmod,procps,python3,python3-pip,python3-venv,libstdc++6,libgomp1,libportaudio2,"
    "v4l-utils,alsa-utils,i2c-tools,busybox-static"
)
KERNEL_PACKAGES = "linux-image-amd64,linux-headers-amd64,linux-source-6.1,gcc,make,xz-utils"
KERNEL_SCRIPT = Path(__file__).with_name("kernel.sh")
KERNEL_ARGUMENTS = "console=ttyS0 root=/dev/vda rw panic=1 quiet loglevel=3 systemd.show_status=0 mitigations=off"
TAGS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
PLAY = """[Unit]
Description=play the scenes of the shared folder, then power off
RequiresMountsFor=/mnt/host
After=multi-user.target
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
WorkingDirectory=/mnt/host
Environment=PATH=/opt/edge/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
ExecStart=-/bin/sh /mnt/host/session.sh
ExecStopPost=/bin/kill -SIGRTMIN+4 1
"""
MOUNTS = """/dev/vda / ext4 defaults,noatime 0 1
host /mnt/host 9p trans=virtio,version=9p2000.L,msize=262144 0 0
"""


@dataclass(frozen=True)
class Machine:
    """Its disk is kept as it is: what a boot writes is thrown away, unless it is given a disk of its own."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    def command(self, shared: Path, disk: Path | None = None) -> list[str]:
        """QEMU's, to boot and run ``session.sh`` of the shared folder; a reset ends it as power-off does.

        A host's full disk is an error in the machine: by default QEMU would stop it, without a word.
        """
        drive = f"file={disk or self.disk},format=raw,if=none,id=disk,werror=report," + (
            "cache=writeback" if disk else "snapshot=on,cache=unsafe"
        )
        kernel = [
            "-kernel",
            str(self.folder / "vmlinuz"),
            "-initrd",
            str(self.folder / "initrd"),
            "-append",
            KERNEL_ARGUMENTS,
        ]
        share = f"local,id=host,path={shared},security_model=none,multidevs=remap"
        return [
            "qemu-system-x86_64",
            *("-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024", "-smp", "2"),
            *("-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"),
            *kernel,
            *("-drive", drive, "-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"),
            *("-fsdev", share, "-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
        ]

    def play(self, scenes: str, shared: Path, files: Sequence[Path] = (), *, timeout_s: float = 900) -> Seen:
        """Boot, play all scenes of ``guest/NAME.py``, and return what they saw; it ends with power-off or a reset."""
        prepare(shared, f"python {scenes}.py", files)
        return self.boot(shared, timeout_s=timeout_s)

    def boot(self, shared: Path, disk: Path | None = None, *, timeout_s: float) -> Seen:
        """Boot, do what the shared folder says, and return what its scenes saw."""
        with booted(self.command(shared, disk), shared) as up:
            return Seen.read(shared, up.wait_for_end(timeout_s))


@dataclass(frozen=True)
class Seen:
    """What scenes saw, by their names, and what the machine wrote to its console."""

    scenes: dict[str, dict[str, Any]]
    console: str

    def __getitem__(self, name: str) -> dict[str, Any]:
        assert name in self.scenes, f"{name} was not played to its end:\n{self.console[-5_000:]}"
        scene = self.scenes[name]
        assert "failed" not in scene, scene["failed"]
        return scene

    @classmethod
    def read(cls, shared: Path, console: str) -> Seen:
        """From the lines that the guest wrote, one a scene."""
        path = shared / "seen.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return cls({scene.pop("scene"): scene for scene in map(json.loads, lines)}, console)


def prepare(shared: Path, command: str, files: Sequence[Path] = ()) -> None:
    """Fill the folder that the machine shares: its command, the scenes, further files."""
    shared.mkdir(parents=True, exist_ok=True)
    for file in (*GUEST.glob("*.py"), *files):
        shutil.copy(file, shared)
    (shared / "session.sh").write_text(f"touch {UP}\n{command}\n")


def make_machine(wheel: Path, folder: Path) -> Machine:
    """The machine's kernel and disk in ``folder``, the wheel installed."""
    parts = folder / "parts"
    parts.mkdir(parents=True)
    needs = requirements(wheel, "x86_64", EXTRAS)
    made_of = f"{Path(__file__).read_text()} {KERNEL_SCRIPT.read_text()} {sorted(map(str, needs))}"
    unpack_kept("amd64", made_of, lambda empty: _make_parts(wheel, empty), parts)
    root = parts / "root"
    shutil.copy(wheel, root / "opt")
    enter(root, "pip", "install", "--quiet", "--no-index", f"/opt/{wheel.name}[{','.join(EXTRAS)}]", timeout_s=200)
    for name in ("vmlinuz", "initrd"):
        (parts / name).rename(folder / name)
    disk = folder / "disk.img"
    with disk.open("wb") as file:
        file.truncate(3 << 30)
    run("mke2fs", "-q", "-t", "ext4", "-F", "-E", "lazy_itable_init=1", "-d", root, disk, timeout_s=300)
    shutil.rmtree(parts)
    return Machine(folder)


def _make_parts(wheel: Path, parts: Path) -> None:
    """A root folder with the wheels of other projects, a kernel with drivers that Debian leaves out, an initrd."""
    root, builder = parts / "root", parts / "builder"
    debian(builder, KERNEL_PACKAGES, *UNPACK_ONLY)
    debian(root, PACKAGES, "--variant=apt")
    run("sh", "-e", KERNEL_SCRIPT, builder, root, parts, timeout_s=600)
    shutil.rmtree(builder)
    wheels = root / "opt/wheels"
    download(wheels, requirements(wheel, "x86_64", EXTRAS), TAGS)
    enter(root, "python3", "-m", "venv", "/opt/edge", timeout_s=200)
    enter(
        root,
        "pip",
        "install",
        "--quiet",
        "--no-index",
        *(f"/opt/wheels/{path.name}" for path in wheels.iterdir()),
        timeout_s=300,
    )
    shutil.rmtree(wheels)
    (root / "etc/fstab").write_text(MOUNTS)
    (root / "etc/systemd/system/play.service").write_text(PLAY)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "play.service").symlink_to("../play.service")
    for name in ("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-timesyncd.service"):
        (root / "etc/systemd/system" / name).unlink(missing_ok=True)
        (root / "etc/systemd/system" / name).symlink_to("/dev/null")
