"""One variant on one engine, in a process of its own: ``python -m benchmarks.engines.cell KEY VARIANT ENGINE RESULT.json [--quick]``."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.blocks import back_to_back, interleave
from benchmarks.engines.bare import bare_step
from benchmarks.engines.served import served
from benchmarks.engines.subjects import Subject, subject
from benchmarks.formats.intervals import interval
from benchmarks.formats.judges import Seen
from benchmarks.processes import pss_kb
from converters.calibrate.samples import RawSample
from converters.verify.sides import Side
from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.golden import check_golden
from edge_sdk.engines import Engine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import EdgeSdkError
from edge_sdk.tasks.settings import TaskSettings

_HANG_MS = 60_000


@dataclass(frozen=True)
class Cell:
    """What was measured; times in ms.

    Attributes:
        said: the engine's own description.
        bare_ms, inline_ms, process_ms: p50 of the library by hand, of the engine inline, and in a process of its own.
        inline_ratio, process_ratio: over the library by hand, from blocks that ran next to each other.
        start_ms: from nothing to the first output, in a process of its own.
        memory_mb: PSS of that process, in 10^6 bytes.
        agreement: with the float model, with its 95 % interval; and on how many samples.
        metric: against the labels, or None without any; metric_float is the float model's.
        golden: the largest difference from the golden vectors, over what is allowed.
        failed: why there are no figures, or "".
    """

    said: str = ""
    bare_ms: float = 0.0
    inline_ms: float = 0.0
    process_ms: float = 0.0
    inline_ratio: float = 0.0
    process_ratio: float = 0.0
    start_ms: float = 0.0
    memory_mb: float = 0.0
    agreement: tuple[float, float, float] = (0.0, 0.0, 0.0)
    samples: int = 0
    metric: float | None = None
    metric_float: float | None = None
    golden: float | None = None
    failed: str = ""


def read_cell(text: str) -> Cell:
    """A cell as ``main`` writes it."""
    return TypeAdapter(Cell).validate_json(text)


def measure(which: Subject, variant_id: str, engine: str, *, quick: bool) -> Cell:
    """Run it."""
    with ExitStack() as stack:
        bundle = stack.enter_context(Bundle(which.bundle))
        variant = bundle.variant(variant_id)
        content, options, url = bundle.model_of(variant), {"threads": "1"}, ""
        if engine == "remote":
            options, url = stack.enter_context(served(which.bundle, variant))
        began = perf_counter()
        process = stack.enter_context(ProcessEngine(engine, content, options, hang_ms=_HANG_MS))
        process.run()
        start_ms = (perf_counter() - began) * 1_000
        inline = stack.enter_context(open_engine(engine, content, options, isolation="none"))
        golden = check_golden(bundle, variant, inline)
        agreement, metrics = _worth(which, bundle, variant, inline)
        given = inline.input_arrays[0].copy()
        process.input_arrays[0][...] = given
        bare = bare_step(engine, content, given, url)
        sides = {"bare": bare, "inline": inline.run, "process": process.run}
        runs = 10 if quick or engine == "remote" else 100
        found = interleave(
            {name: back_to_back(step) for name, step in sides.items()}, rounds=3 if quick else 9, runs=runs
        )
        return Cell(
            said=inline.description,
            bare_ms=found.ms("bare"),
            inline_ms=found.ms("inline"),
            process_ms=found.ms("process"),
            inline_ratio=found.ratio("inline", "bare"),
            process_ratio=found.ratio("process", "bare"),
            start_ms=start_ms,
            memory_mb=pss_kb([process.pid]) * 1.024e-3,
            agreement=(float(agreement.mean()), *interval(agreement, lambda scores: float(scores.mean()))),
            samples=len(agreement),
            metric=metrics[1],
            metric_float=metrics[0],
            golden=None if golden is None else golden.worst / golden.tolerance,
        )


def _worth(which: Subject, bundle: Bundle, variant: Variant, engine: Engine) -> tuple[Any, list[float | None]]:
    """Agreement with the float model, sample by sample; and both sides' metric against the labels."""
    model, data = which.model, which.model.data()
    task = TypeAdapter[TaskSettings](TaskSettings).validate_python(model.edge_task)
    contract = bundle.contract_of(variant)
    sides = [
        Side(which.float_model.read_bytes(), contract, task, ()),
        Side(engine, contract, task, (), variant.heads, variant.inputs),
    ]
    samples = [RawSample(image, "bgr", f"sample {number}") for number, image in enumerate(data.evaluate)]
    before, after = ([_seen(side, sample) for sample in samples] for side in sides)
    scores = np.array([model.judge.agree(one, other) for one, other in zip(before, after, strict=True)], np.float64)
    if not len(data.truth):
        return scores, [None, None]
    labelled = [seen[: len(data.truth)] for seen in (before, after)]
    return scores, [model.judge.figure(model.judge.scores(seen, data.truth)) for seen in labelled]


def _seen(side: Side, sample: RawSample) -> Seen:
    value = side.run(sample)
    names = [spec.name for spec in side.outputs]
    outputs = {name: real.copy() for name, real in zip(names, side.real_outputs(), strict=True)}
    return Seen(side.inputs[0].dequantize(side.input_now).copy(), outputs, value)


def main(key: str, variant: str, engine: str, result: Path, *, quick: bool) -> None:
    """Measure the cell, or say why it cannot be."""
    try:
        cell = measure(subject(key), variant, engine, quick=quick)
    except EdgeSdkError as exc:
        cell = Cell(failed=str(exc))
    result.write_text(json.dumps(asdict(cell)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), quick="--quick" in sys.argv)
