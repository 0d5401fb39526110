"""Mean average precision by COCO's definition, matched by pycocotools, and summed up for any draw of images.

Which detection is right at which IoU is decided image by image (``COCOeval.evaluateImg``), so it is decided once; a draw of images only
gives each of them a weight. What follows is ``COCOeval.accumulate`` with weights: the mean of the precision, made falling, at 101 recalls.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.verify.coco_json import TrueObject, read_boxes
from converters.verify.metrics.base import Floats, Kind, Measure, Scores
from converters.verify.sides import Side
from converters.verify.truth import Answer, image_answers
from edge_sdk.contract import Contract
from edge_sdk.errors import needs
from edge_sdk.tasks import DetectSettings, TaskSettings
from edge_sdk.tasks.detect import Detection
from edge_sdk.tensors import TensorSpec

LOWEST_SCORE = 0.01  # AP counts every detection, not only those that an application would take
MOST_BOXES = 100  # an image, as in COCO
IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_DRAWS = 32  # at a time: they stay in the processor's cache

Image = tuple[Sequence[Detection], Sequence[TrueObject]]


@dataclass(frozen=True)
class _Class:
    """Detections of one class, the best first, and its objects.

    Attributes:
        images: the image of each detection, (detections,).
        right: whether it hit an object, (IoUs, detections).
        counts: whether it is right or wrong, and not one that lies in a crowd, (IoUs, detections).
        objects: how many each image has, (images,).
    """

    images: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.bool_]
    objects: Floats


class Matches(Scores):
    """What pycocotools matched, and the mean average precision of it.

    Args:
        kind: of the metric.
        classes: those that have objects.
        samples: how many images there are.
        ious: positions in ``IOUS`` over which the mean is taken.
    """

    def __init__(self, kind: Kind, classes: Sequence[_Class], samples: int, ious: slice) -> None:
        super().__init__(kind, samples)
        self._classes = classes
        self._ious = ious

    def value(self, counts: Floats) -> Floats:
        """Mean over IoUs and the classes that a draw has objects of; 0 where it has none at all."""
        return np.concatenate([self._value(counts[i : i + _DRAWS].T.copy()) for i in range(0, len(counts), _DRAWS)])

    def _value(self, counts: Floats) -> Floats:
        """The same for some draws, (images, draws): the draws lie side by side, so every step is a vector's."""
        total, present = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
        for found in self._classes:
            objects = found.objects @ counts
            total += np.where(objects > 0, self._precision(found, counts[found.images], np.maximum(objects, 1)), 0)
            present += objects > 0
        mean: Floats = total / np.maximum(present, 1)
        return mean

    def _precision(self, found: _Class, weights: Floats, objects: Floats) -> Floats:
        """Average precision of one class, the mean over the IoUs, from the weight of each detection, (detections, draws)."""
        every = np.cumsum(weights, axis=0)
        total = np.zeros(len(objects))
        levels = list(zip(found.right[self._ious], found.counts[self._ious], strict=True))
        for right, valid in levels:
            seen = every if valid.all() else np.cumsum(weights * valid[:, None], axis=0)
            hits = np.flatnonzero(right)  # precision is highest at a hit, so only hits are looked at
            if hits.size:
                total += _area(weights[hits], seen[hits], objects)
        mean: Floats = total / len(levels)
        return mean


def _area(hit: Floats, seen: Floats, objects: Floats) -> Floats:
    """Mean precision at COCO's recalls, (draws,).

    Args:
        hit: weight of each detection that is right, the best first, (hits, draws).
        seen: weight of all detections up to it.
        objects: weight of all objects, (draws,).
    """
    hits = np.cumsum(hit, axis=0)
    precision = hits / np.maximum(seen, 1)
    falling = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = hits / objects
    reached = (recall * 100 + 1e-9).astype(
        np.int32
    )  # how many of the recalls above 0: one too many where rounding made it so
    reached -= _RECALLS[reached] > recall
    area: Floats = np.einsum("ij,ij->j", np.diff(reached, axis=0, prepend=-1), falling) / len(_RECALLS)
    return area


class AveragePrecision(Measure[tuple[TrueObject, ...], Image]):
    """The right answer is the objects of an image."""

    kinds = (
        Kind("mAP", "", True, "Average precision, the mean over the classes and over IoU 0.50 to 0.95 (COCO's AP)."),
        Kind("AP50", "", True, "Average precision at IoU 0.50, the mean over the classes."),
    )
    tasks = ("detect",)
    fits = "boxes and scores of task detect"

    def read(
        self, path: Path, options: dict[str, str], contract: Contract, labels: tuple[str, ...]
    ) -> list[Answer[tuple[TrueObject, ...]]]:
        """Of a COCO-style JSON file."""
        return image_answers(path, contract, read_boxes(path, labels))

    def check(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        answers: Sequence[Answer[tuple[TrueObject, ...]]],
    ) -> None:
        """The task has checked the outputs; pycocotools is needed at the end, so it is looked for at the beginning."""
        _pycocotools()

    def task(self, task: TaskSettings) -> TaskSettings:
        """Every detection, down to a score that hardly matters."""
        if not isinstance(task, DetectSettings):
            return task
        return task.model_copy(update={"threshold": LOWEST_SCORE, "max_boxes": max(MOST_BOXES, task.max_boxes)})

    def see(self, side: Side, value: Any, right: tuple[TrueObject, ...]) -> Image:
        """What was found, and what is there."""
        return tuple(value), right

    def gather(self, seen: Sequence[Image], outputs: Sequence[TensorSpec] = ()) -> tuple[Scores, ...]:
        """mAP and AP50, of one matching."""
        classes = match(seen)
        return tuple(
            Matches(kind, classes, len(seen), ious)
            for kind, ious in zip(self.kinds, (slice(None), slice(1)), strict=True)
        )


def match(images: Sequence[Image]) -> list[_Class]:
    """Match detections with objects as COCO does: by falling score, crowds left out of account, 100 an image."""
    names = sorted({thing.label for _, objects in images for thing in objects if not thing.crowd})
    evaluation = coco_evaluation(images, names)
    with redirect_stdout(io.StringIO()):  # it prints how it gets on
        evaluation.evaluate()
    every = evaluation.evalImgs
    return [_class(every[i * len(images) : (i + 1) * len(images)]) for i in range(len(names))]


def coco_evaluation(images: Sequence[Image], names: Sequence[str]) -> Any:
    """A ``COCOeval`` of these images for these classes, over objects of every size, ready to run."""
    number = {name: i for i, name in enumerate(names)}
    right = [
        _entry(i, number[o.label], o.box, iscrowd=int(o.crowd))
        for i, (_, objects) in enumerate(images)
        for o in objects
        if o.label in number
    ]
    found = [
        _entry(i, number[d.label], d.box, score=d.score)
        for i, (some, _) in enumerate(images)
        for d in some
        if d.label in number
    ]
    COCO, COCOeval = _pycocotools()
    sides = []
    for entries in (right, found):
        side = COCO()
        side.dataset = {
            "images": [{"id": i} for i in range(len(images))],
            "annotations": [{**entry, "id": i} for i, entry in enumerate(entries, start=1)],  # 0 would mean no match
            "categories": [{"id": i} for i in range(len(names))],
        }
        with redirect_stdout(io.StringIO()):
            side.createIndex()
        sides.append(side)
    evaluation = COCOeval(*sides, iouType="bbox")
    parameters = evaluation.params
    parameters.iouThrs, parameters.recThrs, parameters.maxDets = IOUS, _RECALLS, [MOST_BOXES]
    parameters.areaRng, parameters.areaRngLbl = [[0, 1e10]], ["all"]
    parameters.imgIds, parameters.catIds = list(range(len(images))), list(range(len(names)))
    return evaluation


def _entry(image: int, category: int, box: tuple[float, float, float, float], **more: float) -> dict[str, Any]:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, width, height],
        "area": width * height,
        **more,
    }


def _class(of_images: Sequence[dict[str, Any] | None]) -> _Class:
    """One class of ``COCOeval.evalImgs``: an entry an image, None where there is neither object nor detection."""
    there = [(i, entry) for i, entry in enumerate(of_images) if entry is not None]
    scores = np.concatenate([np.asarray(entry["dtScores"], float) for _, entry in there])
    order = np.argsort(-scores, kind="mergesort")  # as COCOeval.accumulate
    images = np.concatenate([np.full(len(entry["dtScores"]), i, np.int64) for i, entry in there])
    hit = np.concatenate([np.asarray(entry["dtMatches"], float) for _, entry in there], axis=1)[:, order] > 0
    ignored = np.concatenate([np.asarray(entry["dtIgnore"], bool) for _, entry in there], axis=1)[:, order]
    objects = np.zeros(len(of_images))
    for i, entry in there:
        objects[i] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
    return _Class(images[order], hit & ~ignored, ~ignored, objects)


def _pycocotools() -> tuple[Any, Any]:
    with needs("pycocotools", for_="the accuracy of a detector", extra="convert"):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    return COCO, COCOeval
