"""The report's plots: SVG text with every name escaped, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from converters.report.accuracy import Layer
from converters.report.figures import Histogram
from converters.report.numbers import decibels, short
from converters.report.svg import diamond, line, mark, rect, svg, text

GUIDE_DB = 20.0
"""Where the error's amplitude is a tenth of the signal's: 20 log10(10)."""


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its length in any unit, the text at its end, and the style class that colours it."""

    label: str
    value: float
    text: str
    style: str = "int8"


@dataclass(frozen=True)
class _Area:
    """The part of a plot inside its axes, in SVG units, and the values at its lower and upper edge."""

    left: float
    top: float
    right: float
    bottom: float
    low: float
    high: float

    def y(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.bottom - part * (self.bottom - self.top)

    def slots(self, number: int) -> tuple[float, list[float]]:
        """Width and left edges of ``number`` equal slots."""
        width = (self.right - self.left) / number
        return width, [self.left + i * width for i in range(number)]


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Horizontal bars from a common zero, the longest over the whole width."""
    longest = max((row.value for row in rows), default=0) or 1
    parts = []
    for i, row in enumerate(rows):
        y = 24 * i
        parts.append(text(0, y + 16, _clip(row.label, 19), "label"))
        length = max(1.0, 112 * row.value / longest)
        parts.append(rect((148, y + 5), (length, 14), row.style, f"{row.label}: {row.text}"))
        parts.append(text(156 + length, y + 16, row.text, "value"))
    return svg(360, 24 * max(1, len(rows)), title, parts)


def layers(rows: Sequence[Layer], outputs: Sequence[str]) -> Markup:
    """SQNR of every layer in the order of execution; outputs are diamonds, layers without a number hollow at the top."""
    known = [row.sqnr_db for row in rows if row.sqnr_db is not None]
    high = max(30.0, 10 * math.ceil(max(known, default=0) / 10))
    area = _Area(40, 34, 906, 262, min(0.0, 10 * math.floor(min(known, default=0) / 10)), high)
    width, edges = area.slots(max(1, len(rows)))
    parts = _decibel_axis(area)
    for row, left in zip(rows, edges, strict=False):
        parts.append(_layer(area, row, (left, width), is_output=row.tensor in outputs))
    parts.append(line((area.left, area.y(GUIDE_DB)), (area.right, area.y(GUIDE_DB)), "guide"))
    if known:
        worst = min(
            range(len(rows)), key=lambda i: math.inf if rows[i].sqnr_db is None else float(rows[i].sqnr_db or 0)
        )
        parts.append(_worst(area, rows[worst], edges[worst] + width / 2))
    parts.append(_legend(area))
    parts.append(text(area.left, 284, f"first of {len(rows)} layers", "tick"))
    parts.append(text(area.right, 284, "order of execution →", "tick end"))
    return svg(920, 292, f"SQNR of {len(rows)} layers in the order of execution", parts)


def histogram(shown: Histogram) -> Markup:
    """Counts of a tensor's values, float as an area and int8 as a line; the heights are logarithmic."""
    top = math.log1p(max(*shown.float_counts, *shown.int8_counts, 1))
    area = _Area(4, 8, 296, 112, 0, top)
    width, edges = area.slots(len(shown.float_counts))
    parts = []
    for i, (x, counted) in enumerate(zip(edges, shown.float_counts, strict=True)):
        y = area.y(math.log1p(counted))
        told = (
            f"{short(shown.edges[i])} to {short(shown.edges[i + 1])}: float {counted:,}, int8 {shown.int8_counts[i]:,}"
        )
        parts.append(rect((x, y), (width, area.bottom - y), "float", told))
    steps = [
        f"{x:.1f},{area.y(math.log1p(n)):.1f} {x + width:.1f},{area.y(math.log1p(n)):.1f}"
        for x, n in zip(edges, shown.int8_counts, strict=True)
    ]
    parts.append(Markup('<polyline class="outline" points="{}"/>').format(" ".join(steps)))
    parts.append(line((area.left, area.bottom), (area.right, area.bottom), "axis"))
    parts.append(text(area.left, 128, short(shown.edges[0]), "tick"))
    parts.append(text(area.right, 128, short(shown.edges[-1]), "tick end"))
    return svg(300, 134, f"Values of {shown.tensor}, float and int8", parts)


def box_agreement(ious: Sequence[float], mean: float) -> Markup:
    """How many matched boxes have which intersection over union, with the mean marked."""
    low = min(0.5, math.floor(min(ious, default=0.5) * 10) / 10)
    bins = round((1 - low) / 0.02)
    counts = [0] * bins
    for iou in ious:
        counts[min(bins - 1, int((iou - low) / 0.02 + 1e-9))] += 1
    area = _Area(4, 30, 356, 122, 0, max(counts) or 1)
    width, edges = area.slots(bins)
    parts = []
    for i, (x, counted) in enumerate(zip(edges, counts, strict=True)):
        told = f"IoU {low + 0.02 * i:.2f} to {low + 0.02 * (i + 1):.2f}: {counted} boxes"
        y = area.y(counted)
        parts.append(rect((x + 0.5, y), (max(1.0, width - 1), area.bottom - y), "int8", told))
    at = area.left + (max(mean, low) - low) / (1 - low) * (area.right - area.left)
    parts.append(line((area.left, area.bottom), (area.right, area.bottom), "axis"))
    parts.append(line((at, area.top - 8), (at, area.bottom), "mark"))
    parts.append(text(at, area.top - 13, f"mean {mean:.3f}", "halo end" if at > area.right / 2 else "halo"))
    parts.append(text(area.left, 138, f"{low:g}", "tick"))
    parts.append(text(area.right, 138, "1: the same box", "tick end"))
    return svg(360, 144, f"Intersection over union of {len(ious)} matched boxes, mean {mean:.3f}", parts)


def _decibel_axis(area: _Area) -> list[Markup]:
    step = 10 if area.high - area.low <= 80 else 20
    ticks = range(int(area.low), int(area.high) + 1, step)
    lines = [line((area.left, area.y(v)), (area.right, area.y(v)), "axis" if v == area.low else "grid") for v in ticks]
    labels = [text(area.left - 8, area.y(v) + 4, str(v), "tick end") for v in ticks]
    return [*lines, *labels, text(area.left - 8, 14, "dB", "tick end")]


def _layer(area: _Area, row: Layer, slot: tuple[float, float], *, is_output: bool) -> Markup:
    left, width = slot
    x, radius = left + width / 2, min(4.5, max(1.8, width / 2.6))
    told = f"{row.operator}\n{row.tensor}\n{decibels(row.sqnr_db)}{', an output' if is_output else ''}"
    if row.sqnr_db is None:
        return mark(x, area.top, radius, "unknown", told)
    y = area.y(row.sqnr_db)
    style = "stem output" if is_output else "stem"
    bar = rect((left + width * 0.15, y), (width * 0.7, area.bottom - y), style, told)
    return bar + (diamond(x, y, radius + 2.5, told) if is_output else mark(x, y, radius, "int8", told))


def _worst(area: _Area, row: Layer, x: float) -> Markup:
    y = min(area.bottom - 8, area.y(row.sqnr_db or 0) + 20)
    side = "halo end" if x > (area.left + area.right) / 2 else "halo"
    return text(x, y, f"lowest: {_clip(row.operator, 40)}, {decibels(row.sqnr_db)}", side)


def _legend(area: _Area) -> Markup:
    marks = [
        mark(area.left + 10, 12, 4.5, "int8", "layer"),
        text(area.left + 20, 16, "layer", "tick"),
        diamond(area.left + 72, 12, 6, "output"),
        text(area.left + 84, 16, "output", "tick"),
        mark(area.left + 142, 12, 4.5, "unknown", "no number"),
        text(area.left + 152, 16, "no number: the same in both, or zero throughout", "tick"),
        line((area.left + 436, 12), (area.left + 462, 12), "guide"),
        text(area.left + 468, 16, f"{GUIDE_DB:g} dB: the error is a tenth of the signal", "tick"),
    ]
    return Markup("").join(marks)


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
