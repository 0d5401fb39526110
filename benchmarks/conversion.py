"""From a float .tflite to a proven bundle: ``edge-sdk convert`` as a user calls it, start of the interpreter included."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

from benchmarks.environments import BUILD
from benchmarks.models import LABELS, MOBILENET_FLOAT
from benchmarks.rows import Row

_IMAGES = 100
_LIMIT_S = 15
_CONTRACT = ["--input", "image", "--colour", "rgb", "--mean", "128", "--std", "128", "--resize", "stretch"]


def run(quick: bool) -> list[Row]:
    """MobileNetV2-224, calibrated on 100 images and compared with float on 100 others."""
    calibrate, holdout = images("calibrate", seed=1), images("holdout", seed=2)
    with tempfile.TemporaryDirectory() as folder:
        command = ["convert", str(MOBILENET_FLOAT), "-o", f"{folder}/mobilenet.edge", *_CONTRACT, "--task", "classify"]
        command += [
            "--json",
            "--no-repair",
            "--labels",
            str(LABELS),
            "--calibrate",
            str(calibrate),
            "--holdout",
            str(holdout),
        ]
        modules = Path(folder) / "modules.json"
        started = perf_counter()
        side = [sys.executable, "-m", "benchmarks.conversion_side", str(modules), *command]
        done = subprocess.run(side, capture_output=True, text=True, check=False)
        seconds = perf_counter() - started
        if done.returncode:
            raise SystemExit(f"edge-sdk {' '.join(command)} ended with code {done.returncode}:\n{done.stderr}")
        loaded = set(json.loads(modules.read_text()))
        steps = {s["name"]: s["seconds"] for s in json.loads(done.stdout)["steps"]}
        size_mb = (Path(folder) / "mobilenet.edge").stat().st_size / 1e6
    what = f"{seconds:.1f} s for a bundle of {size_mb:.1f} MB"
    made, proven = steps["calibrate"] + steps["quantize int8"], steps["prove int8"] + steps["report"]
    tensorflow = bool(loaded & {"tensorflow", "tensorflow_core", "tf_keras", "keras"})
    return [
        Row(
            f"float .tflite to bundle, {_IMAGES}+{_IMAGES} images",
            what,
            f"at most {_LIMIT_S} s",
            met=seconds <= _LIMIT_S,
        ),
        Row(
            "  TensorFlow or Keras loaded on the way",
            "yes" if tensorflow else f"no, of {len(loaded)} packages",
            "no",
            met=not tensorflow,
        ),
        Row(
            "  proof and report / calibration and quantization",
            f"{proven:.2f} against {made:.2f} s",
            "at most 1",
            proven / made,
            proven <= made,
        ),
    ]


def images(name: str, seed: int) -> Path:
    """A folder of made-up photographs (640x480 JPEG): colour patches, a slope of light and noise; made once."""
    folder = BUILD / "images" / name
    if folder.is_dir() and len(list(folder.glob("*.jpg"))) == _IMAGES:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    light = np.linspace(0.3, 1, 640)[None, :, None]
    for number in range(_IMAGES):
        patches = cv2.resize(generator.integers(0, 256, (12, 16, 3)).astype(np.float32), (640, 480))
        noisy = patches * light + generator.normal(0, 8, (480, 640, 3))
        cv2.imwrite(str(folder / f"{number:03}.jpg"), np.clip(noisy, 0, 255).astype(np.uint8))
    return folder
