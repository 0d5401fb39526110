"""Gathering: what the steps of a conversion found, in the form of the report's figures."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import Ranges
from converters.calibrate.samples import Samples
from converters.load import FloatModel
from converters.pack import KIND
from converters.quantize.int8 import Int8Model
from converters.report.figures import BoardRun, CalibrationFigures, Figures, Latency, Layer, Parity, Proof, SourceFile
from converters.verify.layers import SAMPLES
from converters.verify.parity import OutputFigures
from converters.verify.prove import Proven
from converters.verify.sides import Side
from edge_sdk import __version__
from edge_sdk.profiles import our_boards

_TIMED_RUNS, _TIMED_SECONDS = 30, 1.0
_SLOWER = 1.5  # below that it may be chance


def board_runs(names: Sequence[str]) -> tuple[BoardRun, ...]:
    """What each board runs of a bundle with the int8 variant.

    Raises:
        BoardError: if there is no such board.
    """
    with our_boards():
        import boards
    runs = []
    for name in names:
        board = boards.load(name)
        if KIND in board.variants:
            runs.append(BoardRun(name=name, variant=KIND))
            continue
        wanted = ", ".join(board.variants)
        note = f"{board.title} runs {wanted}, which this bundle does not hold; its host runs {KIND} on the processor."
        runs.append(BoardRun(name=name, variant=None, runs_on="nothing yet", note=note))
    return tuple(runs)


def unserved(runs: Sequence[BoardRun]) -> tuple[str, ...]:
    """A warning for each board that the bundle holds nothing for."""
    return tuple(f"Board {run.name}: {run.note}" for run in runs if run.variant is None)


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


def proof_figures(model: FloatModel, int8: Int8Model, proven: Proven) -> Proof:
    """The proof, and what was done to the graph to get there."""
    return Proof(
        full_integer=True,
        operators=proven.operators,
        inputs=proven.inputs,
        outputs=proven.outputs,
        islands=int8.islands,
        float16_weights_folded=model.float16_weights_folded,
        notes=model.notes,
    )


def calibration_figures(samples: Samples, ranges: Ranges, watch: Watch) -> CalibrationFigures:
    """What the ranges were taken from."""
    return CalibrationFigures(
        data=samples.description,
        samples=ranges.samples,
        available=samples.available,
        ranges="true minimum and maximum",
        notes=watch.notes,
    )


def parity_figures(outputs: OutputFigures, compared: Samples, held_out: bool, layers: tuple[Layer, ...]) -> Parity:
    """How the int8 model differs from the float one."""
    return Parity(
        data=compared.description,
        held_out=held_out,
        samples=len(compared),
        layer_samples=min(SAMPLES, len(compared)),
        layers=layers,
        outputs=outputs.outputs,
        agreement=outputs.agreement,
        detect=outputs.detect,
    )


def measure_latency(before: Side, after: Side) -> Latency:
    """Median time of the bare models here, in turn, so that a busy moment meets both."""
    times: tuple[list[float], list[float]] = ([], [])
    stop = time.perf_counter() + _TIMED_SECONDS
    while len(times[0]) < _TIMED_RUNS and (not times[0] or time.perf_counter() < stop):
        for side, taken in zip((before, after), times, strict=True):
            started = time.perf_counter()
            side.run_engine()
            taken.append((time.perf_counter() - started) * 1000)
    return Latency(
        engine=after.description, runs=len(times[0]), float_p50_ms=median(times[0]), int8_p50_ms=median(times[1])
    )


def with_speed(figures: Figures) -> tuple[str, ...]:
    """The warnings, and one more if int8 is slower here; that is of this machine and run, so it does not go into the bundle."""
    latency = figures.latency
    if latency is None or latency.int8_p50_ms <= _SLOWER * latency.float_p50_ms:
        return figures.warnings
    slow = (
        f"On this machine int8 is slower than float ({latency.int8_p50_ms:.2f} against {latency.float_p50_ms:.2f} ms): it has no fast "
        "int8 kernel for some operators, such as PRELU. Measure it on the board with edge-sdk bench."
    )
    return (*figures.warnings, slow)


def tool_versions() -> dict[str, str]:
    """Versions of the packages that decide what comes out."""
    packages = ("ai-edge-litert", "litert-quantizer", "numpy", "opencv-python-headless")
    return {"edge-sdk": __version__} | {name: version(name) for name in packages}


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux states it in KiB


def this_machine() -> str:
    """What the conversion runs on, for people."""
    return f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
