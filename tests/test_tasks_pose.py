"""Keypoints from coordinates and heatmaps, in pixels of the source frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.formats.data import people
from converters.calibrate.samples import RawSample
from converters.load import load
from converters.verify.sides import Side
from edge_sdk.contract import Contract, Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import PoseSettings, Task, make_task
from edge_sdk.tensors import TensorSpec
from examples.assets.models import pose_landmarks

IMAGE = TensorSpec("image", (1, 64, 128, 3), "int8")
PLACEMENT = Placement(scale=(0.5, 0.25), offset=(10, -4))


def task_for(*specs: TensorSpec, labels: tuple[str, ...] = (), **changes: object) -> Task:
    told = PoseSettings.model_validate({"kind": "pose"} | changes)
    return make_task(told, input_=IMAGE, outputs=specs, labels=labels)


@pytest.mark.parametrize("order", ["xy", "yx"])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("shape", [(1, 6), (1, 3, 2), (1, 1, 3, 2)])
def test_coordinates_are_placed_in_the_source_frame(order: str, relative: bool, shape: tuple[int, ...]) -> None:
    points = np.float32([[10, 20], [64, 32], [128, 64]])
    raw = points / (128, 64) if relative else points
    raw = raw[:, ::-1] if order == "yx" else raw
    task = task_for(TensorSpec("p", shape, "float32"), order=order, relative=relative)
    found = task.decode((raw.astype(np.float32).reshape(shape),), PLACEMENT)
    np.testing.assert_allclose(found.points, (points - (10, -4)) / (0.5, 0.25), rtol=1e-6)
    assert found.scores == () and found.score is None
    np.testing.assert_allclose(task.decode((raw.astype(np.float32).reshape(shape),), None).points, points, rtol=1e-6)


def test_numbers_behind_the_place_are_passed_over_or_are_the_score() -> None:
    """MediaPipe: x, y, z, visible, present."""
    raw = np.float32([[1, 2, 9, 0.0, 3], [3, 4, 9, 2.0, 3], [5, 6, 9, -50, 3]])
    spec = TensorSpec("p", (1, 15), "float32")
    found = task_for(
        spec, numbers=5, visibility=3, visibility_activation="sigmoid", keypoints=2, labels=("nose", "eye")
    ).decode((raw.reshape(1, 15),), None)
    assert found.points == ((1, 2), (3, 4)) and found.labels == ("nose", "eye")
    assert found.scores == pytest.approx((0.5, 1 / (1 + math.exp(-2))))
    assert str(found) == "pose of 2 keypoints, 2 of them seen"


def test_quantized_coordinates_are_dequantized() -> None:
    spec = TensorSpec("p", (1, 4), "int8", 0.5, -128)
    found = task_for(spec).decode((np.int8([[-128, 127, 0, -127]]),), None)
    assert found.points == ((0, 127.5), (64, 0.5))


def test_a_pose_below_the_threshold_is_none() -> None:
    points, score = TensorSpec("p", (1, 4), "float32"), TensorSpec("s", (1, 1), "float32")
    task = task_for(points, score, points="p", score="s", threshold=0.6)
    stored = np.zeros((1, 4), np.float32)
    assert task.decode((stored, np.float32([[0.59]])), None) is None
    assert task.decode((stored, np.float32([[np.nan]])), None) is None
    assert task.decode((stored, np.float32([[0.61]])), None).score == pytest.approx(0.61)


@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from(["int8", "float32"]),
    count=st.integers(1, 5),
    refine=st.booleans(),
)
def test_heatmaps_give_their_maximum_moved_towards_the_higher_neighbour(
    seed: int, dtype: str, count: int, refine: bool
) -> None:
    rng = np.random.default_rng(seed)
    spec = TensorSpec("maps", (1, 8, 16, count), dtype, 1 / 128 if dtype == "int8" else 0.0)
    stored = rng.integers(-128, 127, spec.shape).astype(dtype)
    found = task_for(spec, form="heatmaps", refine=refine).decode((stored,), None)
    for number, ((x, y), score) in enumerate(zip(found.points, found.scores, strict=True)):
        one = stored[0, :, :, number].astype(float)
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert score == pytest.approx(float(spec.dequantize(stored[0, row, column, number])))
        wanted = [float(column), float(row)]
        if refine and 0 < column < 15:
            wanted[0] += 0.25 * np.sign(one[row, column + 1] - one[row, column - 1])
        if refine and 0 < row < 7:
            wanted[1] += 0.25 * np.sign(one[row + 1, column] - one[row - 1, column])
        assert (x, y) == pytest.approx((wanted[0] * 8, wanted[1] * 8))


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"numbers": 3}, (1, 10), "points = 'p' has shape .1, 10.; with numbers = 3 it must be .1, keypoints, 3."),
        ({"numbers": 2}, (1, 4, 3), "with numbers = 2 it must be"),
        ({"numbers": 3, "visibility": 3}, (1, 9), "visibility = 3 is none of a keypoint's numbers, 2 to 2"),
        ({"keypoints": 4}, (1, 6), "keypoints = 4, and points = 'p' has 3"),
        (
            {"form": "heatmaps"},
            (1, 6),
            "form = heatmaps takes points .1, height, width, keypoints.; 'p' has shape .1, 6.",
        ),
        ({"skeleton": [[0, 3]]}, (1, 6), "skeleton joins .0, 3.; the keypoints are 0 to 2"),
        ({"labels": ("a",)}, (1, 6), "1 labels, and the pose has 3 keypoints"),
        ({"score": "q"}, (1, 6), "score = 'q': the model has no such output; it has 'p'"),
        ({"score": "p"}, (1, 6), "score = 'p' has shape .1, 6.; the score of a pose is one number"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_for(TensorSpec("p", shape, "float32"), **changes)


BLAZEPOSE = {
    "points": "Identity",
    "numbers": 5,
    "visibility": 3,
    "visibility_activation": "sigmoid",
    "keypoints": 33,
    "score": "Identity_1",
    "skeleton": [[11, 12], [11, 13], [13, 15], [12, 14], [14, 16], [11, 23], [12, 24], [23, 24], [23, 25], [25, 27], [24, 26], [26, 28]],
}  # fmt: skip


@pytest.mark.slow
def test_blazepose_finds_the_cyclist_and_its_heatmaps_say_the_same() -> None:
    content = load(pose_landmarks()).content
    contract = Contract(input="image", colour="rgb", range=(0, 1), resize="stretch")
    crop = people().evaluate[-1]
    frame = RawSample(crop, "bgr", "the cyclist")
    keys = {"kind": "pose"} | BLAZEPOSE
    pose = Side(content, contract, PoseSettings.model_validate(keys), ()).run(frame)
    height, width = crop.shape[:2]
    assert pose.score > 0.9 and len(pose.points) == 33
    nose, hips, ankles = np.array(pose.points)[[0]], np.array(pose.points)[23:25], np.array(pose.points)[27:29]
    assert nose[:, 1].mean() < hips[:, 1].mean() < ankles[:, 1].mean()
    assert (
        np.abs(hips.mean(axis=0) - (width / 2, height / 2)) < 0.2 * width
    ).all()  # MediaPipe's crop is around the hips
    maps = {"kind": "pose", "points": "Identity_3", "form": "heatmaps", "keypoints": 33}
    mapped = Side(content, contract, PoseSettings.model_validate(maps), ()).run(frame)
    gap = np.hypot(*(np.array(mapped.points) - pose.points).T)[[0, 11, 12, 23, 24, 25, 26]]
    assert np.median(gap) < 0.05 * width
