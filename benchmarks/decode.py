"""``python -m benchmarks.decode``: what the tasks cost a result, without encode and engine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import perf_counter

import numpy as np
from pydantic import TypeAdapter

from edge_sdk.contract import Placement
from edge_sdk.tasks import Task, TaskSettings, make_task
from edge_sdk.tasks.detect import Detection
from edge_sdk.tasks.settings import TrackSettings
from edge_sdk.tasks.track import Tracker
from edge_sdk.tensors import Array, TensorSpec

_RUNS, _FRAME_NS = 300, 40_000_000
_IMAGE = TensorSpec("image", (1, 256, 256, 3), "int8", 1 / 128)
_PLACEMENT = Placement((0.4, 0.5333), (0.0, 0.0))
_RNG = np.random.default_rng(0)


def main() -> None:
    """Measure each, print the medians."""
    for boxes in (1, 5, 20, 100):
        _say(f"track {boxes} boxes", _tracking(boxes))
    for classes in (1, 2, 21):
        _say(f"segment 256x256, {classes} scores a pixel", _decoding({"kind": "segment"}, (1, 256, 256, classes)))
    _say("pose of 39 coordinates", _decoding({"kind": "pose", "numbers": 5, "visibility": 3}, (1, 195)))
    _say("pose of 39 heatmaps of 64x64", _decoding({"kind": "pose", "form": "heatmaps"}, (1, 64, 64, 39)))
    _say("keyword, 12 classes, smoothed over 1 s", _decoding({"kind": "keyword", "smoothing_ms": 1000}, (1, 12)))
    window = TensorSpec("window", (1, 128, 6), "int8", 1 / 128)
    again = {"kind": "anomaly", "score": "reconstruction", "threshold": 1.0}
    _say("anomaly of a window of 128x6", _decoding(again, window.shape, window))
    _say("anomaly of an image of 256x256", _decoding(again, _IMAGE.shape))


def _say(name: str, step: Callable[[], object]) -> None:
    step()
    took = []
    for _ in range(_RUNS):
        began = perf_counter()
        step()
        took.append(perf_counter() - began)
    print(f"{name:42} {np.median(took) * 1000:7.3f} ms")


def _decoding(settings: dict[str, object], shape: tuple[int, ...], input_: TensorSpec = _IMAGE) -> Callable[[], object]:
    output = TensorSpec("output", shape, "int8", 1 / 128)
    told: TaskSettings = TypeAdapter(TaskSettings).validate_python(settings)
    task: Task = make_task(told, input_=input_, outputs=(output,), labels=())
    stored, entry = _noise(shape), _noise(input_.shape)
    times = count(step=_FRAME_NS)
    return lambda: task.decode((stored,), _PLACEMENT, next(times), entry)


def _noise(shape: tuple[int, ...]) -> Array:
    return _RNG.integers(-128, 127, shape, np.int8)


def _tracking(boxes: int) -> Callable[[], object]:
    """People on straight ways."""
    tracker, times = Tracker(TrackSettings()), count()
    starts, speeds = _RNG.uniform(0, 1500, (boxes, 2)), _RNG.uniform(-4, 4, (boxes, 2))
    frames = []
    for number in range(_RUNS + 1):
        places = (starts + speeds * number).tolist()
        frames.append([Detection((x, y, x + 60, y + 120), "person", 0, 0.9) for x, y in places])

    def step() -> object:
        number = next(times)
        return tracker.update(frames[number], number * _FRAME_NS)

    return step


if __name__ == "__main__":
    main()
