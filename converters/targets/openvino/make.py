"""The variants for OpenVINO: of kind ``openvino`` from the int8 model, of kind ``openvino-float16`` from the float one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from converters.calibrate.samples import RawSample
from converters.progress import Progress
from converters.report.accuracy import Evaluation
from converters.report.numbers import count
from converters.report.target_figures import TargetFigures
from converters.targets.compare import compared
from converters.targets.made import IntegerModel, TargetVariant
from converters.targets.openvino.executed import executed
from converters.targets.openvino.ir import Converted, to_ir
from converters.verify.evaluate import alone, measure
from converters.verify.sides import Side, task_for_comparison
from edge_sdk.bundle import Variant
from edge_sdk.bundle.golden import difference, golden_outputs
from edge_sdk.bundle.manifest import Head
from edge_sdk.engines import Engine, Options
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import EngineError, ModelError
from edge_sdk.tensors import Array

INT8, FLOAT16 = "openvino", "openvino-float16"
_LEAST_STEPS, _LEAST_SHARE = (
    1.0,
    1e-2,
)  # of a golden vector: a device's own kernels; half precision over a whole network


@dataclass(frozen=True)
class _Source:
    """What a variant is made of: the .tflite, ready to run, and what is known of it."""

    kind: str
    content: bytes
    side: Side
    heads: tuple[Head, ...]


def make(integer: IntegerModel, kinds: frozenset[str], progress: Progress) -> tuple[TargetVariant, ...]:
    """The variants of these kinds.

    Raises:
        MissingPackageError: if OpenVINO is not installed.
        ModelError: if it cannot read or run the model.
    """
    with _model_errors():
        return tuple(_variant(source, integer, progress) for source in _sources(integer, kinds))


def _sources(integer: IntegerModel, kinds: frozenset[str]) -> Iterator[_Source]:
    if INT8 in kinds:
        if integer.model.kind != "tflite-int8":
            raise ModelError(f"it is made of an int8 model, and the first variant is of kind {integer.model.kind}")
        yield _Source(INT8, integer.model.content, integer.side, integer.heads)
    if FLOAT16 in kinds:
        if integer.bench is None:
            raise ModelError("it is made of the float model, and this one came full-integer")
        yield _Source(FLOAT16, integer.bench.float_content, integer.bench.before, ())


def _variant(source: _Source, integer: IntegerModel, progress: Progress) -> TargetVariant:
    told, bench = integer.told, integer.bench
    converted = to_ir(source.content, source.side.inputs, source.side.stored, half=source.kind == FLOAT16)
    packed = converted.archive.packed()
    with open_engine("openvino", packed, isolation="none") as engine:
        engine.expect(source.side.inputs, source.side.stored)
        side = Side(engine, told.contract, task_for_comparison(told.task), told.labels, source.heads)
        figures = TargetFigures(
            target="openvino", variant=source.kind, kind=source.kind, size_bytes=len(packed), engine=engine.description
        )
        task = None
        if bench is not None:
            figures, task = compared(figures, bench, integer.side, side, engine, source.heads, progress)
        elif integer.truth is not None:
            truth = integer.truth
            (scores,) = measure(truth, [truth.side(engine, told.contract, told.task, told.labels)], progress)
            evaluation = Evaluation(data=truth.data, samples=len(truth), metrics=alone(scores))
            figures = figures.model_copy(update={"evaluation": evaluation})
        outputs, tolerance = _golden(integer.golden, packed, side, source.side)
    variant = Variant(
        id=source.kind,
        kind=source.kind,
        file=f"variants/{source.kind}.zip",
        inputs=source.side.inputs,
        outputs=source.side.stored,
        operators=converted.operators,
        golden=f"golden/{source.kind}.npz",
        golden_tolerance=tolerance,
        heads=source.heads,
        task=task,
    )
    entries = {variant.file: packed, f"golden/{source.kind}.npz": golden_outputs(outputs)}
    notes = _notes(source, converted, tolerance)
    return TargetVariant(variant, entries, figures.model_copy(update={"notes": notes}))


def _golden(inputs: Sequence[Array], packed: bytes, side: Side, source: Side) -> tuple[list[tuple[Array, ...]], float]:
    """The outputs for the raw inputs, and what another device's may differ by.

    Devices round differently, by a step here and there, which adds up. What TensorFlow Lite makes of the same numbers, and what OpenVINO
    makes of them in a lower precision where this processor has one, are two other ways to round; twice the largest difference is allowed.
    """
    outputs, gap = list[tuple[Array, ...]](), 0.0
    with _lower_precision(packed) as lower:
        for number, data in enumerate(inputs):
            sample = RawSample(data, "bgr", f"golden vector {number}")
            for each in (side, source):  # as the first of a stream
                each.reset()
            side.run(sample)
            stored = tuple(array.copy() for array in side.outputs_now)
            outputs.append(stored)
            source.run(sample)
            others = [source.outputs_now]
            if lower is not None:
                lower.input_arrays[0][...] = side.input_now
                others.append(lower.run())
            for other in others:
                gap = max(gap, *(difference(s, o, a) for s, o, a in zip(side.stored, other, stored, strict=True)))
    least = _LEAST_STEPS if any(spec.quantized for spec in side.stored) else _LEAST_SHARE
    return outputs, max(least, 2 * gap)


@contextmanager
def _lower_precision(packed: bytes) -> Iterator[Engine | None]:
    """The model in the first lower precision that this processor has."""
    for precision in ("f16", "bf16"):
        options: Options = {"precision": precision}
        try:
            engine = open_engine("openvino", packed, options, isolation="none")
        except EngineError:  # the processor does not have it
            continue
        with engine:
            yield engine
            return
    yield None


def _notes(source: _Source, converted: Converted, tolerance: float) -> tuple[str, ...]:
    unit = " steps" if any(spec.quantized for spec in source.side.stored) else " of the largest value"
    golden = f"Golden vectors: another device may differ by {tolerance:.3g}{unit}."
    if source.kind == FLOAT16:
        return (
            "Weights in half precision, of the float model; computed in float32 here, on the device as it can.",
            golden,
            "It was run on the processor only, of CPU, GPU, NPU and MYRIAD.",
        )
    settled = f"The weights of {count(converted.settled, 'depthwise convolution')} were brought to the form that plugins take for int8."
    return (
        str(executed(converted.archive)),
        *((settled,) if converted.settled else ()),
        golden,
        "One file for CPU, GPU and NPU; it was run on the processor only.",
    )


@contextmanager
def _model_errors() -> Iterator[None]:
    try:
        yield
    except EngineError as exc:
        raise ModelError(str(exc)) from exc
