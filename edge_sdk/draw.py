"""Drawing results on frames, for people: boxes, classes, the age, and a mark that nobody overlooks on a late one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_sdk.draw_values import INK, MARGIN, PAPER, draw_value, text_size, write
from edge_sdk.errors import ContractError
from edge_sdk.result import Result
from edge_sdk.sources import Sample
from edge_sdk.sources.capture import opencv
from edge_sdk.tensors import Array

_DIM = (170, 165, 160)
_ON_TIME, _LATE = (120, 200, 60), (40, 40, 220)
_READABLE_WIDTH = 480  # pixels: smaller frames are enlarged, at most threefold, so that text is in proportion
_STRIP = 30  # height of the line below the frame, pixels


def bgr_image(sample: Sample) -> Array:
    """The sample as an image, BGR uint8 (height, width, 3); the sample's own data where they are that already.

    Raises:
        ContractError: if the sample is no image.
    """
    data = sample.data
    if data.dtype != np.uint8 or data.ndim not in (2, 3) or (data.ndim == 3 and data.shape[2] not in (1, 3)):
        raise ContractError(
            f"only images can be drawn, uint8 (height, width[, 1 or 3]); found {data.dtype} of shape {data.shape}"
        )
    if data.ndim == 2 or data.shape[2] == 1:
        return np.repeat(data.reshape(*data.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(data[:, :, ::-1]) if sample.colour == "rgb" else data


def annotate(frame_bgr: Array, result: Result, deadline_ms: float | None = None) -> Array:
    """A new frame with the result drawn on it, and a line below with its number, age and whether it came late.

    Args:
        frame_bgr: BGR uint8 (height, width, 3). It is not changed.
        result: the values of all tasks are drawn but those of ``raw``, which leave the frame as it is.
        deadline_ms: shown beside the age.

    Returns:
        BGR uint8. Frames narrower than 480 pixels are enlarged two- or threefold.
    """
    cv2 = opencv("drawing results")
    factor = min(3, max(1, math.ceil(_READABLE_WIDTH / frame_bgr.shape[1])))
    image = (
        cv2.resize(frame_bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        if factor > 1
        else frame_bgr.copy()
    )
    draw_value(cv2, image, result.value, factor)
    if result.late:
        cv2.rectangle(image, (0, 0), (image.shape[1] - 1, image.shape[0] - 1), _LATE, 6)
    return np.vstack([image, _status(cv2, image.shape[1], result, deadline_ms)])


def contact_sheet(
    frames: Sequence[Array], *, columns: int, captions: Sequence[str] = (), title: str = "", cell_width: int = 360
) -> Array:
    """Frames side by side on one dark page.

    Args:
        frames: BGR uint8 images of any size; each is fitted into a cell of the first one's shape.
        columns: frames a row.
        captions: one below each frame, or none.
        title: a heading.
        cell_width: width of a frame on the page, pixels.

    Returns:
        BGR uint8.

    Raises:
        ContractError: if there is no frame, or the captions are not as many.
    """
    cv2 = opencv("drawing a contact sheet")
    if not frames or columns < 1 or (captions and len(captions) != len(frames)):
        raise ContractError(
            f"a contact sheet takes frames, at least one column, and a caption for each frame or none; "
            f"found {len(frames)} frames, {columns} columns, {len(captions)} captions"
        )
    gap, foot, head = 14, 26 if captions else 0, 52 if title else 0
    height = round(frames[0].shape[0] * cell_width / frames[0].shape[1])
    rows = math.ceil(len(frames) / columns)
    page = np.full((head + gap + rows * (height + foot + gap), gap + columns * (cell_width + gap), 3), PAPER, np.uint8)
    if title:
        write(cv2, page, title, (gap, head - 14), INK, scale=0.8, room=page.shape[1] - 2 * gap)
    for index, frame in enumerate(frames):
        x = gap + index % columns * (cell_width + gap)
        y = head + gap + index // columns * (height + foot + gap)
        page[y : y + height, x : x + cell_width] = fit(frame, (cell_width, height))
        if captions:
            write(cv2, page, captions[index], (x, y + height + 18), _DIM, scale=0.45, room=cell_width)
    return page


def fit(image: Array, size: tuple[int, int]) -> Array:
    """The image in a frame of ``size`` (width, height), its aspect kept, black around it."""
    cv2 = opencv("drawing results")
    width, height = size
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    framed = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    framed[y : y + inner[1], x : x + inner[0]] = cv2.resize(image, inner, interpolation=method)
    return framed


def _status(cv2: Any, width: int, result: Result, deadline_ms: float | None) -> Array:
    """The line below a frame."""
    strip = np.full((_STRIP, width, 3), _LATE if result.late else PAPER, np.uint8)
    limit = "" if deadline_ms is None else f" / {deadline_ms:g} ms"
    dropped = f"   {result.dropped_before} dropped before" if result.dropped_before else ""
    mark = "LATE" if result.late else "on time"
    mark_width = text_size(cv2, mark, 0.55)[0]
    room = width - mark_width - 3 * MARGIN
    left = f"#{result.sequence}   age {result.age_ms:.1f} ms{limit}{dropped}"
    write(cv2, strip, left, (MARGIN, 20), INK, scale=0.5, room=room)
    colour = INK if result.late else _ON_TIME
    write(cv2, strip, mark, (width - mark_width - MARGIN, 20), colour, scale=0.55, bold=result.late)
    return strip
