"""Detection: anchors, thresholds among stored numbers, boxes in source pixels, suppression; and a real face detector."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.contract import Contract, Placement
from edge_sdk.encoder import Encoder
from edge_sdk.engines import load_engine
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import DetectSettings, make_task
from edge_sdk.tasks.anchors import generate_anchors
from edge_sdk.tasks.detect import MAX_CANDIDATES, Detection, non_maximum_suppression
from edge_sdk.tasks.settings import AnchorSettings
from edge_sdk.tensors import TensorSpec

INPUT = TensorSpec("image", (1, 8, 16, 3), "int8", 1.0, 0)
ANCHORS = AnchorSettings(strides=(4,), interpolated_scale_aspect_ratio=0, fixed_size=True)  # 4 x 2 cells
COUNT = 8


def task_for(box_spec: TensorSpec, score_spec: TensorSpec, labels: tuple[str, ...] = (), **changes):
    base = {"kind": "detect", "boxes": "boxes", "scores": "scores", "anchors": ANCHORS}
    found = DetectSettings.model_validate(base | changes)
    return make_task(found, input_=INPUT, outputs=(box_spec, score_spec), labels=labels)


def floats(count: int, numbers: int = 4, classes: int = 1) -> tuple[TensorSpec, TensorSpec]:
    return TensorSpec("boxes", (1, count, numbers), "float32"), TensorSpec("scores", (1, count, classes), "float32")


def raw(classes: int = 1, numbers: int = 4) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.zeros((1, COUNT, numbers), np.float32)
    boxes[..., 2:4] = 0.1
    return boxes, np.full((1, COUNT, classes), -9, np.float32)


# Anchors


def reference_anchors(a: AnchorSettings, width: int, height: int) -> list[tuple[float, ...]]:
    """MediaPipe's GenerateAnchors, told loop by loop."""
    made: list[tuple[float, ...]] = []
    total = len(a.strides)

    def scale_of(layer: int) -> float:
        if total == 1:
            return (a.min_scale + a.max_scale) * 0.5
        return a.min_scale + (a.max_scale - a.min_scale) * layer / (total - 1.0)

    first = 0
    while first < total:
        shapes = []
        layer = first
        while layer < total and a.strides[layer] == a.strides[first]:
            scale = scale_of(layer)
            if layer == 0 and a.reduce_boxes_in_lowest_layer:
                shapes += [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
            else:
                shapes += [(scale, ratio) for ratio in a.aspect_ratios]
                if a.interpolated_scale_aspect_ratio > 0:
                    following = 1.0 if layer == total - 1 else scale_of(layer + 1)
                    shapes.append((math.sqrt(scale * following), a.interpolated_scale_aspect_ratio))
            layer += 1
        rows, columns = math.ceil(height / a.strides[first]), math.ceil(width / a.strides[first])
        for y in range(rows):
            for x in range(columns):
                for scale, ratio in shapes:
                    size = (1.0, 1.0) if a.fixed_size else (scale * math.sqrt(ratio), scale / math.sqrt(ratio))
                    made.append(((x + a.offset[0]) / columns, (y + a.offset[1]) / rows, *size))
        first = layer
    return made


@pytest.mark.parametrize(
    ("anchors", "size", "count"),
    [
        (AnchorSettings(strides=(8, 16, 16, 16), fixed_size=True), (128, 128), 896),  # BlazeFace short-range
        (
            AnchorSettings(strides=(4,), fixed_size=True, interpolated_scale_aspect_ratio=0),
            (192, 192),
            2304,
        ),  # BlazeFace full-range
        (
            AnchorSettings(  # SSD MobileNetV2, 300 pixels
                strides=(16, 32, 64, 128, 256, 512),
                aspect_ratios=(1, 2, 0.5, 3, 0.3333),
                reduce_boxes_in_lowest_layer=True,
            ),
            (300, 300),
            1917,
        ),
        (AnchorSettings(strides=(8, 8, 32), aspect_ratios=(1, 2), offset=(0.25, 0.75)), (100, 60), 104 * 6 + 8 * 3),
        (AnchorSettings(strides=(16,), aspect_ratios=(1, 3)), (64, 64), 16 * 3),
    ],
    ids=["blazeface-short", "blazeface-full", "ssd-mobilenet", "shared-grid", "one-layer"],
)
def test_anchors_are_those_of_mediapipe(anchors: AnchorSettings, size: tuple[int, int], count: int) -> None:
    made = generate_anchors(anchors, size, count)
    np.testing.assert_allclose(made, np.array(reference_anchors(anchors, *size)), rtol=1e-6)


def test_a_wrong_number_of_anchors_names_both_counts_before_any_is_made() -> None:
    with pytest.raises(ConfigError, match=r"give 896 anchors \(16x16x2 \+ 8x8x6\); the model's output has 2304"):
        generate_anchors(AnchorSettings(strides=(8, 16, 16, 16)), (128, 128), 2304)
    with pytest.raises(ConfigError, match="give 2000000000000 anchors"):
        generate_anchors(AnchorSettings(strides=(1,)), (1_000_000, 1_000_000), 896)


@pytest.mark.parametrize(
    "wrong", [{"strides": (0,)}, {"strides": (4,), "aspect_ratios": (0.0,)}, {"strides": (4,), "min_scale": -1}]
)
def test_anchor_settings_out_of_range_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"\[task.anchors\]"):
        generate_anchors(AnchorSettings.model_validate(wrong), (16, 8), COUNT)


# Boxes


def test_a_box_is_its_anchor_plus_offset_in_pixels_of_the_source() -> None:
    boxes, scores = raw(numbers=6)
    boxes[0, 5] = [1.6, -0.8, 3.2, 1.6, 1.6, 3.2]  # cell x 1, y 1: centre (0.375, 0.75)
    scores[0, 5] = 3.0
    task = task_for(*floats(COUNT, 6), labels=("bird",), box_scale=(16, 8, 16, 8), keypoints=1)
    placement = Placement(scale=(0.5, 0.25), offset=(2, -1))
    (found,) = task.decode((boxes, scores), placement)
    # In the tensor: centre (0.475 * 16, 0.65 * 8), size (3.2, 1.6), keypoint (0.475 * 16, 1.15 * 8)
    np.testing.assert_allclose(found.box, [(6 - 2) / 0.5, (4.4 + 1) / 0.25, (9.2 - 2) / 0.5, (6 + 1) / 0.25], rtol=1e-5)
    np.testing.assert_allclose(found.keypoints, [[(7.6 - 2) / 0.5, (9.2 + 1) / 0.25]], rtol=1e-5)
    assert (found.label, found.index) == ("bird", 0)
    assert found.score == pytest.approx(1 / (1 + math.exp(-3)), rel=1e-6)


def test_order_yxhw_and_exponential_sizes_as_in_the_ssd_paper() -> None:
    anchors = AnchorSettings(strides=(4,), interpolated_scale_aspect_ratio=0, min_scale=0.5, max_scale=0.5)
    boxes, scores = raw()
    boxes[0, 0] = [5.0, 10.0, 5 * math.log(0.5), 5 * math.log(0.25)]  # y, x, h, w
    scores[0, 0] = 3.0
    changes = {"anchors": anchors, "box_order": "yxhw", "exponential": True, "box_scale": (10, 5, 5, 5)}
    (found,) = task_for(*floats(COUNT), **changes).decode((boxes, scores), None)
    centre = (0.125 + 1.0 * 0.5, 0.25 + 1.0 * 0.5)
    half = (0.5 * 0.25 / 2, 0.5 * 0.5 / 2)
    expected = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
    np.testing.assert_allclose(found.box, np.array(expected) * [16, 8, 16, 8], rtol=1e-5)


def test_order_yxhw_is_also_that_of_the_keypoints_as_in_mediapipe() -> None:
    """DecodeBoxes of tflite_tensors_to_detections_calculator.cc without reverse_output_order."""
    boxes, scores = raw(numbers=8)
    boxes[0, 0] = [0.1, 0.2, 0.3, 0.4, 0.25, 0.5, 0.125, -0.5]  # y, x, h, w, then twice y, x
    scores[0, 0] = 3.0
    changes = {"box_order": "yxhw", "keypoints": 2}
    (found,) = task_for(*floats(COUNT, 8), **changes).decode((boxes, scores), None)
    centre = np.array([0.125, 0.25])  # of the first cell, x and y, relative to the input of 16 x 8
    away = np.array([[0.5, 0.25], [-0.5, 0.125], [0.0, -0.05], [0.4, 0.25]])  # keypoints, then corners
    points = (centre + away) * [16, 8]
    np.testing.assert_allclose(found.keypoints, points[:2], rtol=1e-5)
    np.testing.assert_allclose(found.box, points[2:].reshape(-1), rtol=1e-5)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_boxes_of_the_input_with_scores_behind_them_in_one_output(turned: bool, dtype: str) -> None:
    """As YOLO models end: centre and size in pixels of the input, then a score a class."""
    rows = np.zeros((1, 12, 6), np.float32)
    rows[0, :, 2:4] = 1
    rows[0, 3] = [6, 4, 8, 2, 0.25, 0.75]
    rows[0, 9] = [12, 2, 4, 3, 0.6, 0.1]
    stored = rows.transpose(0, 2, 1) if turned else rows
    spec = TensorSpec("output", stored.shape, dtype, *((1 / 1024, -3) if dtype == "int16" else ()))
    found = {"kind": "detect", "boxes": "output", "anchors": "none", "box_scale": (16, 8, 16, 8), "activation": "none"}
    settings = DetectSettings.model_validate(found)
    task = make_task(settings, input_=INPUT, outputs=(spec,), labels=("cat", "dog"))
    first, second = task.decode((spec.quantize(stored),), Placement(scale=(0.5, 0.25), offset=(2, -1)))
    np.testing.assert_allclose(first.box, [0, 16, 16, 24], atol=0.01)
    np.testing.assert_allclose(second.box, [16, 6, 24, 18], atol=0.01)
    assert [(d.label, d.score) for d in (first, second)] == [("dog", 0.75), ("cat", pytest.approx(0.6, abs=1e-3))]


@pytest.mark.parametrize(
    "changes", [{"box_scale": (math.nan, 1, 1, 1)}, {"iou_threshold": math.nan}, {"threshold": math.inf}]
)
def test_settings_that_are_no_numbers_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"finite number"):
        task_for(*floats(COUNT), **changes)


def test_a_message_about_many_anchors_is_short() -> None:
    with pytest.raises(ConfigError, match=r"\+ 24 more\); the model's output has 8") as caught:
        task_for(*floats(COUNT), anchors=AnchorSettings(strides=(4, 8) * 16))
    assert len(str(caught.value)) < 500


def test_a_box_reaching_beyond_the_frame_is_not_clipped() -> None:
    boxes, scores = raw()
    boxes[0, 0] = [0, 0, 2, 2]
    scores[0, 0] = 3.0
    (found,) = task_for(*floats(COUNT)).decode((boxes, scores), None)
    assert found.box == (2 - 16, 2 - 8, 2 + 16, 2 + 8)


def test_nan_infinity_and_boxes_without_area_are_dropped() -> None:
    boxes, scores = raw()
    scores[0, :5] = 3.0
    scores[0, 5] = np.nan
    boxes[0, 0, 2], boxes[0, 1, 0], boxes[0, 2, 3], boxes[0, 3, 2] = -1, np.nan, np.inf, 0
    task = task_for(*floats(COUNT))
    (found,) = task.decode((boxes, scores), None)
    assert (
        round((found.box[0] + found.box[2]) / 2) == 2 and round((found.box[1] + found.box[3]) / 2) == 6
    )  # the fifth cell
    scores[0, 4] = -9
    assert task.decode((boxes, scores), None) == ()


# Scores


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(0.003, 1.0),
    zero_point=st.integers(-128, 127),
    threshold=st.floats(0.01, 0.99),
    activation=st.sampled_from(["none", "sigmoid"]),
)
def test_the_threshold_among_stored_numbers_is_the_threshold_of_scores(
    scale: float, zero_point: int, threshold: float, activation: str
) -> None:
    """Of all 256 stored numbers, exactly those whose score reaches the threshold are reported, with that score."""
    box_spec = TensorSpec("boxes", (1, COUNT, 4), "int8", 0.01, 0)
    score_spec = TensorSpec("scores", (1, COUNT, 32), "int8", scale, zero_point)
    stored = np.arange(-128, 128).astype(np.int8)
    boxes = np.full((1, COUNT, 4), 10, np.int8)
    task = task_for(box_spec, score_spec, threshold=threshold, activation=activation, max_boxes=256)
    found = task.decode((boxes, stored.reshape(1, COUNT, 32)), None)
    real = (stored.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    expected = real if activation == "none" else (1 / (1 + np.exp(-real.astype(np.float64)))).astype(np.float32)
    wanted = np.sort(expected[expected >= np.float32(threshold)])[::-1]
    np.testing.assert_allclose([f.score for f in found], wanted, rtol=1e-6)


def test_softmax_scores_leave_the_background_out() -> None:
    boxes, scores = raw(classes=3)
    scores[0, 0] = [5, 1, 1]
    scores[0, 3] = [1, 0, 4]
    task = task_for(*floats(COUNT, classes=3), labels=("cat", "dog"), activation="softmax", background=0)
    (found,) = task.decode((boxes, scores), None)
    assert (found.index, found.label) == (2, "dog")
    assert found.score == pytest.approx(math.exp(4) / (math.exp(1) + 1 + math.exp(4)), rel=1e-5)


def test_quantized_and_float_outputs_decode_alike() -> None:
    rng = np.random.default_rng(5)
    boxes, scores = raw()
    boxes[0] += rng.uniform(0, 0.1, boxes.shape[1:])
    scores[0] = rng.normal(1, 2, scores.shape[1:])
    box_spec = TensorSpec("boxes", boxes.shape, "int16", 1e-4, 3)
    score_spec = TensorSpec("scores", scores.shape, "int16", 1e-3, -5)
    exact = task_for(*floats(COUNT)).decode((boxes, scores), None)
    close = task_for(box_spec, score_spec).decode((box_spec.quantize(boxes), score_spec.quantize(scores)), None)
    assert len(exact) == len(close) > 1
    for one, other in zip(exact, close, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=0.01)
        assert one.score == pytest.approx(other.score, abs=1e-3)


# Suppression


def test_of_overlapping_boxes_of_one_class_the_best_is_kept() -> None:
    boxes, scores = raw(classes=2)
    boxes[0, :, 2:] = 0.4  # neighbours in x are 0.25 apart and overlap by 0.23; rows are 0.5 apart and do not
    scores[0, 0, 0], scores[0, 1, 0], scores[0, 1, 1], scores[0, 4, 0] = 2.0, 3.0, 2.5, 1.0
    found = task_for(*floats(COUNT, classes=2), iou_threshold=0.2).decode((boxes, scores), None)
    places = [(f.index, round((f.box[0] + f.box[2]) / 2), round((f.box[1] + f.box[3]) / 2)) for f in found]
    assert places == [(0, 6, 2), (1, 6, 2), (0, 2, 6)]
    assert len(task_for(*floats(COUNT, classes=2), iou_threshold=0.3).decode((boxes, scores), None)) == 4


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.floats(0.05, 0.95))
def test_suppression_is_the_greedy_one(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.random((30, 2), np.float32)
    boxes = np.hstack([corner, corner + rng.random((30, 2), np.float32) * 0.5 + 0.01])
    classes = rng.integers(0, 3, 30)
    expected: list[int] = []
    for i in range(30):
        if all(classes[k] != classes[i] or overlap(boxes[k], boxes[i]) <= threshold for k in expected):
            expected.append(i)
    assert non_maximum_suppression(boxes, classes, threshold, 30) == expected
    assert non_maximum_suppression(boxes, classes, threshold, 3) == expected[:3]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return width * height / (sum(areas) - width * height)


def test_a_model_gone_wild_costs_bounded_work_and_keeps_the_best() -> None:
    anchors = AnchorSettings(
        strides=(4,) * 50, interpolated_scale_aspect_ratio=0, aspect_ratios=(1.0,) * 10, fixed_size=True
    )
    box_spec, score_spec = floats(4000)
    boxes = np.full(box_spec.shape, 0.1, np.float32)
    boxes[0, :, 0] = np.arange(4000)  # no two overlap
    scores = np.linspace(1, 2, 4000, dtype=np.float32).reshape(score_spec.shape)
    task = task_for(box_spec, score_spec, anchors=anchors, max_boxes=5000)
    found = task.decode((boxes, scores), None)
    assert len(found) == MAX_CANDIDATES
    assert found[0].score == pytest.approx(1 / (1 + math.exp(-2)))


# Settings that do not fit


@pytest.mark.parametrize(
    ("specs", "changes", "labels", "message"),
    [
        (floats(COUNT), {"boxes": "nothing"}, (), r"boxes = 'nothing'.*'boxes', 'scores'"),
        (floats(COUNT, 6), {}, (), r"'boxes' has shape \(1, 8, 6\); with keypoints = 0 it must be \(1, anchors, 4\)"),
        (floats(COUNT), {"background": 4}, (), r"background = 4 is not among the 1 classes"),
        (floats(COUNT), {"scores": "boxes"}, (), r"both 'boxes'; leave scores out where they stand behind the boxes"),
        (floats(COUNT), {"scores": None}, (), r"\(1, 8, 4\); without scores .* \(1, boxes, 4 \+ classes\) or"),
        (floats(8, 8), {"scores": None}, (), r"\(1, 8, 8\); without scores .*, with more boxes than that"),
        (floats(9), {}, (), "give 8 anchors .*; the model's output has 9"),
        (floats(COUNT, classes=3), {}, ("a", "b"), "there are 2 labels, and the model has 3 classes"),
        (floats(COUNT), {"box_scale": (0, 1, 1, 1)}, (), "cannot hold 0"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    specs: tuple[TensorSpec, TensorSpec], changes: dict[str, object], labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        task_for(*specs, labels=labels, **changes)


def test_without_labels_a_class_has_its_number() -> None:
    boxes, scores = raw(classes=2)
    scores[0, 0, 1] = 3.0
    (found,) = task_for(*floats(COUNT, classes=2)).decode((boxes, scores), None)
    assert (found.label, found.index) == ("class 1", 1)


# A real detector


def faces(model: Path, video: Path, frames: int) -> list[tuple[Detection, ...]]:
    capture = cv2.VideoCapture(str(video))
    with load_engine("litert", str(model)) as engine:
        contract = Contract(input="image", colour="rgb", range=(-1, 1), resize="letterbox")
        encoder = Encoder(contract, engine.inputs[0])
        detect = DetectSettings(
            kind="detect",
            boxes="regressors",
            scores="classificators",
            anchors=AnchorSettings(strides=(8, 16, 16, 16), fixed_size=True),
            box_scale=(128, 128, 128, 128),
            keypoints=6,
        )
        task = make_task(detect, input_=engine.inputs[0], outputs=engine.outputs, labels=("face",))
        found = []
        for _ in range(frames):
            placement = encoder.encode(capture.read()[1], engine.input_arrays[0])
            found.append(task.decode(engine.run(), placement))
    capture.release()
    return found


def test_a_real_detector_finds_the_one_face_where_it_is(face_model: Path, carphone: Path) -> None:
    for found in faces(face_model, carphone, 10):
        (face,) = found
        xmin, ymin, xmax, ymax = face.box
        assert face.label == "face"
        assert face.score > 0.85
        assert 40 < xmin < 75 and 30 < ymin < 60  # the man's face in frames of 176x144, seen by eye
        assert 40 < xmax - xmin < 65 and 40 < ymax - ymin < 65
        right_eye, left_eye, nose, mouth = face.keypoints[:4]
        assert xmin < right_eye[0] < nose[0] < left_eye[0] < xmax
        assert ymin < right_eye[1] < nose[1] < mouth[1] < ymax
