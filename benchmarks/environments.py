"""Environments of their own for what the comparison needs and edge_sdk never does: TensorFlow and MediaPipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

BUILD = Path(__file__).parents[1] / "build" / "bench"
TENSORFLOW = "tensorflow==2.21.*"
MEDIAPIPE = "mediapipe"  # the newest that installs


def tensorflow_python() -> Path:
    """The Python that has TensorFlow."""
    return _environment("tf-venv", TENSORFLOW)


def mediapipe_python() -> Path:
    """The Python that has MediaPipe, and OpenCV and NumPy with it."""
    return _environment("mediapipe-venv", MEDIAPIPE)


def run_quietly(command: list[str]) -> None:
    """Run a command that says nothing unless it fails."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")


def say(text: str) -> None:
    """Progress goes to stderr: stdout is for the table."""
    print(text, file=sys.stderr, flush=True)


def _environment(name: str, requirement: str) -> Path:
    """Made by venv and pip when missing; a marker says that an earlier making came to its end."""
    folder = BUILD / name
    marker, python = folder / "installed", folder / "bin" / "python"
    if marker.is_file() and marker.read_text() == requirement:
        return python
    say(f"making {folder.relative_to(BUILD.parents[1])} with {requirement} ...")
    started = perf_counter()
    run_quietly([sys.executable, "-m", "venv", "--clear", str(folder)])
    run_quietly([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
    marker.write_text(requirement)
    say(f"  {perf_counter() - started:.0f} s")
    return python
