"""How each task's value looks on a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tasks.classify import ClassScore
from edge_sdk.tasks.detect import Detection
from edge_sdk.tasks.keyword import Spotting
from edge_sdk.tasks.pose import Pose
from edge_sdk.tasks.segment import UNSEEN, Segmentation
from edge_sdk.tensors import Array

# BGR. One colour a class index, told apart by people who see colours differently (Okabe and Ito, 2008).
PALETTE = ((233, 180, 86), (0, 159, 230), (115, 158, 0), (66, 228, 240), (167, 121, 204), (0, 94, 213), (178, 114, 0))
PAPER, INK = (32, 30, 28), (240, 240, 240)
MARGIN = 8
_ALARM = (40, 40, 220)


def draw_value(cv2: Any, image: Array, value: Any, factor: int) -> None:
    """Draw a task's value; what is no value of ours leaves the image as it is.

    Args:
        cv2: OpenCV.
        image: BGR uint8, drawn on.
        value: in pixels of the frame before it was enlarged by ``factor``.
        factor: how much larger the image is than the frame.
    """
    match value:
        case Segmentation():
            _draw_mask(image, value, factor)
            shares = [ClassScore(i, label, value.shares.get(label, 0.0)) for i, label in enumerate(value.labels)]
            _draw_classes(cv2, image, sorted((s for s in shares if s.score > 0), key=lambda s: -s.score))
        case Pose():
            _draw_pose(cv2, image, value, factor)
        case Spotting():
            _draw_spotting(cv2, image, value)
        case Anomaly():
            _draw_anomaly(cv2, image, value)
        case tuple() | list():
            for found in value:
                if isinstance(found, Detection):
                    _draw_box(cv2, image, found, factor)
            _draw_classes(cv2, image, [found for found in value if isinstance(found, ClassScore)])


def _draw_box(cv2: Any, image: Array, found: Detection, factor: int) -> None:
    """One detection, its box and keypoints in pixels of the frame before it was enlarged by ``factor``; none that is no numbers."""
    if any(map(math.isnan, found.box)):
        return
    colour = PALETTE[(found.index if found.track is None else found.track) % len(PALETTE)]
    height, width = image.shape[:2]
    xmin, xmax = (_pixel(x * factor, width) for x in found.box[0::2])
    ymin, ymax = (_pixel(y * factor, height) for y in found.box[1::2])
    cv2.rectangle(image, (xmin, ymin), (xmax, ymax), colour, 2, cv2.LINE_AA)
    for x, y in found.keypoints:
        if math.isnan(x + y):
            continue
        centre = _pixel(x * factor, width), _pixel(y * factor, height)
        cv2.circle(image, centre, 4, PAPER, -1, cv2.LINE_AA)
        cv2.circle(image, centre, 3, colour, -1, cv2.LINE_AA)
    number = "" if found.track is None else f"#{found.track} "
    text = f"{number}{found.label} {found.score:.2f}"
    text_width, text_height = text_size(cv2, text, 0.5)
    left = min(max(xmin - 1, 0), max(width - text_width - 8, 0))
    top = ymin - text_height - 8 if ymin >= text_height + 8 else max(ymin, 0)
    cv2.rectangle(image, (left, top), (left + text_width + 8, top + text_height + 8), colour, -1)
    write(cv2, image, text, (left + 4, top + text_height + 3), PAPER, scale=0.5)


def _pixel(position: float, size: int) -> int:
    """A whole pixel; what lies far outside, where OpenCV's integers would overflow, lies just outside."""
    return round(min(max(position, -10.0), size + 10.0))


def _draw_classes(cv2: Any, image: Array, classes: Sequence[ClassScore]) -> None:
    """The best five classes, best first, each with a bar as long as its score, on a darkened corner."""
    for row, found in enumerate(classes[:5]):
        top, room = MARGIN + row * 24, min(260, image.shape[1] - 2 * MARGIN)
        line = image[top : top + 22, MARGIN : MARGIN + room]
        line //= 3
        length = round(room * min(max(0.0, float(found.score)), 1.0))  # none of NaN
        line[:, :length] += np.array(PALETTE[found.index % len(PALETTE)], np.uint8) // 3 * 2
        write(cv2, image, f"{found.score:.2f}  {found.label}", (MARGIN + 6, top + 16), INK, scale=0.5, room=room - 12)


def _draw_mask(image: Array, found: Segmentation, factor: int) -> None:
    """Every class but the first, the background, in its colour, half transparent; what the model did not see is dark."""
    mask = found.on_frame((image.shape[0] // factor, image.shape[1] // factor))
    if factor > 1:
        mask = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    colours = np.zeros((256, 3), np.uint8)
    colours[1:UNSEEN] = [PALETTE[index % len(PALETTE)] for index in range(1, UNSEEN)]
    covered = mask > 0
    image[covered] = image[covered] // 2 + colours[mask[covered]] // 2


def _draw_pose(cv2: Any, image: Array, found: Pose, factor: int) -> None:
    """Lines, then points; those whose score is below a half, or that are no numbers, are left out."""
    height, width = image.shape[:2]
    scores = found.scores or (1.0,) * len(found.points)
    seen = [score >= 0.5 and not math.isnan(x + y) for score, (x, y) in zip(scores, found.points, strict=True)]
    places = [
        (_pixel(x * factor, width), _pixel(y * factor, height)) if shown else (0, 0)
        for (x, y), shown in zip(found.points, seen, strict=True)
    ]
    for one, other in found.skeleton:
        if seen[one] and seen[other]:
            cv2.line(image, places[one], places[other], PALETTE[0], 2, cv2.LINE_AA)
    for place, shown in zip(places, seen, strict=True):
        if shown:
            cv2.circle(image, place, 4, PAPER, -1, cv2.LINE_AA)
            cv2.circle(image, place, 3, PALETTE[1], -1, cv2.LINE_AA)


def _draw_spotting(cv2: Any, image: Array, found: Spotting) -> None:
    """The best classes as in a classification; a word that is reported in large letters below."""
    scores = [ClassScore(index, label, score) for index, (label, score) in enumerate(found.scores.items())]
    _draw_classes(cv2, image, sorted(scores, key=lambda s: -s.score))
    if found.keyword is not None:
        room = image.shape[1] - 2 * MARGIN
        corner = (MARGIN, image.shape[0] - 2 * MARGIN)
        write(cv2, image, found.keyword.label, corner, PALETTE[3], scale=1.2, room=room, bold=True)


def _draw_anomaly(cv2: Any, image: Array, found: Anomaly) -> None:
    """A bar of the score, with notches at the threshold, which stands in its middle."""
    room = min(260, image.shape[1] - 2 * MARGIN)
    bar = image[MARGIN : MARGIN + 22, MARGIN : MARGIN + room]
    bar //= 3
    share = found.score / (2 * found.threshold) if found.threshold > 0 else 1.0
    length = round(room * min(max(share, 0.0), 1.0)) if math.isfinite(share) else room
    bar[:, :length] += np.array(_ALARM if found.anomalous else PALETTE[2], np.uint8) // 3 * 2
    for notch in (bar[:4], bar[-4:]):
        notch[:, room // 2 : room // 2 + 2] = INK
    write(cv2, image, str(found), (MARGIN + 6, MARGIN + 16), INK, scale=0.45, room=room - 12)


def write(
    cv2: Any,
    image: Array,
    text: str,
    corner: tuple[int, int],
    colour: Any,
    *,
    scale: float,
    room: int = 0,
    bold: bool = False,
) -> None:
    """Write at the lower left ``corner`` (x, y); made smaller if wider than ``room`` pixels, where one is given."""
    if room:
        scale = min(scale, scale * room / max(text_size(cv2, text, scale)[0], 1))
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 2 if bold else 1, cv2.LINE_AA)


def text_size(cv2: Any, text: str, scale: float) -> tuple[int, int]:
    """Width and height of the text, in pixels."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    return width, height
