"""The conversion from end to end: load, calibrate, quantize, prove, compare, pack, report."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import Ranges, measure_ranges
from converters.calibrate.samples import Samples, open_samples
from converters.config import Config, read_config
from converters.load import FloatModel, load
from converters.pack import KIND, make_golden, pack
from converters.pictures import sample_pictures
from converters.quantize.int8 import Int8Model, quantize_int8
from converters.report import Figures, write_report
from converters.report.figures import (
    BoardRun,
    CalibrationFigures,
    Evaluation,
    Golden,
    Latency,
    Layer,
    Parity,
    Proof,
    SourceFile,
    Step,
)
from converters.verify.evaluate import Truth, evaluate, read_truth
from converters.verify.layers import SAMPLES, compare_layers
from converters.verify.parity import OutputFigures, compare_outputs, task_for_comparison
from converters.verify.prove import prove, tensor_specs
from converters.verify.sides import Side
from edge_sdk import __version__
from edge_sdk.contract import Contract, Encoder
from edge_sdk.outputs import refuse_existing
from edge_sdk.tasks import TaskSettings

Progress = Callable[[str, int, int], None]
"""Called with the step's name, how much of it is done, and of how much."""

_TIMED_RUNS, _TIMED_SECONDS = 30, 1.0


@dataclass(frozen=True)
class ConvertResult:
    """What a conversion made.

    Attributes:
        bundle: the ``.edge`` file.
        html, json: the report beside it.
        figures: everything that was measured.
    """

    bundle: Path
    html: Path
    json: Path
    figures: Figures


def convert(
    model: str | Path,
    *,
    output: str | Path,
    calibrate: str | Path | None = None,
    config: str | Path | None = None,
    contract: Contract | Mapping[str, object] | None = None,
    task: TaskSettings | Mapping[str, object] | str | None = None,
    labels: str | Path | None = None,
    boards: Sequence[str] = (),
    evaluate: str | Path | None = None,
    holdout: str | Path | None = None,
    golden: str | Path | None = None,
    max_samples: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ConvertResult:
    """Make a proven full-integer int8 bundle of a trained model.

    Args:
        model: a float ``.tflite`` file.
        output: the bundle to write; the report goes beside it (``NAME.report.html``, ``NAME.report.json``).
        calibrate: samples as the model will meet them: a folder of images, a video (``clip.mp4?start=0&stop=60``), .npy, .npz, .csv.
        config: a model.toml; without it, the .toml of the model's own name beside it if there is one.
        contract: how raw input becomes the input tensor, or keys that override those of ``[contract]``.
        task: what the outputs mean: settings, a kind, or keys that override those of ``[task]``.
        labels: a file with one class name a line.
        boards: names of the boards it is for; see ``edge-sdk boards``.
        evaluate: data with the right answers.
        holdout: samples kept apart from ``calibrate`` to compare float and int8 on.
        golden: samples to store as golden vectors instead of made-up ones. They travel to every device.
        max_samples: at most so many samples of ``calibrate`` and of ``holdout`` (default 200), evenly spaced.
        overwrite: replace outputs that exist.
        progress: called as the work goes on.

    Raises:
        NotIntegerError: if an operator cannot be made integer; the message names it.
        ModelError, DataError, ConfigError, ContractError, BoardError: if what was given cannot be used.
        OutputError: if an output exists or cannot be written; nothing was changed then.
    """
    paths = _output_paths(Path(output))
    for path in paths:
        refuse_existing(path, overwrite=overwrite)
    told = read_config(
        Path(model),
        Path(config) if config is not None else None,
        contract=_keys(contract),
        task={"kind": task} if isinstance(task, str) else _keys(task),
        labels=Path(labels) if labels is not None else None,
        data=_given(data=calibrate, holdout=holdout, evaluate=evaluate, max_samples=max_samples),
    )
    work = _Work(told, tuple(boards), str(golden) if golden is not None else None, progress or _quiet)
    return work.run(Path(model), paths, overwrite=overwrite)


class _Work:
    """One conversion; keeps the time of its steps."""

    def __init__(self, told: Config, boards: tuple[str, ...], golden: str | None, progress: Progress) -> None:
        self._told = told
        self._boards = boards
        self._golden = golden
        self._progress = progress
        self._steps: list[Step] = []

    def run(self, path: Path, paths: tuple[Path, Path, Path], *, overwrite: bool) -> ConvertResult:
        told = self._told
        boards = _board_runs(self._boards)
        with self._step("load"):
            model = load(path)
            before = self._side(model.content)  # contract and task fit, or it is said now
        samples, held_out = self._samples(model)
        where = told.data.evaluate
        truth = read_truth(where, told.contract, told.task, told.labels) if where is not None else None
        with self._step("calibrate"):
            watch = Watch()
            ranges = measure_ranges(
                model.content,
                watch.over(samples),
                Encoder(told.contract, before.inputs[0]),
                self._count("calibrate", len(samples)),
            )
        with self._step("quantize"):
            int8 = quantize_int8(model.content, ranges)
        with self._step("prove"):
            proof = _proof(model, int8)
            after = self._side(int8.content)
        compared = held_out if held_out is not None else samples
        with self._step("compare"):
            layers, histograms = compare_layers(model.content, int8.content, told.contract, compared.spread(SAMPLES))
            outputs = compare_outputs(before, after, told.task, compared, self._count("compare", len(compared)))
            parity = _parity(outputs, compared, held_out is not None, layers)
        evaluation = self._evaluate(truth, model, int8)
        with self._step("pack"):
            golden = make_golden(self._golden, after, ranges)
            latency = _latency(before, after)
            figures = Figures(
                name=model.name,
                source=SourceFile(
                    name=model.file, format=model.format, sha256=model.sha256, size_bytes=model.size_bytes
                ),
                versions=_versions(),
                machine=f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
                float_bytes=len(model.content),
                int8_bytes=len(int8.content),
                contract=told.contract,
                task=told.task,
                labels=told.labels,
                boards=boards,
                calibration=_calibration(samples, ranges, watch),
                proof=proof,
                parity=parity,
                evaluation=evaluation,
                latency=latency,
                golden=Golden(count=len(golden.inputs), origin=golden.origin),
                warnings=self._warnings(ranges, outputs, held_out is not None),
                sample_pictures=sample_pictures(compared.spread(3), told.contract, before.inputs[0]),
                histograms=histograms,
            )
            pack(paths[0], figures=figures, int8=int8.content, golden=golden, boards=self._boards, overwrite=overwrite)
        figures = figures.model_copy(update={"steps": tuple(self._steps), "peak_memory_mb": _peak_memory_mb()})
        write_report(figures, paths[1], paths[2], overwrite=overwrite)
        return ConvertResult(*paths, figures)

    def _side(self, content: bytes) -> Side:
        return Side(content, self._told.contract, task_for_comparison(self._told.task), self._told.labels)

    def _samples(self, model: FloatModel) -> tuple[Samples, Samples | None]:
        data = self._told.data
        shape = tensor_specs(model.content)[0][0].shape
        samples = open_samples(str(data.data), shape=shape, max_samples=data.max_samples)
        if data.holdout is None:
            return samples, None
        return samples, open_samples(data.holdout, shape=shape, max_samples=data.max_samples)

    def _evaluate(self, truth: Truth | None, model: FloatModel, int8: Int8Model) -> Evaluation | None:
        if truth is None:
            return None
        told = self._told
        with self._step("evaluate"):
            return evaluate(truth, (model.content, int8.content), told.contract, told.task, told.labels, self._progress)

    def _warnings(self, ranges: Ranges, outputs: OutputFigures, held_out: bool) -> tuple[str, ...]:
        warnings = [*ranges.warnings, *outputs.warnings]
        if not held_out:
            warnings.append(
                "Float and int8 were compared on the calibration samples, which flatters the int8 model; give --holdout DATA."
            )
        return tuple(warnings)

    def _count(self, name: str, total: int) -> Callable[[], None]:
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            self._progress(name, done, total)

        return one_more

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._progress(name, 0, 1)
        started = time.perf_counter()
        yield
        self._steps.append(Step(name=name, seconds=time.perf_counter() - started))
        self._progress(name, 1, 1)


def _output_paths(output: Path) -> tuple[Path, Path, Path]:
    return output, output.with_name(f"{output.stem}.report.html"), output.with_name(f"{output.stem}.report.json")


def _keys(settings: Contract | TaskSettings | Mapping[str, object] | None) -> Mapping[str, object]:
    if settings is None:
        return {}
    return settings if isinstance(settings, Mapping) else settings.model_dump(exclude_none=True)


def _given(**keys: str | Path | int | None) -> dict[str, object]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in keys.items() if value is not None}


def _quiet(step: str, done: int, total: int) -> None:
    pass


def _board_runs(names: Sequence[str]) -> tuple[BoardRun, ...]:
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


def _proof(model: FloatModel, int8: Int8Model) -> Proof:
    proven = prove(int8.content)
    return Proof(
        full_integer=True,
        operators=proven.operators,
        inputs=proven.inputs,
        outputs=proven.outputs,
        islands=int8.islands,
        float16_weights_folded=model.float16_weights_folded,
        notes=model.notes,
    )


def _calibration(samples: Samples, ranges: Ranges, watch: Watch) -> CalibrationFigures:
    return CalibrationFigures(
        data=samples.description,
        samples=ranges.samples,
        available=samples.available,
        ranges="true minimum and maximum",
        notes=watch.notes,
    )


def _parity(outputs: OutputFigures, compared: Samples, held_out: bool, layers: tuple[Layer, ...]) -> Parity:
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


def _latency(before: Side, after: Side) -> Latency:
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


def _versions() -> dict[str, str]:
    packages = ("ai-edge-litert", "litert-quantizer", "numpy", "opencv-python-headless")
    return {"edge-sdk": __version__} | {name: version(name) for name in packages}


def _peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux states it in KiB
