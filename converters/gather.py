"""Gathering: what the steps of a conversion found, in the form of the report's figures."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import Statistics
from converters.calibrate.samples import Samples
from converters.load import FloatModel
from converters.quantize.recipe import Recipe
from converters.report.accuracy import Parity
from converters.report.figures import BoardRun, CalibrationFigures, Figures, Latency, OtherVariant, SourceFile
from converters.variant import Assessed
from converters.verify.layers import SAMPLES
from converters.verify.sides import Side
from edge_sdk import __version__
from edge_sdk.profiles import our_boards

_TIMED_RUNS, _TIMED_SECONDS = 30, 1.0
_SLOWER = 1.5  # below that it may be chance


def boards_take(names: Sequence[str]) -> frozenset[str]:
    """Kinds of variant that every one of these boards runs; empty for no board.

    Raises:
        BoardError: if there is no such board.
    """
    with our_boards():
        import boards
    kinds = [frozenset(boards.load(name).variants) for name in names]
    return frozenset.intersection(*kinds) if kinds else frozenset()


def boards_run(names: Sequence[str]) -> frozenset[str]:
    """Kinds of variant that any of these boards runs.

    Raises:
        BoardError: if there is no such board.
    """
    with our_boards():
        import boards
    return frozenset[str]().union(*(boards.load(name).variants for name in names))


_TO_COMPILE = "On its Edge TPU once it is compiled: edge-sdk edgetpu compile."
_UNITS = {"edgetpu": "Edge TPU", "ethos-u": "Ethos-U"}  # where a kind of variant runs, if not on the processor


def board_runs(names: Sequence[str], kinds: Sequence[str], *, to_compile: bool = False) -> tuple[BoardRun, ...]:
    """What each board runs of a bundle with variants of these kinds: the first of its profile's that is there.

    Args:
        names: of the boards.
        kinds: of the variants.
        to_compile: the kind ``edgetpu`` can be added, by Google's compiler.
    """
    with our_boards():
        import boards
    runs = []
    for name in names:
        board = boards.load(name)
        found = next((kind for kind in board.variants if kind in kinds), None)
        if found is not None:
            later = "edgetpu" in board.variants[: board.variants.index(found)]
            note = _TO_COMPILE if later and to_compile else ""
            of_board = board.title if isinstance(board, boards.Accelerator) else "processor"
            runs.append(BoardRun(name=name, variant=found, runs_on=_UNITS.get(found, of_board), note=note))
            continue
        wanted = ", ".join(board.variants)
        note = (
            f"{board.title} runs {wanted}, which this bundle does not hold; its host runs {kinds[0]} on the processor."
        )
        if "edgetpu" in board.variants and to_compile:
            note = f"{_TO_COMPILE} Until then its host runs {kinds[0]} on the processor."
        runs.append(BoardRun(name=name, variant=None, runs_on="nothing yet", note=note))
    return tuple(runs)


def unserved(runs: Sequence[BoardRun]) -> tuple[str, ...]:
    """A warning for each board that the bundle holds nothing for."""
    return tuple(f"Board {run.name}: {run.note}" for run in runs if run.variant is None)


def source_file_of(path: Path, content: bytes) -> SourceFile:
    """The file of a model that needed no loading."""
    return SourceFile(
        name=path.name,
        format="full-integer .tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


def source_file(model: FloatModel) -> SourceFile:
    """The file that the model came from."""
    return SourceFile(
        name=model.file,
        format=model.format,
        route=model.route,
        check=model.check,
        sha256=model.sha256,
        size_bytes=model.size_bytes,
    )


_HOW = {
    "minmax": "true minimum and maximum",
    "percentile": "all but the outermost values",
    "mse": "least squared error of each tensor",
    "auto": "of each tensor, the method of least squared error",
}


def calibration_figures(samples: Samples, statistics: Statistics, recipe: Recipe, watch: Watch) -> CalibrationFigures:
    """What the ranges were taken from."""
    return CalibrationFigures(
        data=samples.description,
        samples=statistics.samples,
        available=samples.available,
        ranges=_HOW[recipe.ranges] if recipe.integer else "none are needed",
        notes=watch.notes,
    )


def parity_figures(assessed: Assessed, compared: Samples, held_out: bool) -> Parity:
    """How the variant differs from the float model."""
    outputs = assessed.outputs
    return Parity(
        data=compared.description,
        held_out=held_out,
        samples=compared.readable,
        layer_samples=min(SAMPLES, compared.readable),
        layers=assessed.layers,
        outputs=outputs.outputs,
        agreement=outputs.agreement,
        detect=outputs.detect,
    )


def other_variant(assessed: Assessed, latency: Latency) -> OtherVariant:
    """A further variant in one row."""
    outputs = assessed.outputs
    return OtherVariant(
        kind=assessed.made.model.kind,
        recipe=assessed.made.recipe.name,
        size_bytes=len(assessed.made.model.content),
        full_integer=assessed.proof.full_integer,
        sqnr_db=min((o.sqnr_db for o in outputs.outputs if o.sqnr_db is not None), default=None),
        agreement=outputs.agreement[:1],
        metric=assessed.evaluation.metrics[0] if assessed.evaluation is not None else None,
        p50_ms=latency.int8_p50_ms,
    )


def measure_latency(before: Side | None, after: Side) -> Latency:
    """Median time of the bare models here, in turn, so that a busy moment meets both; of ``after`` alone where there is no float one."""
    sides = [after] if before is None else [after, before]
    times: list[list[float]] = [[] for _ in sides]
    stop = time.perf_counter() + _TIMED_SECONDS
    while len(times[0]) < _TIMED_RUNS and (not times[0] or time.perf_counter() < stop):
        for side, taken in zip(sides, times, strict=True):
            started = time.perf_counter()
            side.run_engine()
            taken.append((time.perf_counter() - started) * 1000)
    int8_ms, *float_ms = map(median, times)
    return Latency(
        engine=after.description, runs=len(times[0]), float_p50_ms=next(iter(float_ms), None), int8_p50_ms=int8_ms
    )


def with_speed(figures: Figures) -> tuple[str, ...]:
    """The warnings, and one more if int8 is slower here; that is of this machine and run, so it does not go into the bundle."""
    latency = figures.latency
    if latency is None or latency.float_p50_ms is None or latency.int8_p50_ms <= _SLOWER * latency.float_p50_ms:
        return figures.warnings
    slow = (
        f"On this machine int8 is slower than float ({latency.int8_p50_ms:.2f} against {latency.float_p50_ms:.2f} ms): it has no fast "
        "int8 kernel for some operators, such as PRELU. Measure it on the board with edge-sdk bench."
    )
    return (*figures.warnings, slow)


def tool_versions() -> dict[str, str]:
    """Versions of the packages that decide what comes out."""
    packages = ("ai-edge-litert", "numpy", "opencv-python-headless")
    return {"edge-sdk": __version__} | {name: version(name) for name in packages}


def peak_memory_mb() -> float:
    """Largest resident memory so far, of this process or of a framework's, in 10^6 bytes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(each).ru_maxrss for each in who) * 1024 / 1e6  # Linux states it in KiB


def this_machine() -> str:
    """What the conversion runs on, for people."""
    return f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
