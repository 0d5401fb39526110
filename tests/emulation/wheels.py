"""The project's wheel, and those of other projects that it needs on another machine."""

from __future__ import annotations

import shutil
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement

from tests.emulation import ROOT, run

PYTHON = "3.11"  # Debian 12's


def build_wheel(folder: Path) -> Path:
    """The project's wheel, built from a copy of the tracked files."""
    names = run("git", "-C", ROOT, "ls-files", timeout_s=60).splitlines()
    copy = folder / "copy"
    for name in names:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, copy, timeout_s=300)
    return next(folder.glob("*.whl"))


def requirements(wheel: Path, machine: str, extras: tuple[str, ...]) -> list[Requirement]:
    """What the wheel asks for on another machine, by its own markers."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    there = {"platform_machine": machine, "sys_platform": "linux", "python_version": PYTHON}
    wanted = [Requirement(text) for text in metadata.get_all("Requires-Dist", ())]
    return [
        need
        for need in wanted
        if need.marker is None or any(need.marker.evaluate({**there, "extra": extra}) for extra in ("", *extras))
    ]


def download(folder: Path, needs: list[Requirement], tags: tuple[str, ...], *options: str) -> None:
    """Wheels for another machine; pip chooses them by the tags of its platform."""
    if needs:
        names = [f"{need.name}{need.specifier}" for need in needs]
        platforms = [f"--platform={tag}" for tag in tags]
        fixed = ["--quiet", "--only-binary=:all:", f"--python-version={PYTHON}", *platforms, "--dest", folder]
        run(sys.executable, "-m", "pip", "download", *fixed, *options, *names, timeout_s=300)
