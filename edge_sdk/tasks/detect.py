"""Detection: boxes, relative to an SSD's anchors or to the input, thresholded, decoded and thinned out.

The formulas are those of MediaPipe's TfLiteTensorsToDetectionsCalculator
(``mediapipe/calculators/tflite/tflite_tensors_to_detections_calculator.cc``) and the SSD paper (arXiv:1512.02325).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_sdk.contract import Placement
from edge_sdk.errors import ConfigError
from edge_sdk.tasks import Task, output_index
from edge_sdk.tasks.anchors import generate_anchors
from edge_sdk.tasks.scores import Floats, ScoreReader, activate, descending, names_of
from edge_sdk.tasks.settings import DetectSettings
from edge_sdk.tensors import Array, TensorSpec

MAX_CANDIDATES = 1_000  # of more, the best: a model gone wild must not cost the deadline
_MAX_EXPONENT = 20.0  # e^20 anchors are wider than any frame; more would overflow
_Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing found.

    Attributes:
        box: (xmin, ymin, xmax, ymax) in pixels of the source frame. Not clipped: it may reach beyond the frame.
        label: the name of its class (``class 3`` where the bundle has no labels).
        index: its class, as the column in the model's scores.
        score: 0 to 1.
        keypoints: (x, y) of each, in pixels of the source frame.
        track: the same number in every frame that shows this thing; None where nothing is tracked, or not yet.
    """

    box: tuple[float, float, float, float]
    label: str
    index: int
    score: float
    keypoints: tuple[tuple[float, float], ...] = ()
    track: int | None = None


class Detect(Task):
    """Gives detections, the highest score first.

    Args:
        settings: which outputs hold what, and how to read it.
        input_: the variant's input tensor, (1, height, width, channels).
        outputs: the variant's output tensors, quantized or float32.
        labels: one a class, with or without the background, or none at all.

    Raises:
        ConfigError: if the settings do not fit the tensors.
    """

    def __init__(
        self, settings: DetectSettings, input_: TensorSpec, outputs: tuple[TensorSpec, ...], labels: tuple[str, ...]
    ) -> None:
        self._settings = settings
        self._layout = _lay_out(settings, input_, outputs)
        self._box_spec, self._score_spec = outputs[self._layout.boxes_at], outputs[self._layout.scores_at]
        self._classes = self._layout.classes
        self._labels = names_of(self._classes, labels, settings.background)
        self._size = np.array(input_.image_size, np.float32)
        self._anchors = _anchors(settings, input_, self._layout.count)
        x, y, width, height = settings.box_scale
        self._divisor = np.array([(x, y), (width, height), *[(x, y)] * settings.keypoints], np.float32)
        if settings.activation != "softmax":
            self._read = ScoreReader(self._score_spec, settings.activation)
            self._lowest = self._read.lowest(settings.threshold)

    def decode(
        self, outputs: Sequence[Array], placement: Placement | None, captured_ns: int = 0, input_: Array | None = None
    ) -> tuple[Detection, ...]:
        """Detections in pixels of the source frame, or of the input tensor where ``placement`` is None."""
        boxes, stored_scores = self._layout.split(outputs)
        rows, classes, scores = self._candidates(stored_scores)
        if not rows.size:
            return ()
        with np.errstate(over="ignore", invalid="ignore"):  # boxes with NaN or infinity are dropped
            points = self._on_anchors(self._points(boxes[rows]), self._anchors[rows])
            corners = points[:, :2].reshape(-1, 4)
            kept = non_maximum_suppression(corners, classes, self._settings.iou_threshold, self._settings.max_boxes)
        found = (points[kept] * self._size).reshape(len(kept), self._divisor.size)
        if placement is not None:
            found = placement.to_source(found)
        pairs = zip(found.tolist(), classes[kept].tolist(), scores[kept].tolist(), strict=True)
        return tuple([self._detection(numbers, index, score) for numbers, index, score in pairs])

    def _candidates(self, stored: Array) -> tuple[_Indices, _Indices, Floats]:
        """Anchor, class and score of what reaches the threshold, the highest score first."""
        if self._settings.activation == "softmax":
            values: Array = activate(self._score_spec.dequantize(stored), "softmax")
            above = values >= self._settings.threshold
        else:
            values, above = stored, stored >= self._lowest
        if self._settings.background is not None:
            above[:, self._settings.background] = False
        places = np.flatnonzero(above)
        values = values.reshape(-1)[places]
        if places.size > 1:
            order = descending(values, MAX_CANDIDATES)
            places, values = places[order], values[order]
        scores = values if self._settings.activation == "softmax" else self._read(values)
        rows, classes = np.divmod(places, self._classes) if self._classes > 1 else (places, np.zeros_like(places))
        return rows, classes, scores

    def _points(self, stored: Array) -> Floats:
        """The candidates' numbers, (candidates, 2 + keypoints, 2): centre, size and keypoints, each x, y."""
        points = self._box_spec.dequantize(stored).reshape(-1, *self._divisor.shape)
        if self._settings.box_order == "yxhw":
            points = points[:, :, ::-1].copy()
        points /= self._divisor
        return points

    def _on_anchors(self, points: Floats, anchors: Floats) -> Floats:
        """Numbers relative to anchors to corner, corner and keypoints relative to the input tensor, in place."""
        centre, size = anchors[:, :1], anchors[:, 1:]
        half = points[:, 1:2]
        if self._settings.exponential:
            half = np.exp(np.minimum(half, _MAX_EXPONENT))
        half = half * size * np.float32(0.5)
        points *= size
        points += centre
        np.add(points[:, :1], half, out=points[:, 1:2])
        points[:, :1] -= half
        return points

    def _detection(self, numbers: list[float], index: int, score: float) -> Detection:
        xmin, ymin, xmax, ymax, *rest = numbers
        keypoints = tuple(zip(rest[::2], rest[1::2], strict=True))
        return Detection((xmin, ymin, xmax, ymax), self._labels[index], index, score, keypoints)


def non_maximum_suppression(boxes: Floats, classes: _Indices, iou_threshold: float, max_boxes: int) -> list[int]:
    """Of boxes of one class that overlap, the first.

    Args:
        boxes: (count, 4): xmin, ymin, xmax, ymax, the highest score first. A box without area,
            or with NaN or infinity, is dropped.
        classes: (count,); boxes of different classes do not touch each other.
        iou_threshold: the largest intersection over union of two boxes that are both kept.
        max_boxes: how many to keep at most.

    Returns:
        Places of the kept boxes, in their order.
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    left = np.flatnonzero(((sizes > 0) & np.isfinite(sizes)).all(axis=1))
    areas = sizes[:, 0] * sizes[:, 1]
    kept: list[int] = []
    while left.size and len(kept) < max_boxes:
        best, left = left[0], left[1:]
        kept.append(int(best))
        if not left.size:
            break
        others = boxes[left]
        overlap = np.minimum(others[:, 2:], boxes[best, 2:]) - np.maximum(others[:, :2], boxes[best, :2])
        np.maximum(overlap, 0, out=overlap)
        shared = overlap[:, 0] * overlap[:, 1]
        apart = shared <= iou_threshold * (areas[left] + areas[best] - shared)
        left = left[apart | (classes[left] != classes[best])]
    return kept


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where boxes and scores lie in the outputs.

    Attributes:
        boxes_at, scores_at: which outputs hold them; the same one if they are joint.
        count, numbers, classes: of the boxes, of the numbers before the scores, of the scores.
        turned: whether a joint output is (1, numbers + classes, count).
    """

    boxes_at: int
    scores_at: int
    count: int
    numbers: int
    classes: int
    turned: bool = False

    def split(self, outputs: Sequence[Array]) -> tuple[Array, Array]:
        """Boxes (count, numbers) and scores (count, classes), as stored."""
        boxes, scores = outputs[self.boxes_at][0], outputs[self.scores_at][0]
        if self.boxes_at != self.scores_at:
            return boxes, scores
        rows = boxes.T if self.turned else boxes
        return rows[:, : self.numbers], rows[:, self.numbers :]


def _lay_out(settings: DetectSettings, input_: TensorSpec, outputs: tuple[TensorSpec, ...]) -> _Layout:
    """Find boxes and scores.

    Raises:
        ConfigError: if a tensor is missing or has another shape than the settings tell.
    """
    if len(input_.shape) != 4:
        found = f"{input_.name!r} has shape {input_.shape}"
        raise ConfigError(f"[task] kind = detect takes an input (1, height, width, channels); {found}. Use kind = raw")
    make = _joint if settings.scores is None else _apart
    layout = make(settings, outputs, 4 + 2 * settings.keypoints)
    if settings.background is not None and not 0 <= settings.background < layout.classes:
        raise ConfigError(
            f"[task] background = {settings.background} is not among the {layout.classes} classes, counted from 0"
        )
    if 0 in settings.box_scale:
        raise ConfigError(f"[task] box_scale is divided by and cannot hold 0; found {settings.box_scale}")
    return layout


def _apart(settings: DetectSettings, outputs: tuple[TensorSpec, ...], numbers: int) -> _Layout:
    """Boxes and scores in two outputs."""
    assert settings.scores is not None  # noqa: S101 - the caller asked
    boxes_at = output_index(outputs, settings.boxes, "boxes")
    scores_at = output_index(outputs, settings.scores, "scores")
    boxes, scores = outputs[boxes_at], outputs[scores_at]
    if boxes_at == scores_at:
        raise ConfigError(
            f"[task] boxes and scores are both {boxes.name!r}; leave scores out where they stand behind the boxes"
        )
    if len(boxes.shape) != 3 or boxes.shape[0] != 1 or boxes.shape[2] != numbers:
        found = f"[task] boxes = {boxes.name!r} has shape {boxes.shape}"
        raise ConfigError(f"{found}; with keypoints = {settings.keypoints} it must be (1, anchors, {numbers})")
    count = boxes.shape[1]
    if len(scores.shape) != 3 or scores.shape[:2] != (1, count) or scores.shape[2] < 1:
        found = f"[task] scores = {scores.name!r} has shape {scores.shape}"
        raise ConfigError(f"{found}; with {count} boxes it must be (1, {count}, classes)")
    return _Layout(boxes_at, scores_at, count, numbers, scores.shape[2])


def _joint(settings: DetectSettings, outputs: tuple[TensorSpec, ...], numbers: int) -> _Layout:
    """Both in one output."""
    at = output_index(outputs, settings.boxes, "boxes")
    shape = outputs[at].shape
    if len(shape) != 3 or shape[0] != 1 or shape[1] == shape[2] or min(shape[1:]) <= numbers:
        found = f"[task] boxes = {outputs[at].name!r} has shape {shape}"
        wanted = f"without scores and with keypoints = {settings.keypoints} it must be (1, boxes, {numbers} + classes)"
        raise ConfigError(f"{found}; {wanted} or (1, {numbers} + classes, boxes), with more boxes than that")
    return _Layout(at, at, max(shape), numbers, min(shape[1:]) - numbers, turned=shape[2] > shape[1])


def _anchors(settings: DetectSettings, input_: TensorSpec, count: int) -> Floats:
    """(count, 2, 2): centre and size, relative to the input; without anchors, of the input's size around its corner."""
    if settings.anchors == "none":
        return np.broadcast_to(np.array([[0, 0], [1, 1]], np.float32), (count, 2, 2))
    return generate_anchors(settings.anchors, input_.image_size, count).reshape(count, 2, 2)
