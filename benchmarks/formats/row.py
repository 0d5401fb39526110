"""One row, in a process of its own: ``python -m benchmarks.formats.row KEY RESULT.json``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from pydantic import TypeAdapter

from benchmarks.environments import run_quietly, tensorflow_python
from benchmarks.formats.data import Data
from benchmarks.formats.intervals import Interval, interval, paired_interval
from benchmarks.formats.judges import Judge, Seen
from benchmarks.formats.models import ROWS, Model
from converters import ConvertResult, convert
from converters.calibrate.ranges import encoded
from converters.calibrate.samples import RawSample
from converters.load import FloatModel, LoadOptions, load
from converters.verify.layers import sqnr_db
from converters.verify.sides import Side
from edge_sdk.bundle.manifest import Head
from edge_sdk.bundle.read import Bundle
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import EdgeSdkError, NotIntegerError
from edge_sdk.tasks.settings import RawSettings, TaskSettings
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe

_STEPS = ("calibrate", "check", "quantize", "repair")


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Quantized:
    """What one quantizer made.

    Attributes:
        reason: why there is no full-integer model, or "".
        seconds: calibration, quantization and repair; of TFLiteConverter, its start included.
        repair: the steps of repair that were kept, and heads that the device computes.
        metric: against the truth, or None without one.
        agreement: with float.
        sqnr_db: of the outputs, the mean of their decibels; None where an output is the same or always zero.
    """

    reason: str = ""
    seconds: float | None = None
    repair: tuple[str, ...] = ()
    metric: Figure | None = None
    agreement: Figure | None = None
    sqnr_db: float | None = None


@dataclass(frozen=True)
class Row:
    """What was measured of one model.

    Attributes:
        route, load_s: how it was loaded, and how long that took.
        check: the largest difference of the float .tflite from the source framework, as a share of the output's largest magnitude.
        metric, agreement: what they are.
        samples, labelled: how many the agreement and the metric were measured on.
        before: the float model's metric.
        difference: of the metric, or else of the agreement, ours less TFLiteConverter's: the paired interval.
        data: what was calibrated and measured on.
        failed: why there is no row, or "".
    """

    key: str
    route: str = ""
    load_s: float | None = None
    check: float | None = None
    metric: str = ""
    agreement: str = ""
    samples: int = 0
    labelled: int = 0
    before: Figure | None = None
    ours: Quantized | None = None
    theirs: Quantized | None = None
    difference: Interval | None = None
    data: tuple[str, str] | None = None
    failed: str = ""


def measure(model: Model) -> Row:
    """Load, quantize by both, and compare.

    Raises:
        EdgeSdkError: if the model cannot be loaded.
    """
    data, contract = model.data(), Contract.model_validate(model.contract)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = perf_counter()
        source = load(model.file(), LoadOptions.model_validate(model.loading))
        load_s = perf_counter() - started
        int8 = {"ours": _ours(model, data, folder), "theirs": _theirs(source, contract, data, folder)}
    before = _see(source.content, (), model, contract, data)
    after = {
        side: None if made.content is None else _see(made.content, made.heads, model, contract, data)
        for side, made in int8.items()
    }
    ours, theirs = after["ours"], after["theirs"]
    return Row(
        model.key,
        source.route,
        load_s,
        source.check.difference,
        model.judge.metric if len(data.truth) else "",
        model.judge.agreement,
        len(data.evaluate),
        len(data.truth),
        _metric(model.judge, before, data),
        _quantized(model.judge, before, ours, data, int8["ours"]),
        _quantized(model.judge, before, theirs, data, int8["theirs"]),
        None if ours is None or theirs is None else _difference(model.judge, before, ours, theirs, data),
        (data.calibrate_from, data.evaluate_from),
    )


def read_row(text: str) -> Row:
    """A row as ``main`` writes it."""
    return TypeAdapter(Row).validate_json(text)


@dataclass(frozen=True)
class _Int8:
    """An int8 model, or why there is none or it is not full-integer."""

    content: bytes | None = None
    heads: tuple[Head, ...] = ()
    reason: str = ""
    seconds: float | None = None
    repair: tuple[str, ...] = ()


def _ours(model: Model, data: Data, folder: Path) -> _Int8:
    """Repair sees what was calibrated on, and nothing of what is measured on."""
    try:
        result: ConvertResult = convert(
            model.file(),
            output=folder / "ours.edge",
            calibrate=_write(data.calibrate, folder / "calibrate"),
            contract=model.contract,
            task=model.edge_task,
            loading=model.loading,
        )
    except NotIntegerError as exc:
        return _Int8(reason=str(exc))
    with Bundle(result.bundle) as bundle:
        variant = bundle.manifest.variants[0]
        content = bundle.read(variant.file)
    seconds = sum(step.seconds for step in result.figures.steps if step.name.split()[0] in _STEPS)
    repair = result.figures.repair
    kept = [step.action for step in repair.steps if step.kept] if repair is not None else []
    return _Int8(content, variant.heads, "", seconds, tuple(dict.fromkeys(kept)))


def _theirs(source: FloatModel, contract: Contract, data: Data, folder: Path) -> _Int8:
    """TFLiteConverter's int8 model of the same float model and samples; and what of it is float."""
    float_file, samples, int8_file = (folder / name for name in ("float.tflite", "samples.npy", "theirs.tflite"))
    float_file.write_bytes(source.content)
    encoder = Encoder(contract, Side(source.content, contract, RawSettings(), ()).inputs[0])
    tensors = [tensor.copy() for _, tensor in encoded(_samples(data.calibrate), encoder)]
    np.save(samples, np.array(tensors))
    python = sys.executable if find_spec("tensorflow") else str(tensorflow_python())
    script = Path(__file__).parents[1] / "elsewhere" / "tflite_ptq.py"
    started = perf_counter()
    try:
        run_quietly([python, str(script), str(float_file), str(samples), str(int8_file)])
    except SystemExit as exc:
        return _Int8(reason=str(exc).strip().splitlines()[-1])
    seconds, content = perf_counter() - started, int8_file.read_bytes()
    left = describe(content).float_operators()
    names = ", ".join(sorted({operator.name for operator in left}))
    return _Int8(content, (), f"{len(left)} float operators left: {names}" if left else "", seconds)


def _write(samples: Sequence[Array], target: Path) -> Path:
    """Samples as the converter takes them: a folder of PNG files, or an .npy of tensors."""
    if samples[0].dtype != np.uint8:
        np.save(target.with_suffix(".npy"), np.array(samples))
        return target.with_suffix(".npy")
    target.mkdir()
    for number, image in enumerate(samples):
        cv2.imwrite(str(target / f"{number:05}.png"), image)
    return target


def _samples(samples: Sequence[Array]) -> list[RawSample]:
    return [RawSample(sample, "bgr", f"sample {number}") for number, sample in enumerate(samples)]


def _see(content: bytes, heads: tuple[Head, ...], model: Model, contract: Contract, data: Data) -> list[Seen]:
    task = TypeAdapter[TaskSettings](TaskSettings).validate_python(model.edge_task)
    side = Side(content, contract, task, (), heads)
    entry, seen = side.inputs[0], []
    for sample in _samples(data.evaluate):
        value = side.run(sample)
        names = [spec.name for spec in side.outputs]
        outputs = {name: real.copy() for name, real in zip(names, side.real_outputs(), strict=True)}
        seen.append(Seen(entry.dequantize(side.input_now).copy(), outputs, value))
    return seen


def _metric(judge: Judge, seen: Sequence[Seen], data: Data) -> Figure | None:
    if not len(data.truth):
        return None
    scores = judge.scores(seen[: len(data.truth)], data.truth)
    return Figure(judge.figure(scores), *interval(scores, judge.figure))


def _quantized(
    judge: Judge, before: Sequence[Seen], after: Sequence[Seen] | None, data: Data, made: _Int8
) -> Quantized:
    if after is None:
        return Quantized(made.reason)
    agreement = _agreement(judge, before, after)
    figure = Figure(float(agreement.mean()), *interval(agreement, _mean))
    return Quantized(made.reason, made.seconds, made.repair, _metric(judge, after, data), figure, _sqnr(before, after))


def _agreement(judge: Judge, before: Sequence[Seen], after: Sequence[Seen]) -> Array:
    return np.array([judge.agree(first, second) for first, second in zip(before, after, strict=True)], np.float64)


def _difference(
    judge: Judge, before: Sequence[Seen], ours: Sequence[Seen], theirs: Sequence[Seen], data: Data
) -> Interval:
    if len(data.truth):
        scores = [judge.scores(side[: len(data.truth)], data.truth) for side in (ours, theirs)]
        return paired_interval(scores[0], scores[1], judge.figure)
    return paired_interval(_agreement(judge, before, ours), _agreement(judge, before, theirs), _mean)


def _mean(scores: Array) -> float:
    return float(scores.mean())


def _sqnr(before: Sequence[Seen], after: Sequence[Seen]) -> float | None:
    """The mean over the outputs of 10 log10(sum x^2 / sum (x - y)^2), each over all samples."""
    decibels = []
    for name in before[0].outputs:
        real = np.array([seen.outputs[name] for seen in before], np.float64)
        error = real - np.array([seen.outputs[name] for seen in after])
        decibels.append(sqnr_db(float(np.square(real).sum()), float(np.square(error).sum())))
    known = [value for value in decibels if value is not None]
    return float(np.mean(known)) if known else None


def main(key: str, result: Path) -> None:
    """Measure the row of this key, or say why it cannot be."""
    model = next(model for model in ROWS if model.key == key)
    try:
        row = measure(model)
    except EdgeSdkError as exc:
        row = Row(key, failed=str(exc))
    result.write_text(json.dumps(asdict(row)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
