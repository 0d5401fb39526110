"""Calibration and quantization of a float .tflite beside TFLiteConverter's post-training quantization, on the same samples."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.conversion import images
from benchmarks.environments import tensorflow_python
from benchmarks.models import MOBILENET_FLOAT
from benchmarks.rows import Row
from converters.load import load

_SAMPLES, _ROUNDS = 100, 3
_FASTER, _MEMORY = 15, 1 / 3


def run(quick: bool) -> list[Row]:
    """MobileNetV2-224 and 100 images, each side in a process of its own, in turn."""
    theirs_python = str(tensorflow_python())
    script = str(Path(__file__).parent / "elsewhere" / "tflite_ptq.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, samples = folder / "float.tflite", folder / "samples.npy"
        model.write_bytes(load(MOBILENET_FLOAT).content)
        np.save(samples, _tensors())
        ours, theirs = [], []
        for _ in range(1 if quick else _ROUNDS):
            ours.append(
                _side([sys.executable, "-m", "benchmarks.quantization_side"], model, samples, folder / "ours.tflite")
            )
            theirs.append(_side([theirs_python, script], model, samples, folder / "theirs.tflite"))
    faster = median(b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True))
    memory = median(a["peak_mb"] / b["peak_mb"] for a, b in zip(ours, theirs, strict=True))
    seconds, peaks = (
        [median(side[key] for side in sides) for sides in (ours, theirs)] for key in ("seconds", "peak_mb")
    )
    return [
        Row(
            f"calibration and quantization, {_SAMPLES} samples / TFLiteConverter",
            f"{seconds[0]:.2f} against {seconds[1]:.1f} s: {faster:.0f} times faster",
            f"{_FASTER} times faster",
            1 / faster,
            faster >= _FASTER,
        ),
        Row(
            "  peak memory / TFLiteConverter",
            f"{peaks[0]:.0f} against {peaks[1]:.0f} MB",
            "at most a third",
            memory,
            memory <= _MEMORY,
        ),
    ]


def _tensors() -> np.ndarray:
    folder = images("calibrate", seed=1)
    files = sorted(folder.glob("*.jpg"))[:_SAMPLES]
    pictures = [cv2.resize(cv2.imread(str(file)), (224, 224))[None] for file in files]
    return ((np.stack(pictures).astype(np.float32) - 128) / 128).astype(np.float32)


def _side(command: list[str], *files: Path) -> dict[str, float]:
    done = subprocess.run([*command, *map(str, files)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]
