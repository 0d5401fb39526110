"""A Debian userland of an Arm processor, with the project's wheel installed in it by the pip that runs there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulation import UNPACK_ONLY, debian, enter, run
from tests.emulation.kept import unpack_kept
from tests.emulation.wheels import download, requirements

TOOLS = {
    "qemu-aarch64-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
    "mmdebstrap": "mmdebstrap debian-archive-keyring arch-test",
}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
PACKAGES = "python3,python3-pip,python3-venv,libstdc++6,libgomp1"


@dataclass(frozen=True)
class Processor:
    """What is emulated, and how the wheel is installed there.

    Attributes:
        debian: Debian's name of the architecture.
        qemu: QEMU's.
        machine: the kernel's.
        core: which one. The largest 64-bit core that QEMU 7.2 emulates has SME, in which the interpreter computes nonsense there.
        glibc: platform tags of wheels that fit.
        extras: of the project's wheel.
        of_system: requirements that Debian's packages fulfil, as there is no wheel.
        packages: those packages.
    """

    debian: str
    qemu: str
    machine: str
    core: str
    glibc: tuple[str, ...]
    extras: tuple[str, ...] = ()
    of_system: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


PROCESSORS = {
    "arm64": Processor(  # a Raspberry Pi 4's core
        "arm64",
        "aarch64",
        "aarch64",
        "cortex-a72",
        ("manylinux_2_28", "manylinux_2_27", "manylinux2014"),
        extras=("camera",),
    ),
    "armhf": Processor(  # 32-bit Raspberry Pi OS is installed as the README says
        "armhf",
        "arm",
        "armv7l",
        "cortex-a15",
        ("manylinux_2_34", "manylinux_2_17", "manylinux2014"),
        of_system=("numpy",),
        packages=("python3-numpy", "python3-opencv", "libatomic1"),
    ),
}


@dataclass(frozen=True)
class Userland:
    """Programs in it are started by the kernel as if they were the machine's own."""

    processor: Processor
    root: Path
    shared: Path

    def run(self, *words: object, timeout_s: float = 200) -> str:
        """What a command prints; paths in ``shared`` are below /mnt/host there, the working directory is /."""
        return enter(self.root, *words, timeout_s=timeout_s, shared=self.shared, QEMU_CPU=self.processor.core)

    def sdk(self, *words: object) -> Any:
        """What ``edge-sdk ... --json`` prints; the native library's own lines stand before it."""
        printed = self.run("edge-sdk", *words, "--json")
        return json.loads(printed[printed.index("\n{") if "\n{" in printed else 0 :])


def make_userland(name: str, wheel: Path, folder: Path) -> Userland:
    """The userland of ``PROCESSORS[name]`` in ``folder``, the wheel installed."""
    processor = PROCESSORS[name]
    root, shared = folder / "root", folder / "shared"
    for each in (root, shared):
        each.mkdir(parents=True)
    needs = requirements(wheel, processor.machine, processor.extras)
    made_of = f"{Path(__file__).read_text()} {sorted(map(str, needs))}"
    unpack_kept(name, made_of, lambda empty: _make_root(processor, wheel, empty), root)
    userland = Userland(processor, root, shared)
    extras = f"[{','.join(processor.extras)}]" if processor.extras else ""
    (shared / wheel.name).write_bytes(wheel.read_bytes())
    # Without an index: all that it asks for on this processor must be there.
    userland.run("pip", "install", "--quiet", "--no-index", f"/mnt/host/{wheel.name}{extras}")
    return userland


def _make_root(processor: Processor, wheel: Path, root: Path) -> None:
    """Debian and the wheels of other projects, installed by the pip that runs there."""
    packages = ",".join((PACKAGES, *processor.packages))
    debian(root, packages, f"--architectures={processor.debian}", *UNPACK_ONLY)
    enter(root, "ldconfig", timeout_s=60)
    for library in root.glob("usr/lib/*/*/lib*.so.3"):  # BLAS and LAPACK, which a package's script would have linked
        (library.parents[1] / library.name).symlink_to(library.relative_to(library.parents[1]))
    _show_processors(root)
    needs = [
        need
        for need in requirements(wheel, processor.machine, processor.extras)
        if need.name not in processor.of_system
    ]
    tags = tuple(f"{glibc}_{processor.machine}" for glibc in processor.glibc)
    wheels = root / "opt/wheels"
    alone = [need for need in needs if need.name == "tflite-runtime"]  # it needs numpy, for which there is no wheel
    download(wheels, alone, tags, "--no-deps")
    download(wheels, [need for need in needs if need not in alone], tags)
    enter(root, "python3", "-m", "venv", "--system-site-packages", "/opt/edge", timeout_s=200, QEMU_CPU=processor.core)
    names = [f"/opt/wheels/{path.name}" for path in wheels.glob("*.whl")]
    enter(root, "pip", "install", "--quiet", "--no-index", *names, timeout_s=600, QEMU_CPU=processor.core)
    for path in wheels.iterdir():
        path.unlink()


def _show_processors(root: Path) -> None:
    """Two files of /sys: without them the interpreter leaves out its optimised kernels, with the host's whole /sys it dies in QEMU."""
    folder = root / "sys/devices/system/cpu"
    folder.mkdir(parents=True)
    for name in ("possible", "present"):
        (folder / name).write_text("0-1\n")


@contextmanager
def foreign_programs() -> Iterator[None]:
    """Let the kernel run programs of Arm processors; takes back the mount that this needs, if it was not there."""
    there_before = BINFMT.is_mount()
    if not there_before:
        run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT, timeout_s=20)
    try:
        for processor in PROCESSORS.values():
            if not (BINFMT / f"qemu-{processor.qemu}").exists():
                run("update-binfmts", "--enable", f"qemu-{processor.qemu}", timeout_s=20)
        yield
    finally:
        if not there_before:
            run("umount", BINFMT, timeout_s=20)
