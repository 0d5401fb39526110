"""Ids of detections over frames: crossings, occlusion, misses, false alarms, frames that were dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.verify.overlap import iou
from edge_sdk import Loop
from edge_sdk.bundle.manifest import Head, Part
from edge_sdk.contract import Placement
from edge_sdk.tasks import DetectSettings, Task, make_task
from edge_sdk.tasks.detect import Detection
from edge_sdk.tasks.settings import TrackSettings
from edge_sdk.tasks.track import Tracker, _overlaps
from edge_sdk.tensors import TensorSpec

MS = 1_000_000
Path_ = Callable[[float], tuple[float, float]]
SIZE = (60.0, 120.0)


def thing(x: float, y: float, size: tuple[float, float] = SIZE, index: int = 0, score: float = 0.9) -> Detection:
    half_w, half_h = size[0] / 2, size[1] / 2
    return Detection((x - half_w, y - half_h, x + half_w, y + half_h), f"class {index}", index, score)


def tracker(**changes: object) -> Tracker:
    return Tracker(TrackSettings.model_validate(changes))


def frames(seconds: float, *, period_ms: float = 40, keep: Callable[[int], bool] = lambda n: True) -> Iterator[float]:
    """Capture times, in seconds."""
    for number in range(round(seconds * 1000 / period_ms)):
        if keep(number):
            yield number * period_ms / 1000


class Scene:
    """Things on their paths, and what a tracker makes of them. Of two that overlap the later one is not detected, as after NMS."""

    def __init__(self, *paths: Path_, seed: int = 0, noise: float = 1.0, miss: float = 0.0, false: float = 0.0) -> None:
        self.paths, self.noise, self.miss, self.false = paths, noise, miss, false
        self.rng = np.random.default_rng(seed)
        self.ids: list[list[int]] = [[] for _ in paths]
        self.false_ids: list[int] = []

    def run(
        self, by: Tracker, times: Iterator[float], hidden: Callable[[int, float], bool] = lambda n, t: False
    ) -> Scene:
        for at in times:
            seen = [n for n in range(len(self.paths)) if not hidden(n, at) and self.rng.random() >= self.miss]
            seen = [n for n in seen if not any(m < n and self._overlap(m, n, at) > 0.3 for m in seen)]
            made = [thing(*(np.array(self.paths[n](at)) + self.rng.normal(0, self.noise, 2))) for n in seen]
            alarms = [thing(*self.rng.uniform(0, 2000, 2)) for _ in range(self.rng.poisson(self.false))]
            order = self.rng.permutation(len(made) + len(alarms))
            found = by.update([(made + alarms)[n] for n in order], round(at * 1e9))
            for place, each in zip(order, found, strict=True):
                if each.track is None:
                    continue
                ids = self.ids[seen[place]] if place < len(made) else self.false_ids
                ids.append(each.track)
        return self

    def _overlap(self, one: int, other: int, at: float) -> float:
        return iou(thing(*self.paths[one](at)).box, thing(*self.paths[other](at)).box)

    @property
    def switches(self) -> int:
        return sum(a != b for ids in self.ids for a, b in pairwise(ids))


def line(x: float, y: float, vx: float, vy: float) -> Path_:
    return lambda t: (x + vx * t, y + vy * t)


KEPT = {
    "every frame": lambda n: True,
    "every third": lambda n: n % 3 == 0,
    "half at random": lambda n: bool(np.random.default_rng(n).random() < 0.5),
}


@pytest.mark.parametrize("keep", KEPT.values(), ids=KEPT)
def test_things_that_cross_keep_their_ids(keep: Callable[[int], bool]) -> None:
    """All three meet in one point."""
    for seed in range(10):
        scene = Scene(line(0, 300, 250, 0), line(1000, 300, -250, 0), line(500, 0, 0, 150), seed=seed)
        scene.run(tracker(), frames(4, keep=keep))
        assert scene.switches == 0
        assert len({ids[-1] for ids in scene.ids}) == 3


def test_an_occluded_thing_comes_back_with_its_id_where_it_is_expected() -> None:
    for seed in range(10):
        scene = Scene(line(0, 300, 200, 20), line(0, 800, 100, 0), seed=seed)
        scene.run(tracker(max_missed_ms=1000), frames(5), hidden=lambda n, t: n == 0 and 2 <= t < 2.8)
        assert scene.switches == 0


def test_a_thing_that_was_away_for_longer_is_a_new_one() -> None:
    by = tracker(max_missed_ms=500, min_hits=1)
    first, second, third = ([found.track for found in by.update([thing(100, 100)], at * MS)] for at in (0, 500, 1001))
    assert (first, second, third) == ([1], [1], [2])


def test_misses_and_false_alarms_cost_hardly_a_switch() -> None:
    """Eight people, one in ten detections missed, one false alarm in every other frame, 20 s."""
    paths = [line(100 + 200 * n, 100 + 80 * n, 60 - 15 * n, 10) for n in range(8)]
    switches = alarms = 0
    for seed in range(5):
        scene = Scene(*paths, seed=seed, noise=2, miss=0.1, false=0.5).run(tracker(min_hits=3), frames(20))
        switches += scene.switches
        alarms += len(scene.false_ids)
    assert switches <= 4 and alarms <= 3


def test_a_frame_rate_that_falls_to_a_fifth_keeps_the_ids() -> None:
    """Prediction goes by capture times: what moves 20 pixels a frame moves 100 in five."""
    scene = Scene(line(0, 300, 500, 0))
    times = [*frames(1), *(1 + 0.2 * n for n in range(5))]
    assert scene.run(tracker(), iter(times)).switches == 0


def test_an_id_comes_with_min_hits_results_that_follow_each_other() -> None:
    by = tracker(min_hits=3)
    found = [by.update([thing(100, 100)] if seen else [], n * 40 * MS) for n, seen in enumerate([1, 1, 0, 1, 1, 1])]
    assert [f[0].track if f else None for f in found] == [None] * 5 + [1]


def test_classes_do_not_share_tracks_and_the_order_and_values_are_kept() -> None:
    by = tracker(min_hits=1)
    by.update([thing(100, 100, index=0)], 0)
    given_ = [thing(101, 100, index=1, score=0.5), thing(102, 100, index=0, score=0.4)]
    found = by.update(given_, 40 * MS)
    assert [f.track for f in found] == [2, 1]
    assert [(f.box, f.score, f.label) for f in found] == [(g.box, g.score, g.label) for g in given_]


def test_reset_forgets_tracks_but_no_id_comes_again() -> None:
    by = tracker(min_hits=1)
    assert by.update([thing(100, 100)], 0)[0].track == 1
    by.reset()
    assert by.update([thing(100, 100)], 40 * MS)[0].track == 2
    assert by.update([thing(100, 100)], 0)[0].track == 3  # time ran backwards


def test_another_variant_goes_on_with_the_tracks() -> None:
    told = DetectSettings.model_validate(
        {
            "kind": "detect",
            "boxes": "b",
            "scores": "s",
            "anchors": "none",
            "activation": "none",
            "track": {"min_hits": 1},
        }
    )
    box, score = np.float32([[[0.5, 0.5, 0.2, 0.2]]]), np.float32([[[0.9]]])
    specs = TensorSpec("b", (1, 1, 4), "float32"), TensorSpec("s", (1, 1, 1), "float32")
    head = Head(name="s", shape=(1, 1, 1), axis=2, parts=(Part(output="s", runs=((0, 1),)),))
    first, second, third = (
        make_task(told, input_=TensorSpec("i", (1, size, size, 3), "int8"), outputs=specs, labels=(), heads=heads)
        for size, heads in ((64, ()), (32, (head,)), (64, ()))
    )
    frame = {
        task: Placement((size / 640, size / 640), (0, 0)) for task, size in ((first, 64), (second, 32), (third, 64))
    }

    def ids(task: Task, at_ms: int) -> list[int | None]:
        return [found.track for found in task.decode((box, score), frame[task], at_ms * MS)]

    assert ids(first, 0) == [1]
    second.follow(first)
    assert ids(second, 40) == [1]
    third.follow(second)
    assert ids(third, 80) == [1]
    third.reset()
    assert ids(third, 120) == [2]


@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=15),
    min_hits=st.integers(1, 3),
)
def test_whatever_comes_ids_are_distinct_in_a_frame_never_come_back_and_are_the_same_again(
    seed: int, counts: list[int], min_hits: int
) -> None:
    rng = np.random.default_rng(seed)
    scene = [[thing(*rng.uniform(0, 300, 2), index=int(rng.integers(2))) for _ in range(n)] for n in counts]
    times = np.cumsum(rng.integers(0, 600, len(scene))) * MS
    runs = []
    for _ in range(2):
        by = tracker(min_hits=min_hits)
        runs.append([[f.track for f in by.update(found, int(at))] for found, at in zip(scene, times, strict=True)])
    assert runs[0] == runs[1]
    last_seen: dict[int, int] = {}
    for at, ids in zip(times.tolist(), runs[0], strict=True):
        real = [id_ for id_ in ids if id_ is not None]
        assert len(set(real)) == len(real)
        for id_ in real:
            assert at - last_seen.get(id_, at) <= 1000 * MS
            last_seen[id_] = at
    assert sorted(last_seen) == list(range(1, len(last_seen) + 1))


@given(seed=st.integers(0, 10_000), first=st.integers(1, 6), second=st.integers(1, 6))
def test_overlaps_are_those_of_single_boxes(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = [np.sort(rng.integers(0, 8, (n, 2, 2)), axis=1).reshape(n, 4).astype(float) for n in (first, second)]
    wanted = [[iou(tuple(a), tuple(b)) for b in boxes[1]] for a in boxes[0]]
    np.testing.assert_allclose(_overlaps(*boxes), wanted)


def test_a_detector_gone_wild_costs_a_bounded_time() -> None:
    by, rng = tracker(min_hits=1, max_missed_ms=60_000), np.random.default_rng(0)
    for n in range(30):
        by.update([thing(*rng.uniform(0, 5000, 2)) for _ in range(100)], n * 40 * MS)
    assert len(by._tracks) <= 300


@pytest.mark.slow
def test_one_person_in_a_video_has_one_id(face_bundle: Path, carphone: Path) -> None:
    ids: list[int | None] = []
    with Loop(
        face_bundle, f"file:{carphone}?pace=fast", deadline_ms=1000, isolation="none", task={"track": {}}
    ) as loop:
        for result in loop:
            ids += [found.track for found in result.value]
    assert len(ids) > 100 and set(ids) == {None, 1} and ids.count(None) == 1
