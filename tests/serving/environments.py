"""The environments of the servers, made on demand in the user's cache folder and used again while their requirements are the same.

``python -m tests.serving.environments`` makes them all. What cannot be installed is said, with what pip said.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path

INSTALL_S = 900
_RUNNERS = ("ai-edge-litert>=2.1", "onnxruntime>=1.20")  # what exported models run on


class NotInstalledError(Exception):
    """An environment cannot be made here; the message says why."""


@dataclass(frozen=True)
class Recipe:
    """What an environment is made of.

    Attributes:
        requirements: as pip takes them; each line of them is one call, in this order.
        python: the interpreter; None for the one that runs this.
        commands: programs that must be there.
    """

    requirements: tuple[tuple[str, ...], ...]
    python: str | None = None
    commands: tuple[str, ...] = ()

    @property
    def interpreter(self) -> str:
        """The Python that the environment is made with, outside of any environment."""
        return self.python or getattr(sys, "_base_executable", sys.executable)


RECIPES = {
    # Its workers end at once under a newer uvloop: "There is no current event loop".
    "mlserver": Recipe((("mlserver==1.7.1", "uvloop<0.22", *_RUNNERS),)),
    # Its binary loads the system's libpython, which other builds of Python do not have.
    "triton": Recipe((("nvidia-pytriton==0.7.0", *_RUNNERS),), python="/usr/bin/python3"),
    # torch by its exact version first: a range takes whatever build is the newest, which may be one of several GB.
    "torchserve": Recipe((("torch==2.13.0",), ("torchserve==0.12.0", "pyyaml", *_RUNNERS)), commands=("java",)),
}


def server_python(name: str) -> Path:
    """The Python of a server's environment, which is made first where it is not there.

    Raises:
        NotInstalledError: if it cannot be made.
    """
    recipe = RECIPES[name]
    for command in (*recipe.commands, recipe.interpreter):
        if shutil.which(command) is None:
            raise NotInstalledError(f"{name} needs {command}, which is not installed")
    made_of = hashlib.sha256(repr((recipe, sys.version_info[:2])).encode()).hexdigest()[:16]
    folder = _cache() / f"{name}-{made_of}"
    python, stamp = folder / "bin/python", folder / "made"
    with _alone(folder):
        if not stamp.is_file():
            _make(name, recipe, folder, python)
            stamp.touch()
    return python


def _make(name: str, recipe: Recipe, folder: Path, python: Path) -> None:
    for old in folder.parent.glob(f"{name}-*/"):
        shutil.rmtree(old)
    try:
        _run(recipe.interpreter, "-m", "venv", folder)
        for requirements in recipe.requirements:
            _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        shutil.rmtree(folder, ignore_errors=True)
        said = (exc.stderr or b"").decode(errors="replace").strip().splitlines()
        raise NotInstalledError(f"{name} cannot be installed here: {' '.join(said[-3:]) or exc}") from exc


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S, stdin=subprocess.DEVNULL)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time makes an environment."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-sdk" / "servers"


def main() -> None:
    """Make them all."""
    for name in RECIPES:
        try:
            print(f"{name}: {server_python(name)}")
        except NotInstalledError as exc:
            print(f"{name}: {exc}; its tests will be skipped")


if __name__ == "__main__":
    main()
