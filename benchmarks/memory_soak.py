"""Whether memory stays what it is: the sum of PSS of the loop's processes over 100,000 frames, as fast as they go."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bundles import classifier_bundle
from benchmarks.models import MOBILENET_INT8
from benchmarks.photo import photo
from benchmarks.processes import family, pss_kb
from benchmarks.rows import Row
from benchmarks.streams import Stream
from edge_sdk.loop import Loop

_FLAT_KB = 100  # in 10,000 frames: 1 MB in the whole run


def run(quick: bool) -> list[Row]:
    """MobileNetV2-224 int8 from frames of 640x480; the first tenth is the warm-up."""
    frames = 2_000 if quick else 100_000
    every = frames // 100
    with tempfile.TemporaryDirectory() as folder:
        bundle = classifier_bundle(MOBILENET_INT8, Path(folder))
        with Loop(bundle, Stream(photo(), frames), deadline_ms=50) as loop:
            found = [(result.sequence, pss_kb(family(os.getpid()))) for result in loop if result.sequence % every == 0]
            counts = loop.report().counts
    warm = np.array(found)[10:]
    slope = float(np.polyfit(warm[:, 0], warm[:, 1], 1)[0]) * 10_000
    what = f"{warm[0, 1] / 1024:.1f} MB, at the end {warm[-1, 1] / 1024:.1f} MB, {slope:+.0f} kB in 10,000 frames by the trend"
    results = counts.on_time + counts.late
    target = f"at most {_FLAT_KB} kB"
    return [
        Row(
            f"loop's memory over {results} frames, PSS",
            what,
            target,
            float(warm[-1, 1] / warm[0, 1]),
            slope <= _FLAT_KB,
        )
    ]
