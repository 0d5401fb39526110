"""Evaluation on ground truth: top-1 and top-5 of classifiers, AP50 of detectors, for float and int8, with labels that must match."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters import ConvertResult, convert
from converters.calibrate.samples import RawSample
from converters.load import load
from converters.verify.overlap import iou, match_boxes
from converters.verify.sides import Side
from edge_sdk.contract import Contract
from edge_sdk.errors import ConfigError, DataError
from edge_sdk.tasks import ClassifySettings
from edge_sdk.tasks.detect import Detection
from tests.tiny_models import image_net

CLASSES = ("ant", "bee", "cow", "dog", "elk", "fox", "gnu")
CONTRACT = {"input": "image", "colour": "rgb", "range": [-1, 1], "resize": "stretch"}
FACE = Path(__file__).parents[1] / "examples" / "face" / "model.toml"


def found(box: tuple[float, float, float, float], score: float, index: int = 0) -> Detection:
    return Detection(box, f"class {index}", index, score, ())


def test_overlap_and_greedy_matching() -> None:
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    first = [found((0, 0, 10, 10), 0.9), found((1, 0, 11, 10), 0.8)]
    second = [found((1, 0, 11, 10), 0.9), found((0, 0, 10, 10), 0.9, index=1)]
    assert match_boxes(first, second) == [(1, 0, 1.0)]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(image_net(classes=len(CLASSES)))
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(16):
        image = rng.integers(0, 256, (16, 16, 3)) * rng.uniform(0.2, 1, 3)
        cv2.imwrite(str(folder / f"{number:02d}.png"), image.astype(np.uint8))
    return folder


def float_answers(model: Path, photos: Path) -> dict[Path, str]:
    """What the float model says: as ground truth it makes float's top-1 exactly 100 %."""
    side = Side(load(model).content, Contract.model_validate(CONTRACT), ClassifySettings(kind="classify"), CLASSES)
    return {
        file: side.run(RawSample(cv2.imread(str(file)), "bgr", file.name))[0].label for file in sorted(photos.iterdir())
    }


def run(model: Path, photos: Path, evaluate: Path) -> ConvertResult:
    return convert(
        model,
        output=model.with_suffix(".edge"),
        calibrate=photos,
        contract=CONTRACT,
        task="classify",
        labels=model.parent / "labels.txt",
        evaluate=evaluate,
        overwrite=True,
    )


def test_classifier_on_csv_and_on_class_folders(classifier: Path, photos: Path, tmp_path: Path) -> None:
    answers = float_answers(classifier, photos)
    wrong = dict(answers)
    first = next(iter(wrong))
    wrong[first] = next(label for label in CLASSES if label != answers[first])
    with (tmp_path / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "label"), *((f"photos/{image.name}", label) for image, label in wrong.items())]
        )
    by_csv = run(classifier, photos, tmp_path / "truth.csv").figures.evaluation
    for image, label in wrong.items():
        (tmp_path / "truth" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "truth" / label / image.name).write_bytes(image.read_bytes())
    by_folder = run(classifier, photos, tmp_path / "truth").figures.evaluation
    assert by_csv is not None
    assert by_folder is not None
    assert by_csv.metrics == by_folder.metrics
    top1, top5 = by_csv.metrics
    assert (top1.name, top1.float_value, by_csv.samples) == ("top-1", 100 * 15 / 16, 16)
    assert top5.name == "top-5"
    assert top5.float_value >= top1.float_value
    assert top1.int8_value >= 80


def test_classes_without_a_label_are_named_before_the_work(classifier: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "truth" / "unicorn").mkdir(parents=True)
    (tmp_path / "truth" / "unicorn" / "a.png").write_bytes((photos / "00.png").read_bytes())
    with pytest.raises(DataError, match=r"labels do not name: unicorn\. The labels are ant, bee"):
        run(classifier, photos, tmp_path / "truth")
    assert not (tmp_path / "net.edge").exists()


def test_image_that_is_missing_is_named(classifier: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("photos/99.png,ant\n")
    with pytest.raises(DataError, match=r"names the image photos/99\.png, which is not beside it"):
        run(classifier, photos, tmp_path / "truth.csv")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"images": [], "annotations": [], "categories": []}', b"[1"])
def test_broken_ground_truth_of_a_detector_is_named(content: bytes, tmp_path: Path) -> None:
    from converters.verify.coco_json import read_boxes

    (tmp_path / "truth.json").write_bytes(content)
    with pytest.raises(DataError, match=r"truth\.json.*COCO-style"):
        try:
            read_boxes(tmp_path / "truth.json", ("face",))
        except DataError as exc:
            raise DataError(str(exc).replace("\n", " ")) from exc


def test_raw_task_needs_a_metric(classifier: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("photos/00.png,ant\n")
    allowed = (
        r"metric is missing: task raw has none of its own\. Its metrics are top-1, top-5, iou, auc, keypoints, mse, mae"
    )
    with pytest.raises(ConfigError, match=allowed):
        convert(
            classifier,
            output=tmp_path / "net.edge",
            calibrate=photos,
            contract=CONTRACT,
            evaluate=tmp_path / "truth.csv",
        )


def test_detector_on_coco_boxes(face_model: Path, carphone: Path, tmp_path: Path) -> None:
    """The man's face stays where it is: one box, drawn by hand, for eight frames."""
    video = cv2.VideoCapture(str(carphone))
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), video.read()[1])
    video.release()
    face = [64, 44, 48, 52]  # x, y, width, height: from forehead to chin, from ear to ear
    coco = {
        "info": {"description": "passed over"},
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(8)],
        "annotations": [{"id": n, "image_id": n, "category_id": 7, "bbox": face, "iscrowd": 0} for n in range(8)],
        "categories": [{"id": 7, "name": "face"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(coco))
    result = convert(
        face_model,
        output=tmp_path / "f.edge",
        config=FACE,
        calibrate=f"{carphone}?start=60",
        evaluate=tmp_path / "truth.json",
    )
    evaluation = result.figures.evaluation
    assert evaluation is not None
    mean, at_half = evaluation.metrics
    assert (mean.name, at_half.name, evaluation.samples) == ("mAP", "AP50", 8)
    assert at_half.float_value > 0.9
    assert at_half.int8_value > 0.9
    assert 0 < mean.float_value < at_half.float_value
    assert mean.drop_interval is None  # of eight images nobody can tell
