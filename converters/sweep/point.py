"""A point: its setting becomes its figures. The one module of the sweep that knows how models are calibrated, quantized and measured."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import RangeMethod, Ranges, Statistics
from converters.calibrate.ranges import measure as measure_tensors
from converters.calibrate.samples import open_samples
from converters.config import Config
from converters.gather import tool_versions
from converters.load import FloatModel, load
from converters.progress import Progress, counted
from converters.quantize.quantize import quantize
from converters.quantize.recipe import Recipe, read_recipe, recipe_names
from converters.report.accuracy import Interval, Metric
from converters.sweep.figures import Accuracy, PointFigures
from converters.verify.evaluate import compare, read_truth
from converters.verify.evaluate import measure as measure_truth
from converters.verify.parity import OutputFigures, compare_outputs
from converters.verify.prove import prove
from converters.verify.settings import EvaluateSettings
from converters.verify.sides import Side, task_for_comparison
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError, ModelError
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe

__all__ = ["NO_RANGES", "RANGE_METHODS", "Recipe", "read_recipe", "recipe_names"]

RANGE_METHODS: tuple[RangeMethod, ...] = get_args(RangeMethod)
NO_RANGES = "none"
_CHANNELS_FIRST = (".onnx", ".pt", ".pth", ".pt2", ".py")
_MOST_DB = 140.0  # 24 bits: what float32 itself resolves
_ONE_AT_A_TIME = threading.Lock()  # opening a model redirects stderr, which threads share


def kind_of(recipe: Recipe) -> str:
    """The kind of variant that a recipe makes; one whose overrides leave operators float makes ``tflite-mixed`` instead."""
    return f"tflite-{recipe.scheme}"


def square(path: Path, size: int, contract: Contract) -> tuple[int, ...]:
    """The input's shape for pictures of ``size`` x ``size``, in the axis order that the model's format has."""
    channels = 1 if contract.colour == "gray" else 3
    first = path.name.partition(":")[0].lower().endswith(_CHANNELS_FIRST)
    return (1, channels, size, size) if first else (1, size, size, channels)


@dataclass(frozen=True)
class Prepared:
    """A float model, loaded and calibrated.

    Attributes:
        model: as ``load`` gave it.
        statistics: of its tensors, or None where no recipe needs ranges.
        warnings: what calibration noticed, one sentence each.
    """

    model: FloatModel
    statistics: Statistics | None
    warnings: tuple[str, ...]

    def ranges(self, recipe: Recipe, method: str) -> Ranges | None:
        """Of its activations, by a method of ``RANGE_METHODS``; None where the recipe needs none."""
        if not recipe.integer or self.statistics is None:
            return None
        known = next(each for each in RANGE_METHODS if each == method)
        return self.statistics.ranges(known, bits=16 if recipe.scheme == "int16x8" else 8)


def prepare(path: Path, shape: tuple[int, ...] | None, told: Config, calibrate: bool, progress: Progress) -> Prepared:
    """Load a model in one shape, and look at its tensors in one pass over the samples, for all range methods.

    Args:
        path, shape: the model and the input's shape that is asked for, None for its own.
        told: everything else.
        calibrate: whether any recipe needs ranges.
        progress: called as the calibration goes on.

    Raises:
        ModelError: if it cannot be loaded, or not in this shape.
        ContractError, ConfigError, DataError: if contract, task or data do not fit.
    """
    options = told.loading if shape is None else told.loading.model_copy(update={"input_shape": shape})
    model = load(path, options)
    side = Side(model.content, told.contract, task_for_comparison(told.task), told.labels)
    found = side.inputs[0].shape
    if shape is not None and sorted(found) != sorted(shape):
        raise ModelError(
            f"{path} has the fixed input shape {found}, and {shape} was asked for; sizes are for models whose shape is free. "
            "Export one model a size and give them all"
        )
    evaluate = told.evaluate
    if evaluate.data is not None:  # said now, and not by every worker
        ends = {"inputs": side.inputs, "outputs": side.outputs}
        read_truth(evaluate.data, told.contract, told.task, told.labels, evaluate, **ends)
    if not calibrate:
        return Prepared(model, None, ())
    samples = open_samples(
        str(told.data.data), shape=found, window=told.contract.window, max_samples=told.data.max_samples
    )
    watch = Watch(told.contract)
    encoder = Encoder(told.contract, side.inputs[0])
    statistics = measure_tensors(
        model.content, watch.over(samples), encoder, counted(progress, "calibrate", len(samples))
    )
    return Prepared(model, statistics, (*watch.notes, *statistics.warnings))


@dataclass(frozen=True)
class Job:
    """What a worker needs beside the float model: it travels with the work. The paths of the data must lead there as well.

    Attributes:
        recipe: how to quantize.
        ranges: of the activations, or None where the recipe needs none.
        contract, task, labels: what the model means.
        compare: samples that float and quantized model are compared on.
        evaluate: data with the right answers, if any, and the metric.
        max_samples: of ``compare``, at most so many.
        versions: of the tools that the sweep was begun with.
    """

    recipe: Recipe
    ranges: Ranges | None
    contract: Contract
    task: TaskSettings
    labels: tuple[str, ...]
    compare: str
    evaluate: EvaluateSettings
    max_samples: int
    versions: dict[str, str]


def measure(content: Array | bytes, job: Job) -> tuple[PointFigures, bytes]:
    """Quantize, prove and compare.

    Args:
        content: the float .tflite; an array is uint8.
        job: the rest.

    Returns:
        The figures and the quantized .tflite.

    Raises:
        NotIntegerError: if an operator cannot be made integer.
        ConfigError: if this worker's tools are of other versions.
        EdgeSdkError: if a step fails.
    """
    if (mine := tool_versions()) != job.versions:
        raise ConfigError(
            f"this worker has {_listed(mine)}; the sweep was begun with {_listed(job.versions)}. Install the same"
        )
    started = time.perf_counter()
    before = bytes(content)
    model = describe(before)
    shape = model.tensors[model.inputs[0]].shape
    made = quantize(before, job.ranges, job.recipe)
    if full_integer := job.recipe.integer and made.kind != "tflite-mixed":
        prove(made.content)
    accuracy, warnings = (
        _evaluated(before, made.content, job) if job.evaluate.data else _compared(before, made.content, job)
    )
    figures = PointFigures(
        kind=made.kind,
        full_integer=full_integer,
        accuracy=accuracy,
        size_bytes=len(made.content),
        float_bytes=len(before),
        shape=shape,
        seconds=time.perf_counter() - started,
        warnings=(*made.notes, *warnings),
    )
    return figures, made.content


def _evaluated(before: bytes, after: bytes, job: Job) -> tuple[Accuracy, tuple[str, ...]]:
    """By the metric that counts."""
    truth = read_truth(str(job.evaluate.data), job.contract, job.task, job.labels, job.evaluate)
    with _ONE_AT_A_TIME:
        sides = [truth.side(content, job.contract, job.task, job.labels) for content in (before, after)]
    metric = compare(*measure_truth(truth, sides))[0]
    return _accuracy(metric, metric.float_value), ()


def _compared(before: bytes, after: bytes, job: Job) -> tuple[Accuracy, tuple[str, ...]]:
    """By its likeness to float: in the task's own terms, or the weakest output's SQNR."""
    with _ONE_AT_A_TIME:
        sides = [Side(each, job.contract, task_for_comparison(job.task), job.labels) for each in (before, after)]
    samples = open_samples(
        job.compare, shape=sides[0].inputs[0].shape, window=job.contract.window, max_samples=job.max_samples
    )
    found = compare_outputs(sides[0], sides[1], job.task, samples)
    metric = found.as_metric()
    return (_sqnr(found) if metric is None else _accuracy(metric, None)), found.warnings


def _accuracy(metric: Metric, float_value: float | None) -> Accuracy:
    return Accuracy(
        name=metric.name,
        unit=metric.unit,
        value=metric.int8_value,
        float_value=float_value,
        interval=_ends(metric.int8_interval),
        higher_is_better=metric.higher_is_better,
    )


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)


def _sqnr(found: OutputFigures) -> Accuracy:
    values = [_decibels(output.sqnr_db, output.max_abs_difference, output.name) for output in found.outputs]
    return Accuracy(name="SQNR", unit="dB", value=min(values))


def _decibels(sqnr_db: float | None, gap: float, name: str) -> float:
    if sqnr_db is None and gap > 0:
        raise ModelError(
            f"output {name!r} of the float model is zero on all samples: there is nothing to compare. Give others"
        )
    return _MOST_DB if sqnr_db is None else min(sqnr_db, _MOST_DB)


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
