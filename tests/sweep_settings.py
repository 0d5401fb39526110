"""A small sweep for tests: tiny models, pictures and a model.toml, and how to run it in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.tiny_models import between_convolutions, image_net, options

ROOT = Path(__file__).parents[1]
CONFIG = """\
[contract]
input = "image"
colour = "rgb"
range = [-1, 1]
resize = "stretch"
[task]
kind = "classify"
"""


@dataclass(frozen=True)
class Small:
    """A folder with nets (``net0.tflite`` ...), photos/, more/ and model.toml."""

    folder: Path
    nets: tuple[Path, ...]

    def words(self, *more: object) -> list[str]:
        """A command line."""
        data = ["--config", "model.toml", "--calibrate", "photos", "--holdout", "more", "-o", "sweep"]
        return ["sweep", *(net.name for net in self.nets), *data, *map(str, more)]

    def start(self, *more: object) -> subprocess.Popen[str]:
        """Start it in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "edge_sdk.cli", *self.words(*more)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *more: object) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*more)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def make_small(folder: Path, nets: int, *, photos: int = 12) -> Small:
    """``nets`` models of different sizes and weights."""
    rng = np.random.default_rng(0)
    for name in ("photos", "more"):
        (folder / name).mkdir()
        for number in range(photos):
            cv2.imwrite(str(folder / name / f"{number:03d}.png"), rng.integers(0, 256, (20, 24, 3), np.uint8))
    (folder / "model.toml").write_text(CONFIG)
    paths = []
    for number in range(nets):
        paths.append(folder / f"net{number}.tflite")
        paths[-1].write_bytes(image_net(size=16 + 8 * (number % 6), seed=number))
    return Small(folder, tuple(paths))


def unquantizable() -> bytes:
    """A model with an operator that has no int8 kernel, and mixes elements, so that no table can stand for it."""
    axis = np.array(1, np.int32)
    return between_convolutions("CUMSUM", shape=(1, 8, 8, 3), constants=(axis,), op_options=options("Cumsum"))
