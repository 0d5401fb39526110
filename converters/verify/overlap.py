"""How boxes lie on each other."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.tasks.detect import Detection

MATCH_IOU = 0.5  # as in PASCAL VOC

Box = tuple[float, float, float, float]


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union


def match_boxes(first: Sequence[Detection], second: Sequence[Detection]) -> list[tuple[int, int, float]]:
    """Greedy matching: the pair of the largest IoU first, same label, IoU at least 0.5, each box once.

    Returns:
        (index in ``first``, index in ``second``, IoU) of every match.
    """
    candidates = [
        (iou(a.box, b.box), i, j) for i, a in enumerate(first) for j, b in enumerate(second) if a.index == b.index
    ]
    matches: list[tuple[int, int, float]] = []
    taken_first: set[int] = set()
    taken_second: set[int] = set()
    for overlap, i, j in sorted(candidates, key=lambda c: (-c[0], c[1], c[2])):
        if overlap < MATCH_IOU:
            break
        if i in taken_first or j in taken_second:
            continue
        taken_first.add(i)
        taken_second.add(j)
        matches.append((i, j, overlap))
    return matches
