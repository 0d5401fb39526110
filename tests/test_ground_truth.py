"""Ground truth of every form is read as it is meant, and what is wrong with it is named before any work is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from converters.calibrate.ranges import measure_ranges
from converters.calibrate.samples import open_samples
from converters.load import load
from converters.quantize.quantize import quantize
from converters.quantize.recipe import read_recipe
from converters.verify.evaluate import Truth, evaluate, measure, read_truth
from converters.verify.settings import EvaluateSettings
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import ConfigError, DataError
from edge_sdk.tasks import ClassifySettings, DetectSettings, RawSettings, TaskSettings
from tests.test_metrics import pixels
from tests.tiny_models import image_net

IMAGE = Contract.model_validate({"input": "image", "colour": "rgb", "range": [0, 1], "resize": "stretch"})
NUMBERS = Contract(input="tensor")
CLASSIFY, RAW = ClassifySettings(kind="classify"), RawSettings()
DETECT = DetectSettings.model_validate(
    {"kind": "detect", "boxes": "b", "scores": "s", "anchors": {"strides": [8], "fixed_size": True}}
)


def picture(path: Path, shade: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((16, 16, 3), shade, np.uint8))
    return path


def read(
    where: object,
    metric: str | None,
    contract: Contract = IMAGE,
    task: TaskSettings = RAW,
    labels: tuple[str, ...] = (),
) -> Truth:
    settings = EvaluateSettings.model_validate({"metric": metric, "threshold": 0.5})
    return read_truth(str(where), contract, task, labels, settings)


def rights(truth: Truth) -> list[Any]:
    return [answer.right for answer in truth.answers]


def test_class_folders_that_are_numbers_need_no_labels(tmp_path: Path) -> None:
    for name in ("0", "2", "10"):
        picture(tmp_path / name / "a.png")
    assert rights(read(tmp_path, None, task=CLASSIFY)) == [0, 10, 2]
    assert rights(read(tmp_path, None, task=CLASSIFY, labels=("2", "10", "0"))) == [
        2,
        1,
        0,
    ]  # with labels they are names
    with pytest.raises(DataError, match="ground truth has class 10; output 'scores' has classes 0 to 3"):
        truth = read(tmp_path, None, task=CLASSIFY)
        measure(truth, [truth.side(image_net(), IMAGE, CLASSIFY, ())])


def test_class_folders_with_names_need_labels(tmp_path: Path) -> None:
    picture(tmp_path / "ant" / "a.png")
    with pytest.raises(
        DataError, match=r"names classes \(ant\), and the model has no labels.*or name the classes by their indices"
    ):
        read(tmp_path, None, task=CLASSIFY)


def test_anomalies_are_whatever_is_not_called_normal(tmp_path: Path) -> None:
    for name in ("crack", "hole", "normal"):
        picture(tmp_path / "truth" / name / "a.png")
    assert rights(read(tmp_path / "truth", "auc")) == [True, True, False]
    (tmp_path / "truth.csv").write_text("file,label\ntruth/normal/a.png,normal\ntruth/hole/a.png,hole\n")
    assert rights(read(tmp_path / "truth.csv", "auc")) == [False, True]
    (tmp_path / "truth.csv").write_text("truth/normal/a.png,good\ntruth/hole/a.png,hole\n")
    with pytest.raises(
        DataError, match=r"has no class normal; it has good, hole\. Call that of the normal samples normal"
    ):
        read(tmp_path / "truth.csv", "auc")
    (tmp_path / "truth.csv").write_text("truth/normal/a.png,normal\n")
    with pytest.raises(DataError, match="normal samples only, or anomalies only; auc needs both"):
        read(tmp_path / "truth.csv", "auc")


def test_masks_are_paired_by_their_stems(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    with pytest.raises(DataError, match="has no folders images and masks"):
        read(tmp_path, "iou")
    picture(tmp_path / "masks" / "b.png")
    with pytest.raises(DataError, match=r"2 of images and masks have no partner, such as a, b"):
        read(tmp_path, "iou")


def test_masks_that_are_none_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    mask = tmp_path / "masks" / "a.png"
    mask.parent.mkdir()

    def scored(content: Any, model: bytes) -> None:
        cv2.imwrite(str(mask), content)
        truth = read(tmp_path, "iou")
        measure(truth, [truth.side(model, IMAGE, RAW, ())])

    coloured = np.zeros((16, 16, 3), np.uint8)
    coloured[0, 0] = (0, 0, 128)
    with pytest.raises(
        DataError, match=r"a\.png is in colour; a mask holds the index of each pixel's class in one channel"
    ):
        scored(coloured, pixels([[1, 0, 0]]))
    with pytest.raises(DataError, match=r"a\.png holds 7; allowed are 0 and 1, or 0 and 255"):
        scored(np.full((16, 16), 7, np.uint8), pixels([[1, 0, 0]]))
    with pytest.raises(DataError, match=r"a\.png holds 3; allowed are 0 to 2, and 255 for pixels that do not count"):
        scored(np.full((16, 16), 3, np.uint8), pixels(np.eye(3)))
    mask.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png cannot be read as a mask"):
        measure(read(tmp_path, "iou"), [read(tmp_path, "iou").side(pixels(np.eye(3)), IMAGE, RAW, ())])


def test_broken_image_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "0" / "a.png")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "broken.png").write_bytes(b"no picture")
    truth = read(tmp_path, None, task=CLASSIFY)
    with pytest.raises(DataError, match=r"broken\.png cannot be read as an image"):
        measure(truth, [truth.side(image_net(), IMAGE, CLASSIFY, ())])


ARRAYS: dict[str, tuple[dict[str, Any], str, str]] = {
    "names": ({"x": [1.0], "y": [1.0]}, "mse", r"holds the arrays x, y; inputs and truth are needed"),
    "lengths": ({"inputs": [[1.0]] * 3, "truth": [1.0, 2.0]}, "mse", "has 3 inputs and 2 right answers"),
    "empty": ({"inputs": np.zeros((0, 1)), "truth": np.zeros(0)}, "mse", "has 0 inputs and 0 right answers"),
    "text": ({"inputs": [[1.0]], "truth": ["a"]}, "mse", "truth is <U1 of shape"),
    "nan": ({"inputs": [[1.0]], "truth": [np.nan]}, "mse", "finite numbers are needed"),
    "halves": ({"inputs": [[1.0]], "truth": [0.5]}, "top-1", "one whole number for each of 1 inputs is needed"),
    "classes": ({"inputs": [[1.0]] * 2, "truth": [0, 2]}, "auc", "truth holds 2; 0 is normal and 1 is an anomaly"),
    "masks": ({"inputs": [[1.0]], "truth": [0.5]}, "iou", r"masks are integers, \(samples, height, width\)"),
    "points": (
        {"inputs": [[1.0]], "truth": [[1.0, 2.0]]},
        "keypoints",
        r"keypoints are \(samples, keypoints, 2 or 3\)",
    ),
    "unlabelled": (
        {"inputs": [[1.0]], "truth": [[[1.0, 2.0, 0.0]]]},
        "keypoints",
        "holds no keypoint that is labelled",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit_are_named(name: str, tmp_path: Path) -> None:
    content, metric, said = ARRAYS[name]
    np.savez(tmp_path / "truth.npz", **{key: np.asarray(value) for key, value in content.items()})
    with pytest.raises(DataError, match=said):
        read(tmp_path / "truth.npz", metric, NUMBERS)


def test_arrays_of_images_say_their_channel_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", inputs=np.zeros((2, 16, 16, 3), np.uint8), truth=np.array([0, 1]))
    with pytest.raises(DataError, match=r"does not say their channel order: give .*t\.npz\?colour=rgb"):
        read(tmp_path / "t.npz", "top-1")
    with pytest.raises(DataError, match="has no option color; colour=rgb or colour=bgr goes with"):
        read(f"{tmp_path / 't.npz'}?color=rgb", "top-1")
    assert rights(read(f"{tmp_path / 't.npz'}?colour=rgb", "top-1")) == [0, 1]
    assert read(f"{tmp_path / 't.npz'}?colour=rgb", "top-1").answers[1].read().colour == "rgb"


def test_damaged_arrays_and_what_is_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match=r"t\.npz cannot be read as arrays"):
        read(tmp_path / "t.npz", "mse", NUMBERS)
    with pytest.raises(DataError, match=r"none\.npz does not exist; ground truth is"):
        read(tmp_path / "none.npz", "mse", NUMBERS)
    (tmp_path / "t.npz").unlink()
    picture(tmp_path / "0" / "a.png")
    with pytest.raises(ConfigError, match=r"holds images, and the model takes numbers.*is \.npz with inputs and truth"):
        read(tmp_path, "top-1", NUMBERS)


def test_damage_inside_a_compressed_archive_is_told(tmp_path: Path) -> None:
    whole = tmp_path / "t.npz"
    np.savez_compressed(whole, inputs=np.arange(4000, dtype=np.float32).reshape(2, -1), truth=np.array([0, 1]))
    content = bytearray(whole.read_bytes())
    content[100:400] = bytes(300)
    whole.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.npz cannot be read as arrays"):
        read(whole, "mse", NUMBERS)


def coco(tmp_path: Path, **more: Any) -> Path:
    picture(tmp_path / "a.png")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, **more.pop("annotation", {"bbox": [1, 2, 3, 4]})}
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [annotation] * more.pop("times", 1),
        "categories": [{"id": 1, "name": "cat"}],
        **more,
    }
    (tmp_path / "t.json").write_text(json.dumps(content))
    return tmp_path / "t.json"


def test_coco_boxes_are_named_as_detections_are(tmp_path: Path) -> None:
    (objects,) = rights(read(coco(tmp_path), None, task=DETECT, labels=("dog", "cat")))
    assert [(o.label, o.box, o.crowd) for o in objects] == [("cat", (1, 2, 4, 6), False)]
    (objects,) = rights(read(coco(tmp_path, categories=[{"id": 1, "name": "3"}]), None, task=DETECT))
    assert objects[0].label == "class 3"  # what a detection is called where there are no labels
    crowd = coco(tmp_path, annotation={"bbox": [1, 2, 3, 4], "iscrowd": 1})
    assert rights(read(crowd, None, task=DETECT, labels=("cat",)))[0][0].crowd


BAD_COCO: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "no box": ({"annotation": {}}, None, "an annotation of image 1 has no bbox"),
    "category": ({"categories": [{"id": 9, "name": "cat"}]}, None, "names category 1 and image 1; one is not listed"),
    "label": ({"categories": [{"id": 1, "name": "yak"}]}, None, r"labels do not name: yak\. The labels are cat"),
    "no keypoints": ({}, "keypoints", "has 0 keypoint numbers, not 3 each"),
    "several": (
        {"annotation": {"keypoints": [1, 2, 2]}, "times": 2},
        "keypoints",
        "image 1 has several sets of keypoints",
    ),
}


@pytest.mark.parametrize("name", BAD_COCO)
def test_coco_file_that_does_not_fit_is_named(name: str, tmp_path: Path) -> None:
    content, metric, said = BAD_COCO[name]
    with pytest.raises(DataError, match=said):
        read(coco(tmp_path, **content), metric, task=RAW if metric else DETECT, labels=("cat",))


def test_coco_keypoints_are_read_and_images_without_any_left_out(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]
    truth = read(coco(tmp_path, annotation={"keypoints": [1, 2, 2, 3, 4, 0]}, images=images), "keypoints")
    assert [right.tolist() for right in rights(truth)] == [[[1, 2, 2], [3, 4, 0]]]


def test_settings_are_strict() -> None:
    for keys in (
        {"metric": "accuracy"},
        {"treshold": 0.5},
        {"threshold": float("nan")},
        {"relative": "yes"},
        {"points": "zx"},
    ):
        with pytest.raises(ValidationError):
            EvaluateSettings.model_validate(keys)


def test_float_and_int8_of_a_segmenter_side_by_side(tmp_path: Path) -> None:
    """From images and masks to a metric with intervals, with a model that was really quantized."""
    rng = np.random.default_rng(0)
    for number in range(40):
        image = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), (image[:, :, 2] > 127).astype(np.uint8) * 255)
    (tmp_path / "net.tflite").write_bytes(pixels([[0.9, 0.05, 0.05]]))
    model = load(tmp_path / "net.tflite")
    truth = read(tmp_path, "iou")
    spec = truth.side(model.content, IMAGE, RAW, ()).inputs[0]
    ranges = measure_ranges(
        model.content, open_samples(tmp_path / "images", shape=spec.shape), Encoder(IMAGE, spec), lambda: None
    )
    steps: list[tuple[str, int, int]] = []
    models = (model.content, quantize(model.content, ranges, read_recipe("int8")).content)
    evaluation = evaluate(truth, models, IMAGE, RAW, (), lambda *step: steps.append(step))
    (metric,) = evaluation.metrics
    assert (metric.name, metric.unit, metric.samples, evaluation.samples) == ("iou", "%", 40, 40)
    assert 80 < metric.int8_value <= 100
    assert metric.float_interval is not None
    assert metric.float_interval.low < metric.float_value < metric.float_interval.high
    assert metric.drop_interval is not None
    assert abs(metric.drop or 0) < 0.05
    assert metric.drop_interval.high - metric.drop_interval.low < 0.05
    assert steps[-1] == ("evaluate", 40, 40)
