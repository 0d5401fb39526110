"""Latency: every model of a sweep on this machine, on one thread, when all other work is done.

The models run in rounds, one after the other, so that a busy moment meets them all alike; one is open at a time, so that memory stays
that of the largest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np

from edge_sdk.engines.isolation import open_engine

ROUNDS, RUNS = 3, 10
_ROUND_S = 0.3  # of slow models, fewer runs
_WARM_UP = 2
NOISE = 0.05
"""Relative difference of two medians below which they are taken for equal."""


def measure_latency(models: Mapping[str, Path], progress: Callable[[int, int], None]) -> dict[str, float]:
    """The median time of one inference of each model.

    Args:
        models: .tflite files by a key of the caller's.
        progress: called with the runs done, and of how many.

    Returns:
        Milliseconds, by the same keys.

    Raises:
        EngineError: if a model cannot be opened.
    """
    taken: dict[str, list[float]] = {key: [] for key in models}
    for round_ in range(ROUNDS):
        for place, (key, path) in enumerate(models.items()):
            taken[key] += _run(path)
            progress(round_ * len(models) + place + 1, ROUNDS * len(models))
    return {key: median(times) for key, times in taken.items()}


def _run(path: Path) -> list[float]:
    times: list[float] = []
    with open_engine("litert", path.read_bytes(), {"threads": "1"}, isolation="none") as engine:
        for array in engine.input_arrays:
            widest = 1 if np.issubdtype(array.dtype, np.floating) else 100
            array[...] = widest * np.random.default_rng(0).uniform(-1, 1, array.shape)
        for _ in range(_WARM_UP):
            engine.run()
        stop = time.perf_counter() + _ROUND_S
        while len(times) < RUNS and (not times or time.perf_counter() < stop):
            started = time.perf_counter()
            engine.run()
            times.append((time.perf_counter() - started) * 1000)
    return times
