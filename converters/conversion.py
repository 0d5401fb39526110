"""The conversion from end to end: load, calibrate, quantize, prove, compare, repair, pack, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import Statistics, measure
from converters.calibrate.response import check_contract
from converters.calibrate.samples import Samples, open_samples
from converters.calibrate.statistics import RangeMethod
from converters.config import Config, read_config
from converters.gather import (
    board_runs,
    boards_take,
    calibration_figures,
    measure_latency,
    other_variant,
    parity_figures,
    peak_memory_mb,
    source_file,
    this_machine,
    tool_versions,
    unserved,
    with_speed,
)
from converters.load import FloatModel, LoadOptions, load
from converters.mending import Mending, wanted
from converters.pack import Packed, RawInputs, packing, raw_inputs
from converters.pictures import sample_pictures
from converters.progress import Progress, counted, quiet
from converters.quantize.quantize import quantize
from converters.quantize.recipe import Recipe
from converters.ready import ReadyModel, make_ready, read_ready, refuse_settings
from converters.report import Figures, writing_report
from converters.report.accuracy import Gate
from converters.report.figures import Golden, Step
from converters.report.repair_figures import Repair
from converters.targets.edgetpu.step import has_edgetpu, plan_and_compile
from converters.targets.made import Material, Targets, TargetVariant
from converters.targets.step import make_targets, with_targets
from converters.variant import Assessed, Bench, Made
from converters.verify.evaluate import Truth, read_truth
from converters.verify.gate import decide_without_labels, require
from converters.verify.judges import few_for, measured_task
from converters.verify.sides import Side, task_for_comparison
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError
from edge_sdk.outputs import refuse_existing
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import Array

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
    recipes: str | Path | Sequence[str | Path] = (),
    ranges: RangeMethod | None = None,
    metric: str | None = None,
    max_drop: str | None = None,
    budget: str | None = None,
    repair: bool | None = None,
    loading: LoadOptions | Mapping[str, object] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ConvertResult:
    """Make a proven bundle of a trained model.

    Args:
        model: the trained model: ``.keras``, ``.h5``, a SavedModel's folder, ``.onnx``, ``.pt2``, ``.pt``, ``net.py:function`` or a
            ``.tflite``, float or full-integer already; the latter is proven and packed as it is.
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
        recipes: how it is quantized, by name or .toml file; each makes a variant. The first is gated and repaired. Default: int8.
        ranges: how the ranges of activations are chosen: minmax, percentile, mse or auto; default as the recipe says.
        metric: what counts on ``evaluate``; default the task's own.
        max_drop: the largest drop of the metric allowed, such as ``"1%"``; a proven larger one, which repair could not undo, is an error.
        budget: how long repair may take, such as ``"90s"`` or ``"10m"`` (default).
        repair: whether a variant that fails the gate or has an outlier among its layers is repaired. Default: yes.
        loading: ``LoadOptions``, or keys of it, which go over the keys of ``[load]``: trust, input_shape, signature, timeout_s, memory_mb.
        overwrite: replace outputs that exist.
        progress: called as the work goes on.

    Raises:
        GateError: if the drop is proven larger than ``max_drop``; the report was written, and no bundle.
        NotIntegerError: if an operator cannot be made integer; the message names it.
        ModelError, DataError, ConfigError, ContractError, BoardError: if what was given cannot be used.
        OutputError: if an output exists or cannot be written; nothing was changed then.
    """
    paths = _output_paths(Path(output))
    for path in paths:
        refuse_existing(path, overwrite=overwrite)
    ready = read_ready(Path(model))
    told = read_config(
        Path(model),
        Path(config) if config is not None else None,
        contract=_keys(contract),
        task={"kind": task} if isinstance(task, str) else _keys(task),
        labels=Path(labels) if labels is not None else None,
        data=_given(data=calibrate, holdout=holdout, max_samples=max_samples),
        loading=loading.model_dump(exclude_unset=True) if isinstance(loading, LoadOptions) else loading or {},
        quantize=_given(recipe=_recipes(recipes), ranges=ranges),
        evaluate=_given(data=evaluate, metric=metric),
        gate=_given(max_drop=max_drop, budget=budget, repair=repair),
        needs_data=ready is None,
    )
    work = _Work(told, tuple(boards), str(golden) if golden is not None else None, progress or quiet)
    if ready is not None:
        refuse_settings(told, ready.path.name)
        return work.run_ready(ready, paths, overwrite=overwrite)
    if told.contract.features is not None and told.contract.features.kind == "micro-frontend":
        raise ConfigError(
            "features of kind micro-frontend go on from one window to the next, as calibration does not. Models that take them are "
            "quantized where they are trained: give the full-integer .tflite, which is packed as it is"
        )
    if told.max_drop is not None and told.evaluate.data is None and told.task.kind == "raw":
        decide_without_labels(told.max_drop, None)  # says what is missing, before any work
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
        take = boards_take(self._boards)
        with self._step("load"):
            model = load(path, told.loading)
            before = self._side(model.content)  # contract and task fit, or it is said now
        data = self._data(before)
        bench = Bench(told, model.content, before, data.compared, data.truth)
        statistics, watch = self._calibrate(model, before, data.samples)
        fit = self._check_contract(model, data)
        first, repaired = self._primary(bench, model, statistics, data.samples, take)
        others = [self._assess(bench, self._make(bench, statistics, recipe), model) for recipe in told.recipes[1:]]
        found = _Found(model, before, data, statistics, watch, fit, (first, *others), repaired)
        with self._step("pack"):
            ranges, entry = statistics.ranges(first.made.recipe.ranges), before.inputs[0].name
            raw = raw_inputs(self._golden, before, (ranges.minima[entry], ranges.maxima[entry]), data.samples)
            packed = [
                Packed.of(each, raw.inputs, measured_task(told.task, each.outputs.threshold)) for each in found.variants
            ]
        targets = self._targets(bench, found, raw.inputs)
        with self._step("figures"):
            said = Golden(count=len(raw.inputs), origin=f"{raw.origin}; {packed[0].golden.said}")
            figures = with_targets(self._figures(found, said), targets, self._boards)
        return self._write(figures, packed, raw, paths, targets.variants, overwrite=overwrite)

    def run_ready(self, model: ReadyModel, paths: tuple[Path, Path, Path], *, overwrite: bool) -> ConvertResult:
        """A model that came full-integer."""
        made = make_ready(model, self._told, self._golden, self._boards, self._step, self._progress)
        targets = make_targets(made.integer, self._step, self._progress)
        figures = with_targets(made.figures, targets, self._boards)
        return self._write(figures, [made.packed], made.raw, paths, targets.variants, overwrite=overwrite)

    def _write(
        self,
        figures: Figures,
        packed: Sequence[Packed],
        raw: RawInputs,
        paths: tuple[Path, Path, Path],
        targets: Sequence[TargetVariant] = (),
        *,
        overwrite: bool,
    ) -> ConvertResult:
        """The bundle, unless the gate failed, and the report."""
        with ExitStack() as whole:  # bundle and report take their places together, the bundle last
            if not _refused(figures):
                boards = self._boards
                if has_edgetpu(boards):
                    with self._step("edge tpu"):
                        figures, packed = plan_and_compile(figures, packed, boards, paths[0].name)
                with self._step("write"):
                    whole.enter_context(
                        packing(paths[0], figures, packed, raw.inputs, boards, targets, overwrite=overwrite)
                    )
            of_this_run = {
                "steps": tuple(self._steps),
                "peak_memory_mb": peak_memory_mb(),
                "warnings": with_speed(figures),
            }
            figures = figures.model_copy(update=of_this_run)
            with self._step("report"):
                whole.enter_context(writing_report(figures, paths[1], paths[2], overwrite=overwrite))
        figures = figures.model_copy(update={"steps": tuple(self._steps)})
        for gate in _gates(figures):
            require(gate, paths[1])
        return ConvertResult(*paths, figures)

    def _targets(self, bench: Bench, found: _Found, inputs: Sequence[Array]) -> Targets:
        material = Material(
            bench, found.statistics, found.data.samples, found.variants[0].made, tuple(inputs), self._boards
        )
        return make_targets(material, self._step, self._progress)

    def _side(self, content: bytes) -> Side:
        return Side(content, self._told.contract, task_for_comparison(self._told.task), self._told.labels)

    def _data(self, before: Side) -> _Data:
        told = self._told.data
        opened = partial(
            open_samples,
            shape=before.inputs[0].shape,
            window=self._told.contract.window,
            max_samples=told.max_samples,
        )
        samples = opened(str(told.data))
        held_out = None if told.holdout is None else opened(told.holdout)
        truth, evaluate = None, self._told.evaluate
        if evaluate.data is not None:
            truth = read_truth(
                evaluate.data,
                self._told.contract,
                self._told.task,
                self._told.labels,
                evaluate,
                inputs=before.inputs,
                outputs=before.outputs,
            )
        return _Data(samples, held_out, truth)

    def _calibrate(self, model: FloatModel, before: Side, samples: Samples) -> tuple[Statistics, Watch]:
        watch = Watch(self._told.contract)
        with self._step("calibrate"):
            encoder = Encoder(self._told.contract, before.inputs[0])
            progress = counted(self._progress, "calibrate", len(samples))
            return measure(model.content, watch.over(samples), encoder, progress), watch

    def _check_contract(self, model: FloatModel, data: _Data) -> tuple[str, ...]:
        with self._step("check contract"):
            return check_contract(model.content, self._told.contract, self._told.task, data.compared)

    def _primary(
        self, bench: Bench, model: FloatModel, statistics: Statistics, samples: Samples, take: frozenset[str]
    ) -> tuple[Assessed, Repair | None]:
        """The first recipe's variant, repaired where it must be."""
        assessed = self._assess(bench, self._make(bench, statistics, self._told.recipes[0]), model)
        why = wanted(assessed, bench) if self._told.repair else None
        if why is None:
            return assessed, None
        with self._step("repair"):
            mending = Mending(bench, samples, statistics, take)
            made, done = mending.run(assessed, lambda action: self._progress(f"repair: {action}", 0, 1))
        figures = done.figures.model_copy(update={"reason": why})
        if made is assessed.made:
            return assessed, figures
        return self._assess(bench, made, model), figures

    def _make(self, bench: Bench, statistics: Statistics, recipe: Recipe) -> Made:
        content = bench.float_content
        with self._step(f"quantize {recipe.name}"):
            bits = 16 if recipe.scheme == "int16x8" else 8
            ranges = statistics.ranges(recipe.ranges, bits=bits) if recipe.integer else None
            done = quantize(content, ranges, recipe)
            return Made(recipe, done, content, bench.side(done.content))

    def _assess(self, bench: Bench, made: Made, model: FloatModel) -> Assessed:
        with self._step(f"prove {made.recipe.name}"):
            return bench.assess(made, model.float16_weights_folded, model.notes, self._progress)

    def _figures(self, found: _Found, golden: Golden) -> Figures:
        told, data, (first, *others) = self._told, found.data, found.variants
        latencies = [measure_latency(found.before, each.made.side) for each in found.variants]
        runs = board_runs(self._boards, tuple(each.made.model.kind for each in found.variants))
        flatters: tuple[str, ...] = () if data.held_out is not None else (_FLATTERS,)
        if data.held_out is not None and (passed_over := data.held_out.passed_over) is not None:
            flatters = (f"Of --holdout, {passed_over}",)
        few = few_for(told.task, len(data.compared))
        return Figures(
            name=found.model.name,
            kind=first.made.model.kind,
            recipe=first.made.recipe.name,
            source=source_file(found.model),
            versions=tool_versions(),
            machine=this_machine(),
            float_bytes=len(found.model.content),
            int8_bytes=len(first.made.model.content),
            contract=told.contract,
            task=measured_task(told.task, first.outputs.threshold),
            labels=told.labels,
            boards=runs,
            calibration=calibration_figures(data.samples, found.statistics, first.made.recipe, found.watch),
            proof=first.proof,
            parity=parity_figures(first, data.compared, data.held_out is not None),
            evaluation=first.evaluation,
            gate=first.gate,
            repair=found.repaired,
            variants=tuple(map(other_variant, others, latencies[1:])),
            latency=latencies[0],
            golden=golden,
            warnings=(
                *found.fit,
                *found.statistics.warnings,
                *first.outputs.warnings,
                *flatters,
                *few,
                *unserved(runs),
            ),
            sample_pictures=sample_pictures(data.compared.spread(3), told.contract, found.before.inputs[0]),
            histograms=first.histograms,
        )

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


@dataclass(frozen=True)
class _Found:
    """What the steps found: the float model, loaded and ready to run; how the data went; every variant, the gated one first."""

    model: FloatModel
    before: Side
    data: _Data
    statistics: Statistics
    watch: Watch
    fit: tuple[str, ...]
    variants: tuple[Assessed, ...]
    repaired: Repair | None


def _gates(figures: Figures) -> tuple[Gate, ...]:
    """Of the first variant and of every target's."""
    return tuple(gate for gate in (figures.gate, *(made.gate for made in figures.targets)) if gate is not None)


def _refused(figures: Figures) -> bool:
    return any(gate.verdict == "failed" for gate in _gates(figures))


def _output_paths(output: Path) -> tuple[Path, Path, Path]:
    return output, output.with_name(f"{output.stem}.report.html"), output.with_name(f"{output.stem}.report.json")


def _recipes(recipes: str | Path | Sequence[str | Path]) -> list[str] | None:
    """Names as they are, files by their whole path: those of a model.toml are relative to its folder."""
    given = [recipes] if isinstance(recipes, str | Path) else list(recipes)
    return [str(Path(each).resolve()) if Path(each).suffix == ".toml" else str(each) for each in given] or None


def _keys(settings: Contract | TaskSettings | Mapping[str, object] | None) -> Mapping[str, object]:
    if settings is None:
        return {}
    return settings if isinstance(settings, Mapping) else settings.model_dump(exclude_none=True)


def _given(**keys: object) -> dict[str, object]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in keys.items() if value is not None}
