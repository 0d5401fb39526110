"""What an engine costs over the bare interpreter: in a process of its own, and inline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.bare import Bare
from benchmarks.blocks import Block, Measured, back_to_back, interleave, paced
from benchmarks.models import DS_CNN_INT8, MOBILENET_INT8
from benchmarks.processes import ProcessorTime
from benchmarks.rows import Row
from edge_sdk.engines import Engine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.tensors import Array


def run(quick: bool) -> list[Row]:
    """MobileNetV2-224 int8 and DS-CNN int8, one thread."""
    return [*_mobilenet(3 if quick else 12), *_ds_cnn(5 if quick else 20), *_ds_cnn_paced(1 if quick else 4)]


def _mobilenet(rounds: int) -> list[Row]:
    with _Sides(MOBILENET_INT8) as sides:
        found = interleave(sides.timed(back_to_back), rounds=rounds, runs=200)
        ratio = found.ratio("process", "bare")
        times = f"p50 {found.ms('process'):.3f} ms against {found.ms('bare'):.3f} ms"
        return [
            Row(
                "process engine / bare interpreter, MobileNetV2-224 int8", times, "at most 1.03x", ratio, ratio <= 1.03
            ),
            Row("  processor time of all processes", sides.processor_times()),
        ]


def _ds_cnn(rounds: int) -> list[Row]:
    with _Sides(DS_CNN_INT8) as sides:
        found = interleave(sides.timed(back_to_back), rounds=rounds, runs=1_000)
        return [
            _added("process engine over bare interpreter, DS-CNN int8", found, "process", limit_us=30),
            Row("  processor time of all processes", sides.processor_times()),
            _added("inline engine over bare interpreter, DS-CNN int8", found, "inline", limit_us=5),
        ]


def _ds_cnn_paced(rounds: int) -> list[Row]:
    with _Sides(DS_CNN_INT8) as sides:
        found = interleave(sides.timed(lambda step: paced(step, 30)), rounds=rounds, runs=90)
        return [
            _added("the same at 30 requests/s: process over bare", found, "process"),
            Row("  processor time of all processes", sides.processor_times()),
        ]


def _added(what: str, found: Measured, side: str, limit_us: float | None = None) -> Row:
    added = found.added_us(side, "bare")
    times = f"adds {added:.1f} us to p50 {found.ms('bare') * 1000:.1f} us"
    target = "" if limit_us is None else f"at most {limit_us:g} us"
    return Row(what, times, target, found.ratio(side, "bare"), None if limit_us is None else added <= limit_us)


class _Sides:
    """The bare interpreter, the inline engine and the process engine of one model, all on the same input."""

    def __init__(self, model: Path) -> None:
        self._bare = Bare(model)
        content = model.read_bytes()
        self._engines: dict[str, Engine] = {
            "inline": open_engine("litert", content, isolation="none"),
            "process": open_engine("litert", content, isolation="process"),
        }
        for array in (self._bare.input, *(engine.input_arrays[0] for engine in self._engines.values())):
            _fill(array)
        self._timed: dict[str, ProcessorTime] = {}

    def __enter__(self) -> _Sides:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines.values():
            engine.close()

    def timed(self, block_of: Callable[[Callable[[], object]], Block]) -> dict[str, Block]:
        """A block of each side, its processor time counted."""
        steps = {"bare": self._bare.step, **{name: engine.run for name, engine in self._engines.items()}}
        self._timed = {name: ProcessorTime(block_of(step)) for name, step in steps.items()}
        return dict(self._timed)

    def processor_times(self) -> str:
        """Of what was timed last."""
        us = {name: timed.us for name, timed in self._timed.items()}
        return f"{us['process']:.0f} us an inference against {us['bare']:.0f} us"


def _fill(array: Array) -> None:
    limits = np.iinfo(array.dtype)
    array[...] = np.random.default_rng(0).integers(limits.min, limits.max, array.shape, array.dtype, endpoint=True)
