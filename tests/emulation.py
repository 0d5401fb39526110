"""Emulated devices for tests: a virtual machine with the kernel's virtual camera, and userlands of other processors.

The scripts that make them lie beside the repository, in ../shared/emulation; they need root and some packages.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import is_alive

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT.parent / "shared" / "emulation"


def need_emulation(commands: dict[str, str]) -> None:
    """Skip the test that asks, with the reason, unless the scripts and these commands (with their Debian packages) are there."""
    if not SCRIPTS.is_dir():
        pytest.skip(f"there are no emulation scripts at {SCRIPTS}")
    if os.geteuid():
        pytest.skip("making a root folder for an emulated device needs root")
    missing = [package for name, package in commands.items() if shutil.which(name) is None]
    if missing:
        pytest.skip(f"missing: apt-get install --no-install-recommends {' '.join(missing)}")


def run(*words: object, timeout_s: float, **environment: str) -> str:
    """What a command prints, outputs and errors together; no process of it outlives it. It must end with 0."""
    process = subprocess.Popen(
        ["nice", *(str(word) for word in words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        _end_session(process.pid)
        process.wait()
    assert process.returncode == 0, output[-10_000:]
    return output


def download(folder: Path, machine: str, *packages: object) -> list[Path]:
    """Wheels for Python 3.11, Debian 12's, on another machine; pip chooses them by its own name."""
    platforms = [f"--platform={tag}_{machine}" for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux2014")]
    options = ["--quiet", "--only-binary=:all:", "--python-version=3.11", *platforms, "--dest", str(folder)]
    run(sys.executable, "-m", "pip", "download", *options, *packages, timeout_s=200)
    return sorted(folder.glob("*.whl"))


def build_wheel(folder: Path) -> Path:
    """The project's wheel, built from a copy of the tracked files."""
    names = run("git", "-C", ROOT, "ls-files", timeout_s=60).splitlines()
    copy = folder / "copy"
    for name in names:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, copy, timeout_s=200)
    return next(folder.glob("*.whl"))


def _end_session(leader: int) -> None:
    """Kill what is left of the processes that ``leader`` started, wherever they put themselves below it."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == leader and is_alive(int(entry.name)):
            os.kill(int(entry.name), signal.SIGKILL)
