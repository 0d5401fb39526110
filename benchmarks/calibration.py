"""Calibration beside the bare inference that it needs, and its memory over few and many images."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from benchmarks.rows import Row

_IMAGES, _FEW = 2_000, 200
_LIMIT, _FLAT_MB = 1.5, 10


def run(quick: bool) -> list[Row]:
    """Float MobileNetV2-224: both sides in turn, a block of images at a time; then whole calibrations, each in a process of its own."""
    images, few = (200, 50) if quick else (_IMAGES, _FEW)
    rounds = _side("rounds", images)
    ratio = median(ours / bare for ours, bare, *_ in rounds)
    ours, bare, busy, bare_busy = (median(side) * 1000 for side in zip(*rounds, strict=True))
    what = f"{ours:.1f} ms an image against {bare:.1f} (of a processor {busy:.1f} against {bare_busy:.1f} ms)"
    small, large = (_side("whole", count)["peak_mb"] for count in (few, images))
    peak = f"{large:.0f} MB, {large - small:+.1f} MB"
    return [
        Row(f"calibration of {images} images / bare inference", what, f"at most {_LIMIT}", ratio, ratio <= _LIMIT),
        Row(
            f"  peak memory of {images} images, beside {few}",
            peak,
            f"at most +{_FLAT_MB} MB",
            met=large - small <= _FLAT_MB,
        ),
    ]


def _side(side: str, images: int):  # type: ignore[no-untyped-def]
    command = [sys.executable, "-m", "benchmarks.calibration_side", side, str(images)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
