"""Masks: the best class of every pixel, laid on the source frame."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.formats.data import frames
from converters.calibrate.samples import RawSample
from converters.load import load
from converters.verify.sides import Side
from edge_sdk.contract import Contract, Placement
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import SegmentSettings, Task, make_task
from edge_sdk.tasks.segment import UNSEEN, Segmentation, best_class
from edge_sdk.tensors import TensorSpec
from examples.assets import carphone_video
from examples.assets.models import selfie_segmentation

IMAGE = TensorSpec("image", (1, 32, 48, 3), "int8")


def task_for(spec: TensorSpec, labels: tuple[str, ...] = (), input_: TensorSpec = IMAGE, **changes: object) -> Task:
    told = SegmentSettings.model_validate({"kind": "segment"} | changes)
    return make_task(told, input_=input_, outputs=(spec,), labels=labels)


@given(
    seed=st.integers(0, 10_000),
    classes=st.integers(2, 9),
    dtype=st.sampled_from(["int8", "uint8", "int16", "float32"]),
    few=st.booleans(),
)
def test_the_best_class_is_that_of_the_largest_score(seed: int, classes: int, dtype: str, few: bool) -> None:
    rng = np.random.default_rng(seed)
    high = 3 if few else 127  # few numbers have many ties
    stored = rng.integers(0, high, (7, 11, classes)).astype(dtype)
    assert np.array_equal(best_class(stored), stored.argmax(axis=-1))
    assert best_class(stored).dtype == np.uint8


def test_shares_are_of_every_class_by_its_label() -> None:
    spec = TensorSpec("scores", (1, 2, 4, 3), "int8", 0.1, 3)
    stored = np.full((1, 2, 4, 3), -50, np.int8)
    stored[0, 0, :, 1] = stored[0, 1, :3, 2] = stored[0, 1, 3, 0] = 50
    found = task_for(spec, ("road", "car", "sky")).decode((stored,), None)
    assert found.mask.tolist() == [[1, 1, 1, 1], [2, 2, 2, 0]]
    assert found.shares == {"road": 1 / 8, "car": 4 / 8, "sky": 3 / 8}
    assert str(found) == "car 50%, sky 38%, road 12%"


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 2, 2, 1)])
@pytest.mark.parametrize("labels", [("person",), ("nothing", "person"), ()])
def test_one_score_a_pixel_is_the_object_from_the_threshold_on(shape: tuple[int, ...], labels: tuple[str, ...]) -> None:
    spec = TensorSpec("mask", shape, "int8", 1 / 256, -128)
    task = task_for(spec, labels, threshold=0.75)
    found = task.decode((np.array([-128, 63, 64, 127], np.int8).reshape(shape),), None)
    assert found.mask.tolist() == [[0, 0], [1, 1]]
    assert found.labels == (labels if len(labels) == 2 else ("background", *(labels or ("object",))))


def test_a_sigmoid_is_no_more_than_another_threshold() -> None:
    spec = TensorSpec("logits", (1, 1, 3, 1), "float32")
    found = task_for(spec, activation="sigmoid", threshold=0.9).decode((np.float32([[[[2.1], [2.2], [9]]]]),), None)
    assert found.mask.tolist() == [[0, 1, 1]]


def test_classes_that_the_model_chose_itself_are_taken_as_they_are() -> None:
    spec = TensorSpec("classes", (1, 2, 2), "int32")
    found = task_for(spec, ("a", "b", "c")).decode((np.int32([[[0, 2], [2, 1]]]),), None)
    assert found.mask.tolist() == [[0, 2], [2, 1]] and found.shares["c"] == 0.5
    found = task_for(spec, ("a",)).decode((np.int32([[[0, 2], [2, 1]]]),), None)
    assert found.shares == {"a": 0.25, "class 1": 0.25, "class 2": 0.5}


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    cells=st.sampled_from([(32, 48), (16, 24), (8, 12)]),
)
def test_every_pixel_of_the_frame_takes_the_cell_that_its_centre_lies_on(
    width: int, height: int, resize: str, cells: tuple[int, int]
) -> None:
    encoder = Encoder(
        Contract.model_validate({"input": "image", "colour": "rgb", "range": (-1, 1), "resize": resize}),
        TensorSpec("image", (1, 32, 48, 3), "float32"),
    )
    placement = encoder.encode(np.zeros((height, width, 3), np.uint8), np.zeros((1, 32, 48, 3), np.float32))
    assert placement is not None
    stored = np.arange(cells[0] * cells[1], dtype=np.int32).reshape(1, *cells) % 250
    found = task_for(TensorSpec("classes", (1, *cells), "int32")).decode((stored,), placement)
    laid = found.on_frame((height, width, 3))
    assert laid.shape == (height, width) and laid.dtype == np.uint8
    for y, x in [(0, 0), (height - 1, width - 1), (height // 2, width // 3), (height // 3, width - 1)]:
        tensor_x = (x + 0.5) * placement.scale[0] + placement.offset[0]
        tensor_y = (y + 0.5) * placement.scale[1] + placement.offset[1]
        column, row = int(tensor_x // (48 / cells[1])), int(tensor_y // (32 / cells[0]))
        inside = 0 <= tensor_x < 48 and 0 <= tensor_y < 32
        assert laid[y, x] == (found.mask[row, column] if inside else UNSEEN)
    if resize != "crop":
        assert not (laid == UNSEEN).any()


def test_the_border_of_a_letterbox_is_no_share_of_the_frame() -> None:
    spec = TensorSpec("mask", (1, 8, 12, 1), "float32")
    stored = np.zeros((1, 8, 12, 1), np.float32)
    stored[0, :, 3:9] = 1  # a frame of half the width, which the object fills
    placement = Placement((0.5, 0.5), (12.0, 0.0))
    assert task_for(spec, ("it",)).decode((stored,), placement).shares == {"background": 0, "it": 1}
    assert task_for(spec, ("it",)).decode((stored,), None).shares["it"] == 0.5


def test_a_frame_thinner_than_a_cell_has_shares_all_the_same() -> None:
    spec = TensorSpec("mask", (1, 8, 12, 1), "float32")
    placement = Placement((0.048, 0.03), (0.0, 15.9))  # 1000x7 pixels
    found = task_for(spec, ("it",)).decode((np.ones((1, 8, 12, 1), np.float32),), placement)
    assert found.shares == {"background": 0, "it": 1}


def test_the_mask_is_the_callers_own() -> None:
    spec = TensorSpec("scores", (1, 4, 4, 2), "int8", 0.1)
    stored = np.zeros((1, 4, 4, 2), np.int8)
    found = task_for(spec).decode((stored,), None)
    stored[..., 1] = 9
    assert not found.mask.any()


def test_the_record_holds_the_mask_as_run_lengths() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (9, 14)).astype(np.uint8)
    found = Segmentation(mask, ("a", "b", "c"), {}, (14, 9), None)
    record = json.loads(json.dumps(found.as_record()))
    again = np.repeat(record["runs"][::2], record["runs"][1::2]).reshape(record["height"], record["width"])
    assert np.array_equal(again, mask)
    assert Segmentation(np.zeros((2, 3), np.uint8), (), {}, (3, 2), None).as_record()["runs"] == [0, 6]


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((1, 10), (), "takes an output .1, height, width, classes. .*'o' has shape .1, 10."),
        ((1, 4, 4, 300), (), "up to 255 classes; output 'o' has 300"),
        ((1, 4, 4, 3), ("a", "b"), "2 labels, and the model has 3 classes"),
        ((1, 4, 4, 1), ("a", "b", "c"), "3 labels, and the model has 2 classes"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_for(TensorSpec("o", shape, "float32"), labels)


def test_an_input_that_is_no_image_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes an input .1, height, width, channels.; 'i' has shape"):
        task_for(TensorSpec("o", (1, 4, 4, 2), "float32"), input_=TensorSpec("i", (1, 9), "float32"))


@pytest.mark.slow
def test_the_man_in_the_car_is_segmented() -> None:
    """MediaPipe's selfie segmentation: the middle of the frame is he, its upper left corner is not."""
    side = Side(
        load(selfie_segmentation()).content,
        Contract(input="image", colour="rgb", range=(0, 1), resize="stretch"),
        SegmentSettings(kind="segment"),
        ("person",),
    )
    (frame,) = frames(carphone_video(), 30, 31, 1)
    found = side.run(RawSample(frame, "bgr", "frame 30"))
    laid = found.on_frame(frame.shape)
    height, width = laid.shape
    assert 0.25 < found.shares["person"] < 0.7
    assert laid[height // 2 : height * 3 // 4, width * 2 // 5 : width // 2].mean() > 0.95
    assert laid[: height // 5, : width // 5].mean() < 0.05
