"""From a 640x480 camera frame to the three best classes: ours, by hand, and MediaPipe's ImageClassifier, all on one thread."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2

from benchmarks.bare import BareClassifier
from benchmarks.blocks import Measured, back_to_back, interleave
from benchmarks.bundles import classifier_bundle
from benchmarks.models import LABELS, MOBILENET_INT8, MOBILENET_UINT8
from benchmarks.peers import MediaPipe
from benchmarks.photo import photo
from benchmarks.processes import ProcessorTime
from benchmarks.rows import Row
from edge_sdk.bundle import Bundle
from edge_sdk.encoder import Encoder
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.tasks import make_task
from edge_sdk.tensors import Array

Classify = Callable[[], list[int]]  # indices of the best three, the best first


def run(quick: bool) -> list[Row]:
    """The uint8 model, which all three can run, then the int8 model, which MediaPipe cannot."""
    cv2.setNumThreads(1)
    frame = photo()
    rounds = 3 if quick else 12
    return [*_uint8(frame, rounds), *_int8(frame, rounds)]


def _uint8(frame: Array, rounds: int) -> list[Row]:
    with _sides(MOBILENET_UINT8, frame) as sides, MediaPipe(MOBILENET_UINT8, frame) as mediapipe:
        timed = {**_timed(sides), "MediaPipe": ProcessorTime(mediapipe.block)}
        found = interleave(timed, rounds=rounds, runs=200)
    return [
        _against(found, "process", "by hand", 50, 1.08),
        _against(found, "inline", "by hand", 50, 1.08),
        _against(found, "process", "MediaPipe", 50, 0.85),
        _against(found, "process", "MediaPipe", 99, 0.85),
        Row("  processor time", ", ".join(f"{name} {side.us / 1000:.2f} ms" for name, side in timed.items())),
        Row("  all give the same three classes of a 224x224 frame", _agreement(frame)),
    ]


def _int8(frame: Array, rounds: int) -> list[Row]:
    with _sides(MOBILENET_INT8, frame) as sides:
        found = interleave(_timed(sides), rounds=rounds, runs=200)
    return [_against(found, "process", "by hand", 50, 1.08, model="int8")]


def _against(found: Measured, ours: str, other: str, percentile: float, limit: float, model: str = "uint8") -> Row:
    ratio = found.ratio(ours, other, percentile)
    times = f"p{percentile:g} {found.ms(ours, percentile):.3f} ms against {found.ms(other, percentile):.3f} ms"
    return Row(f"frame to top-3, {model}: {ours} / {other}", times, f"at most {limit:g}x", ratio, ratio <= limit)


def _agreement(frame: Array) -> str:
    """Whether all sides compute the same.

    The frame has the model's own size: every side resizes in a way of its own, and a net that was never trained makes much of a little.
    """
    small = cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA)
    with _sides(MOBILENET_UINT8, small) as sides, MediaPipe(MOBILENET_UINT8, small) as mediapipe:
        found = {name: classify() for name, classify in {**sides, "MediaPipe": mediapipe.classify}.items()}
    if len({tuple(best) for best in found.values()}) == 1:
        return "yes: " + ", ".join(map(str, found["process"]))
    return "NO: " + "; ".join(f"{name} {best}" for name, best in found.items())


def _timed(sides: dict[str, Classify]) -> dict[str, ProcessorTime]:
    return {name: ProcessorTime(back_to_back(classify)) for name, classify in sides.items()}


@contextlib.contextmanager
def _sides(model: Path, frame: Array) -> Iterator[dict[str, Classify]]:
    by_hand = BareClassifier(model, LABELS.read_text().splitlines())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bundle = stack.enter_context(Bundle(classifier_bundle(model, folder)))
        yield {
            "process": stack.enter_context(_ours(bundle, frame, "process")),
            "inline": stack.enter_context(_ours(bundle, frame, "none")),
            "by hand": lambda: [index for index, _, _ in by_hand.classify(frame)],
        }


@contextlib.contextmanager
def _ours(bundle: Bundle, frame: Array, isolation: Isolation) -> Iterator[Classify]:
    """The steps of the loop on one frame: contract, engine, task."""
    manifest, variant = bundle.manifest, bundle.variant()
    spec = variant.inputs[0]
    encoder = Encoder(manifest.contract, spec)
    task = make_task(manifest.task, input_=spec, outputs=variant.outputs, labels=bundle.labels())
    with open_engine("litert", bundle.read(variant.file), isolation=isolation) as engine:

        def classify() -> list[int]:
            placement = encoder.encode(frame, engine.input_arrays[0])
            return [best.index for best in task.decode(engine.run(), placement)]

        yield classify
