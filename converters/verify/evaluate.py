"""Evaluation on ground truth: the task's own metric, for float and for int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.calibrate.samples import RawSample, read_image
from converters.report.figures import Evaluation, Metric
from converters.verify.overlap import MATCH_IOU, Box, iou
from converters.verify.sides import Side
from converters.verify.truth import AnnotatedImage, LabelledImage, read_boxes, read_classes
from edge_sdk.contract import Contract
from edge_sdk.errors import ConfigError, DataError
from edge_sdk.tasks import ClassifySettings, DetectSettings, TaskSettings
from edge_sdk.tasks.detect import Detection

LOWEST_SCORE = 0.01  # AP counts every detection, not only those that an application would take
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Truth:
    """Images with the right answers, for a classifier or for a detector."""

    data: str
    classes: tuple[LabelledImage, ...] = ()
    boxes: tuple[AnnotatedImage, ...] = ()


def read_truth(where: str, contract: Contract, task: TaskSettings, labels: tuple[str, ...]) -> Truth:
    """Read ground truth, before any work is done that would be lost if it does not fit.

    Args:
        where: a folder of class folders or a CSV of file,label (classify), or a COCO-style JSON file (detect).
        contract, task, labels: as in the bundle.

    Raises:
        ConfigError: if the task has no metric.
        DataError: if the data cannot be read or does not fit the labels.
    """
    path = Path(where)
    if not path.exists():
        raise DataError(
            f"{path} does not exist; ground truth is a folder of class folders, a .csv of file,label, or a COCO .json"
        )
    if contract.input == "image" and isinstance(task, ClassifySettings):
        return Truth(path.name, classes=tuple(read_classes(path, labels)))
    if contract.input == "image" and isinstance(task, DetectSettings):
        return Truth(path.name, boxes=tuple(read_boxes(path, labels)))
    raise ConfigError(
        f"--evaluate is for classify and detect on images; this model has task {task.kind}, input {contract.input}"
    )


def evaluate(
    truth: Truth,
    models: tuple[bytes, bytes],
    contract: Contract,
    task: TaskSettings,
    labels: tuple[str, ...],
    progress: Progress,
) -> Evaluation:
    """Measure float and int8 on data with the right answers.

    Args:
        truth: as ``read_truth`` gave it for the same contract, task and labels.
        models: float and int8.
        contract, task, labels: as in the bundle.
        progress: called as the work goes on.

    Raises:
        DataError: if an image cannot be read.
    """
    every = {"threshold": LOWEST_SCORE} if truth.boxes else {"threshold": float("-inf"), "top_k": 5}
    sides = [Side(content, contract, task.model_copy(update=every), labels) for content in models]
    if truth.boxes:
        return _detect(truth.data, sides, truth.boxes, progress)
    return _classify(truth.data, sides, truth.classes, progress)


def _classify(data: str, sides: Sequence[Side], images: Sequence[LabelledImage], progress: Progress) -> Evaluation:
    hits = np.zeros((2, 2))  # (top-1, top-5) x (float, int8)
    for number, image in enumerate(images):
        sample = RawSample(read_image(image.file), "bgr", str(image.file))
        for column, side in enumerate(sides):
            best = [score.index for score in side.run(sample)]
            hits[0, column] += best[:1] == [image.index]
            hits[1, column] += image.index in best
        progress("evaluate", number + 1, len(images))
    rows = zip(("top-1", "top-5"), 100 * hits / len(images), strict=True)
    metrics = [Metric(name=name, float_value=row[0], int8_value=row[1], unit="%") for name, row in rows]
    classes = sides[0].outputs[0].shape[-1]
    kept = metrics if classes > 5 else metrics[:1]  # of five classes, the right one is always among the best five
    return Evaluation(data=data, samples=len(images), metrics=tuple(kept))


def _detect(data: str, sides: Sequence[Side], images: Sequence[AnnotatedImage], progress: Progress) -> Evaluation:
    found: list[list[tuple[Detection, ...]]] = [[], []]
    for number, image in enumerate(images):
        sample = RawSample(read_image(image.file), "bgr", str(image.file))
        for side, detections in zip(sides, found, strict=True):
            detections.append(tuple(side.run(sample)))
        progress("evaluate", number + 1, len(images))
    truth = [image.objects for image in images]
    before, after = (mean_average_precision(detections, truth) for detections in found)
    metric = Metric(name="AP50", float_value=before, int8_value=after)
    return Evaluation(data=data, samples=len(images), metrics=(metric,))


def mean_average_precision(
    found: Sequence[Sequence[Detection]], truth: Sequence[Sequence[tuple[int, Box]]], min_iou: float = MATCH_IOU
) -> float:
    """Average precision at one IoU, the mean over the classes that occur in the truth.

    Args:
        found: detections, image by image.
        truth: (class index, box) of every object, image by image.
        min_iou: the smallest IoU of a hit.

    Returns:
        0 to 1; 0 if there is no object at all.
    """
    classes = sorted({index for objects in truth for index, _ in objects})
    return float(np.mean([_average_precision(found, truth, index, min_iou) for index in classes])) if classes else 0.0


def _average_precision(
    found: Sequence[Sequence[Detection]], truth: Sequence[Sequence[tuple[int, Box]]], index: int, min_iou: float
) -> float:
    """The area below the precision-recall curve, precision made falling, every point used.

    That is the PASCAL VOC rule since 2010 (Everingham et al., The PASCAL Visual Object Classes Challenge: A Retrospective, section
    4.2): detections by falling score, each matched to the object that it overlaps most; a second hit of an object counts as wrong.
    """
    boxes = [[box for class_, box in objects if class_ == index] for objects in truth]
    taken = [[False] * len(of_image) for of_image in boxes]
    ranked = sorted(
        ((d.score, image, d.box) for image, of_image in enumerate(found) for d in of_image if d.index == index),
        key=lambda hit: -hit[0],
    )
    right = np.array([_hit(box, boxes[image], taken[image], min_iou) for _, image, box in ranked], bool)
    hits = np.cumsum(right)
    recall = np.concatenate([[0.0], hits / sum(map(len, boxes))])
    precision = np.concatenate([hits / np.arange(1, len(right) + 1), [0.0]])
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * falling[:-1]))


def _hit(box: Box, objects: Sequence[Box], taken: list[bool], min_iou: float) -> bool:
    overlaps = [iou(box, other) for other in objects]
    best = int(np.argmax(overlaps)) if overlaps else -1
    if best < 0 or overlaps[best] < min_iou or taken[best]:
        return False
    taken[best] = True
    return True
