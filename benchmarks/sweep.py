"""A sweep of 24 points on two workers and on one, from the command to the page: starting workers, loading and latency included."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks.conversion import images
from benchmarks.models import MOBILENET_FLOAT
from benchmarks.rows import Row
from converters.sweep.commands import Told
from converters.sweep.point import RANGE_METHODS
from converters.sweep.run import sweep

_RECIPES = ("int8", "int8-per-tensor", "int8-uint8-io")
_POINTS = 24
_LIMIT = 1.7
_CONFIG = """\
[contract]
input = "image"
colour = "rgb"
mean = 128
std = 128
resize = "stretch"
[task]
kind = "classify"
"""


def run(quick: bool) -> list[Row]:
    """MobileNetV2-224, recipes x range methods on two files of it, each point compared with float on 100 images; the best of two."""
    with tempfile.TemporaryDirectory() as folder:
        told = _told(Path(folder), samples=10 if quick else 100)
        turns = (1, 2) if quick else (1, 2, 2, 1)
        taken = [_seconds(told, Path(folder) / f"sweep{turn}", jobs) for turn, jobs in enumerate(turns)]
    one, two = (min(took for took, jobs in zip(taken, turns, strict=True) if jobs == each) for each in (1, 2))
    whole, points = one[0] / two[0], one[1] / two[1]
    return [
        Row(
            f"sweep of {_POINTS} points, one worker / two",
            f"{one[0]:.0f} s / {two[0]:.0f} s",
            f"at least {_LIMIT}",
            whole,
            whole >= _LIMIT,
        ),
        Row("  of that the points alone", f"{one[1]:.0f} s / {two[1]:.0f} s", ratio=points),
    ]


def _told(folder: Path, samples: int) -> Told:
    (folder / "model.toml").write_text(_CONFIG)
    models = [folder / name for name in ("one.tflite", "two.tflite")]
    for number, path in enumerate(models):
        path.write_bytes(MOBILENET_FLOAT.read_bytes() + bytes(number))  # told apart by a byte behind the end
    told = Told(
        models=tuple(models),
        recipes=_RECIPES,
        ranges=RANGE_METHODS,
        config=folder / "model.toml",
        calibrate=str(images("calibrate", seed=1)),
        holdout=str(images("holdout", seed=2)),
        max_samples=samples,
    )
    points = len(told.models) * len(told.recipes) * len(told.ranges)
    if points != _POINTS:
        raise SystemExit(f"{_POINTS} points are meant, and these are {points}")
    return told


def _seconds(told: Told, output: Path, jobs: int) -> tuple[float, float]:
    """The whole sweep, and its points alone: from the end of loading to the last point."""
    marks: dict[str, float] = {}

    def progress(step: str, done: int, total: int) -> None:
        marks["load" if step.startswith("load") else step] = perf_counter()

    started = perf_counter()
    figures = sweep(told, output=output, jobs=jobs, progress=progress).figures
    seconds = perf_counter() - started
    if failed := [row.failure for row in figures.rows if row.failure]:
        raise SystemExit(f"{len(failed)} points failed, such as: {failed[0]}")
    return seconds, marks["points"] - marks["load"]
