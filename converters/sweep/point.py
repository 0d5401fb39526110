"""A point: its setting becomes its figures. The one module of the sweep that knows how models are calibrated, quantized and measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.calibrate.checks import Watch
from converters.calibrate.ranges import Ranges, measure_ranges
from converters.calibrate.samples import open_samples
from converters.config import Config
from converters.gather import tool_versions
from converters.load import FloatModel, load
from converters.progress import quiet
from converters.quantize.int8 import quantize_int8
from converters.sweep.figures import Accuracy, PointFigures
from converters.verify.evaluate import evaluate, read_truth
from converters.verify.parity import OutputFigures, compare_outputs, task_for_comparison
from converters.verify.prove import prove
from converters.verify.sides import Side
from edge_sdk.contract import Contract, Encoder
from edge_sdk.engines.litert import quiet_native_stderr
from edge_sdk.errors import ConfigError, ModelError
from edge_sdk.tasks import ClassifySettings, DetectSettings, TaskSettings
from edge_sdk.tensors import Array

RANGE_METHODS = ("minmax",)
NO_RANGES = "none"
_CHANNELS_FIRST = (".onnx", ".pt", ".pth", ".pt2", ".py")
_MOST_DB = 140.0  # 24 bits: what float32 itself resolves
_ONE_AT_A_TIME = threading.Lock()  # making models redirects stderr, which threads share


@dataclass(frozen=True)
class Recipe:
    """How a model is quantized: its name, the kind of variant it makes, and whether it needs ranges."""

    name: str
    kind: str = "tflite-int8"
    integer: bool = True


_RECIPES = {"int8": Recipe("int8")}


def recipe_names() -> tuple[str, ...]:
    """Every named recipe."""
    return tuple(sorted(_RECIPES))


def read_recipe(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ConfigError: if there is none.
    """
    if name not in _RECIPES:
        raise ConfigError(f"no recipe {name!r}. There are {', '.join(recipe_names())}")
    return _RECIPES[name]


def recipe_content(recipe: Recipe) -> str:
    """All that a recipe says, as one text."""
    return repr(recipe)


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
        ranges: by range method.
        calibration: what they were taken from.
        warnings: what calibration noticed, one sentence each.
    """

    model: FloatModel
    ranges: dict[str, Ranges]
    calibration: str
    warnings: tuple[str, ...]


def prepare(
    path: Path,
    shape: tuple[int, ...] | None,
    told: Config,
    methods: Sequence[str],
    progress: Callable[[int, int], None],
) -> Prepared:
    """Load a model in one shape, and take the ranges of its tensors, in one pass for all methods.

    Args:
        path, shape: the model and the input's shape that is asked for, None for its own.
        told: everything else.
        methods: range methods; none where no recipe needs ranges.
        progress: called with the samples done, and of how many.

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
    samples = open_samples(str(told.data.data), shape=found, max_samples=told.data.max_samples)
    if not methods:
        return Prepared(model, {}, samples.description, ())
    watch, done = Watch(), 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(done, len(samples))

    ranges = measure_ranges(model.content, watch.over(samples), Encoder(told.contract, side.inputs[0]), one_more)
    return Prepared(model, dict.fromkeys(methods, ranges), samples.description, (*watch.notes, *ranges.warnings))


@dataclass(frozen=True)
class Job:
    """What a worker needs beside the float model: it travels with the work. The paths of the data must lead there as well.

    Attributes:
        recipe: how to quantize.
        ranges: of the activations, or None where the recipe needs none.
        contract, task, labels: what the model means.
        compare: samples that float and quantized model are compared on.
        evaluate: data with the right answers, or None.
        max_samples: of ``compare``, at most so many.
        versions: of the tools that the sweep was begun with.
    """

    recipe: Recipe
    ranges: Ranges | None
    contract: Contract
    task: TaskSettings
    labels: tuple[str, ...]
    compare: str
    evaluate: str | None
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
    with _ONE_AT_A_TIME:
        after = _quantize(before, job)
        if job.recipe.integer:
            prove(after)
        sides = [Side(each, job.contract, task_for_comparison(job.task), job.labels) for each in (before, after)]
    accuracy, warnings = _accuracy((before, after), (sides[0], sides[1]), job)
    figures = PointFigures(
        kind=job.recipe.kind,
        full_integer=job.recipe.integer,
        accuracy=accuracy,
        size_bytes=len(after),
        float_bytes=len(before),
        shape=sides[0].inputs[0].shape,
        seconds=time.perf_counter() - started,
        warnings=warnings,
    )
    return figures, after


def _quantize(content: bytes, job: Job) -> bytes:
    if job.ranges is None:
        raise ConfigError(f"recipe {job.recipe.name!r} needs calibration data")
    with quiet_native_stderr():
        return quantize_int8(content, job.ranges).content


def _accuracy(models: tuple[bytes, bytes], sides: tuple[Side, Side], job: Job) -> tuple[Accuracy, tuple[str, ...]]:
    if job.evaluate is not None:
        truth = read_truth(job.evaluate, job.contract, job.task, job.labels)
        metric = evaluate(truth, models, job.contract, job.task, job.labels, quiet).metrics[0]
        return Accuracy(name=metric.name, unit=metric.unit, value=metric.int8_value, float_value=metric.float_value), ()
    samples = open_samples(job.compare, shape=sides[0].inputs[0].shape, max_samples=job.max_samples)
    found = compare_outputs(*sides, job.task, samples)
    return _agreement(found, job.task), found.warnings


def _agreement(found: OutputFigures, task: TaskSettings) -> Accuracy:
    """Like float: the best class, the boxes, or the weakest output's SQNR."""
    if isinstance(task, ClassifySettings):
        return Accuracy(name="top-1 agreement", unit="%", value=found.agreement[0].value)
    if isinstance(task, DetectSettings):
        boxes = next(figure.value for figure in found.agreement if figure.name == "boxes float")
        if found.detect is None or not boxes:
            raise ModelError("the float model finds no object in the samples: there is nothing to compare. Give others")
        return Accuracy(name="box agreement", unit="%", value=100 * float(np.sum(found.detect.ious)) / boxes)
    return Accuracy(
        name="SQNR", unit="dB", value=min(_decibels(o.sqnr_db, o.max_abs_difference, o.name) for o in found.outputs)
    )


def _decibels(sqnr_db: float | None, gap: float, name: str) -> float:
    if sqnr_db is None and gap > 0:
        raise ModelError(
            f"output {name!r} of the float model is zero on all samples: there is nothing to compare. Give others"
        )
    return _MOST_DB if sqnr_db is None else min(sqnr_db, _MOST_DB)


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
