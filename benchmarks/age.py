"""How old a frame is when its result is there: a camera of 60 frames/s before an engine that needs 30 ms."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.blocks import Seconds
from benchmarks.bundles import NULL_OPTIONS, null_bundle
from benchmarks.photo import photo
from benchmarks.rows import Row
from benchmarks.streams import Camera
from edge_sdk.loop import Loop

PER_SECOND = 60
ENGINE_MS = 30
LIMIT_MS = ENGINE_MS + 1.5 * 1000 / PER_SECOND


def run(quick: bool) -> list[Row]:
    """Twenty seconds of it."""
    ages = measure(seconds=4 if quick else 20)[:, 1]
    p99 = float(np.percentile(ages, 99))
    times = f"p50 {np.median(ages):.1f} ms, p99 {p99:.1f} ms, max {ages.max():.1f} ms of {len(ages)} results"
    target = f"p99 at most {LIMIT_MS:g} ms"
    return [Row(f"age at result, {PER_SECOND} frames/s, engine {ENGINE_MS} ms", times, target, met=p99 <= LIMIT_MS)]


def measure(seconds: float) -> Seconds:
    """Of every result: seconds since the first one, and its age in milliseconds, shape (results, 2)."""
    camera = Camera(photo(), per_second=PER_SECOND, seconds=seconds)
    options = {**NULL_OPTIONS, "wait_ms": str(ENGINE_MS)}
    with tempfile.TemporaryDirectory() as folder:
        bundle = null_bundle(Path(folder))
        with Loop(bundle, camera, deadline_ms=LIMIT_MS, engine="null", engine_options=options) as loop:
            found = [(result.captured_ns / 1e9, result.age_ms) for result in loop]
    ages = np.array(found[3:])  # the first ones find cold caches and a camera that has just begun
    ages[:, 0] -= ages[0, 0]
    return ages
