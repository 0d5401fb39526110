"""What the loop costs a frame beside its engine: by hand, and with and without supervisor's page and governor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

from benchmarks.bare import BareClassifier
from benchmarks.blocks import Block, Seconds, back_to_back, interleave
from benchmarks.bundles import NULL_OPTIONS, classifier_bundle, null_bundle
from benchmarks.models import LABELS, MOBILENET_INT8
from benchmarks.photo import photo
from benchmarks.processes import ProcessorTime
from benchmarks.rows import Row
from benchmarks.streams import Stream
from benchmarks.supervised import page
from edge_sdk.loop import Loop
from edge_sdk.tensors import Array

_LIMIT_MS = 1.0
_ENDLESS = 10_000_000  # frames


def run(quick: bool) -> list[Row]:
    """Frames of 640x480 for MobileNetV2-224 int8, one thread."""
    cv2.setNumThreads(1)
    frame = photo()
    return [*_beside_the_engine(frame, 3 if quick else 12), *_watched(frame, 5 if quick else 20)]


def _beside_the_engine(frame: Array, rounds: int) -> list[Row]:
    by_hand = BareClassifier(MOBILENET_INT8, LABELS.read_text().splitlines())
    with tempfile.TemporaryDirectory() as name, page():
        bundle = classifier_bundle(MOBILENET_INT8, Path(name))
        with Loop(bundle, Stream(frame, _ENDLESS), deadline_ms=50, governor=True) as loop:
            sides = {"loop": _loop_less_engine(loop), "by hand": _by_hand_less_engine(by_hand, frame)}
            found = interleave(sides, rounds=rounds, runs=200)
    times = ", ".join(f"p{p} {found.ms('loop', p):.3f} ms against {found.ms('by hand', p):.3f} ms" for p in (50, 99))
    met = found.ms("loop") <= _LIMIT_MS
    what = "loop beside its engine, 640x480: all of it / by hand"
    return [Row(what, times, f"p50 at most {_LIMIT_MS:g} ms", found.ratio("loop", "by hand"), met)]


def _loop_less_engine(loop: Loop) -> Block:
    """From one result to the next, the engine's own stage left out."""
    results = iter(loop)

    def block(runs: int) -> Seconds:
        took = np.empty(runs)
        for index in range(runs):
            started = perf_counter()
            result = next(results)
            took[index] = perf_counter() - started - result.stages.engine_ms * 1e-3
        return took

    return block


def _by_hand_less_engine(classifier: BareClassifier, frame: Array) -> Block:
    """From the frame to the three best, what LiteRT takes left out."""
    engine_s = 0.0

    def timed(step: Callable[[], Array] = classifier.step) -> Array:
        nonlocal engine_s
        started = perf_counter()
        output = step()
        engine_s = perf_counter() - started
        return output

    classifier.step = timed

    def block(runs: int) -> Seconds:
        took = np.empty(runs)
        for index in range(runs):
            started = perf_counter()
            classifier.classify(frame)
            took[index] = perf_counter() - started - engine_s
        return took

    return block


def _watched(frame: Array, rounds: int) -> list[Row]:
    """The whole loop on an engine that takes no time: what a page and a governor add."""
    with ExitStack() as stack:
        bundle = null_bundle(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        sides = {
            "alone": ProcessorTime(back_to_back(stack.enter_context(_next_result(bundle, frame, governor=False)))),
        }
        stack.enter_context(page())
        sides["watched"] = ProcessorTime(back_to_back(stack.enter_context(_next_result(bundle, frame, governor=True))))
        found = interleave(sides, rounds=rounds, runs=500)
    times = f"p50 {found.ms('watched'):.3f} ms against {found.ms('alone'):.3f} ms"
    added = found.added_us("watched", "alone")
    return [
        Row(
            "loop on a null engine: supervisor's page and governor / neither",
            f"{times}, adds {added:.1f} us",
            "",
            found.ratio("watched", "alone"),
        ),
        Row("  processor time", ", ".join(f"{name} {side.us / 1000:.3f} ms" for name, side in sides.items())),
    ]


@contextmanager
def _next_result(bundle: Path, frame: Array, *, governor: bool) -> Iterator[Callable[[], object]]:
    source = Stream(frame, _ENDLESS)
    with Loop(bundle, source, deadline_ms=50, engine="null", engine_options=NULL_OPTIONS, governor=governor) as loop:
        results = iter(loop)
        yield lambda: next(results)
