"""The conversion from end to end: load, calibrate, quantize, prove, compare, pack, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import Ranges, measure_ranges
from converters.calibrate.samples import Samples, open_samples
from converters.config import Config, read_config
from converters.gather import (
    board_runs,
    calibration_figures,
    measure_latency,
    parity_figures,
    peak_memory_mb,
    proof_figures,
    source_file,
    this_machine,
    tool_versions,
    unserved,
    with_speed,
)
from converters.load import FloatModel, LoadOptions, load
from converters.pack import make_golden, pack
from converters.pictures import sample_pictures
from converters.quantize.int8 import Int8Model, quantize_int8
from converters.report import Figures, write_report
from converters.report.figures import Evaluation, Golden, Histogram, Parity, Step
from converters.verify.evaluate import Truth, evaluate, read_truth
from converters.verify.layers import SAMPLES, compare_layers
from converters.verify.parity import compare_outputs, task_for_comparison
from converters.verify.prove import prove
from converters.verify.sides import Side
from edge_sdk.contract import Contract, Encoder
from edge_sdk.outputs import refuse_existing
from edge_sdk.tasks import TaskSettings

Progress = Callable[[str, int, int], None]
"""Called with the step's name, how much of it is done, and of how much."""

_FLATTERS = (
    "Float and int8 were compared on the calibration samples, which flatters the int8 model; give --holdout DATA."
)


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
    loading: LoadOptions | Mapping[str, object] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ConvertResult:
    """Make a proven full-integer int8 bundle of a trained model.

    Args:
        model: the trained model: ``.keras``, ``.h5``, a SavedModel's folder, ``.onnx``, ``.pt2``, ``.pt``, ``net.py:function`` or a
            float ``.tflite``.
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
        loading: ``LoadOptions``, or keys of it, which go over the keys of ``[load]``: trust, input_shape, signature, timeout_s, memory_mb.
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
        loading=loading.model_dump(exclude_unset=True) if isinstance(loading, LoadOptions) else loading or {},
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
        boards = board_runs(self._boards)
        with self._step("load"):
            model = load(path, told.loading)
            before = self._side(model.content)  # contract and task fit, or it is said now
        data = self._data(before)
        ranges, int8, watch = self._quantize(model, before, data.samples)
        with self._step("prove"):
            proof = proof_figures(model, int8, prove(int8.content))
            after = self._side(int8.content)
        parity, histograms, warnings = self._compare(model, int8, before, after, data)
        evaluation = self._evaluate(data.truth, model, int8)
        with self._step("pack"):
            golden = make_golden(self._golden, int8.content, after, ranges)
            figures = Figures(
                name=model.name,
                source=source_file(model),
                versions=tool_versions(),
                machine=this_machine(),
                float_bytes=len(model.content),
                int8_bytes=len(int8.content),
                contract=told.contract,
                task=told.task,
                labels=told.labels,
                boards=boards,
                calibration=calibration_figures(data.samples, ranges, watch),
                proof=proof,
                parity=parity,
                evaluation=evaluation,
                latency=measure_latency(before, after),
                golden=Golden(count=len(golden.inputs), origin=golden.origin),
                warnings=(*ranges.warnings, *warnings, *unserved(boards)),
                sample_pictures=sample_pictures(data.compared.spread(3), told.contract, before.inputs[0]),
                histograms=histograms,
            )
            pack(paths[0], figures=figures, int8=int8.content, golden=golden, boards=self._boards, overwrite=overwrite)
        of_this_run = {"steps": tuple(self._steps), "peak_memory_mb": peak_memory_mb(), "warnings": with_speed(figures)}
        figures = figures.model_copy(update=of_this_run)
        write_report(figures, paths[1], paths[2], overwrite=overwrite)
        return ConvertResult(*paths, figures)

    def _side(self, content: bytes) -> Side:
        return Side(content, self._told.contract, task_for_comparison(self._told.task), self._told.labels)

    def _data(self, before: Side) -> _Data:
        told, shape = self._told.data, before.inputs[0].shape
        samples = open_samples(str(told.data), shape=shape, max_samples=told.max_samples)
        held_out = (
            None if told.holdout is None else open_samples(told.holdout, shape=shape, max_samples=told.max_samples)
        )
        truth = None
        if told.evaluate is not None:
            truth = read_truth(told.evaluate, self._told.contract, self._told.task, self._told.labels)
        return _Data(samples, held_out, truth)

    def _quantize(self, model: FloatModel, before: Side, samples: Samples) -> tuple[Ranges, Int8Model, Watch]:
        watch = Watch()
        with self._step("calibrate"):
            encoder = Encoder(self._told.contract, before.inputs[0])
            ranges = measure_ranges(model.content, watch.over(samples), encoder, self._count("calibrate", len(samples)))
        with self._step("quantize"):
            return ranges, quantize_int8(model.content, ranges), watch

    def _compare(
        self, model: FloatModel, int8: Int8Model, before: Side, after: Side, data: _Data
    ) -> tuple[Parity, tuple[Histogram, ...], tuple[str, ...]]:
        told, compared = self._told, data.compared
        with self._step("compare"):
            layers, histograms = compare_layers(model.content, int8.content, told.contract, compared.spread(SAMPLES))
            outputs = compare_outputs(before, after, told.task, compared, self._count("compare", len(compared)))
        parity = parity_figures(outputs, compared, data.held_out is not None, layers)
        warnings = outputs.warnings if data.held_out is not None else (*outputs.warnings, _FLATTERS)
        return parity, histograms, warnings

    def _evaluate(self, truth: Truth | None, model: FloatModel, int8: Int8Model) -> Evaluation | None:
        if truth is None:
            return None
        told = self._told
        with self._step("evaluate"):
            return evaluate(truth, (model.content, int8.content), told.contract, told.task, told.labels, self._progress)

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


@dataclass(frozen=True)
class _Data:
    """The samples to calibrate on, those kept apart or None, and the ground truth or None."""

    samples: Samples
    held_out: Samples | None
    truth: Truth | None

    @property
    def compared(self) -> Samples:
        """What float and int8 are compared on."""
        return self.samples if self.held_out is None else self.held_out


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
