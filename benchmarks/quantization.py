"""Calibration and quantization of a float .tflite beside TFLiteConverter's post-training quantization, on the same samples."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
    python, elsewhere = str(tensorflow_python()), Path(__file__).parent / "elsewhere"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, samples, target = folder / "float.tflite", folder / "samples.npy", folder / "int8.tflite"
        model.write_bytes(load(MOBILENET_FLOAT).content)
        np.save(samples, _tensors())
        rounds = [
            (
                _side(sys.executable, "-m", "benchmarks.quantization_side", model, samples, target),
                _side(python, elsewhere / "tflite_converter.py", samples, target),
                _side(python, elsewhere / "tflite_ptq.py", model, samples, target),
            )
            for _ in range(1 if quick else _ROUNDS)
        ]
    ours, converter, quantizer = zip(*rounds, strict=True)
    faster, memory = 1 / _ratio(ours, converter, "seconds"), _ratio(ours, quantizer, "peak_mb")
    alone = 1 / _ratio(ours, quantizer, "seconds")
    return [
        Row(
            f"calibration and quantization, {_SAMPLES} samples / TFLiteConverter",
            f"{_median(ours, 'seconds'):.2f} against {_median(converter, 'seconds'):.1f} s: {faster:.0f} times faster",
            f"{_FASTER} times faster",
            1 / faster,
            faster >= _FASTER,
        ),
        Row(
            "  peak memory / its calibrator and quantizer alone",
            f"{_median(ours, 'peak_mb'):.0f} against {_median(quantizer, 'peak_mb'):.0f} MB",
            "at most a third",
            memory,
            memory <= _MEMORY,
        ),
        Row(
            "  time / its calibrator and quantizer alone",
            f"{_median(quantizer, 'seconds'):.1f} s from the same float .tflite: {alone:.0f} times faster",
            ratio=1 / alone,
        ),
    ]


_Sides = Sequence[dict[str, float]]


def _ratio(ours: _Sides, theirs: _Sides, key: str) -> float:
    return median(a[key] / b[key] for a, b in zip(ours, theirs, strict=True))


def _median(sides: _Sides, key: str) -> float:
    return median(side[key] for side in sides)


def _tensors() -> np.ndarray:
    folder = images("calibrate", seed=1)
    files = sorted(folder.glob("*.jpg"))[:_SAMPLES]
    pictures = [cv2.resize(cv2.imread(str(file)), (224, 224))[None] for file in files]
    return ((np.stack(pictures).astype(np.float32) - 128) / 128).astype(np.float32)


def _side(*command: str | Path) -> dict[str, float]:
    done = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with code {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]
