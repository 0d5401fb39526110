"""Draws what a soak saw, over the frames: one panel each, an SVG file that needs nothing else."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup

from benchmarks.blocks import Seconds
from benchmarks.frames_soak import EVERY, UNITS, Soaked
from converters.report.svg import line, svg, text

_LEFT, _RIGHT, _WIDTH = 58.0, 690.0, 730.0
_PANEL, _HEIGHT, _TOP = 118.0, 84.0, 70.0  # from one panel to the next; of a panel; of the first
_STYLE = (
    "<style>text { font: 13px system-ui, sans-serif; fill: #1c2023 } .tick { font-size: 11px; fill: #62696e } .title { font-weight: 600 } "
    ".grid { stroke: #e3dfd7 } .axis { stroke: #62696e } .end { text-anchor: end } .middle { text-anchor: middle } "
    ".paper { fill: #fff } .seen { fill: none; stroke: #0b7a75; stroke-width: 1.5 } .warm { fill: #f2efe9 }</style>"
)


def draw(soaked: Soaked, measured_on: str) -> str:
    """The file's content: memory, descriptors, threads and p99 age over the frames; what it was ``measured_on`` stands below."""
    last = float(soaked.frames[-1])
    bottom = _TOP + _PANEL * (len(soaked.seen) - 1) + _HEIGHT
    warm = (_x(float(soaked.frames[len(soaked.frames) // 10]), last) - _LEFT, bottom - _TOP)
    parts = [
        Markup(_STYLE),
        Markup('<rect class="paper" width="100%" height="100%"/>'),
        Markup('<rect class="warm" x="{:g}" y="{:g}" width="{:.1f}" height="{:g}"/>').format(_LEFT, _TOP, *warm),
        text(
            _LEFT, 18, f"{soaked.given:,} frames in {soaked.seconds / 60:.0f} minutes, a fault every {EVERY:,}", "title"
        ),
        text(_LEFT, 36, "all processes: supervisor, application, fork server, engine; shaded: warm-up", "tick"),
    ]
    for number, (name, values) in enumerate(soaked.seen.items()):
        top = _TOP + _PANEL * number
        unit = f", {UNITS[name]}" if UNITS[name] else ""
        parts += _panel(f"{name}{unit}", soaked.frames / last, values, top)
        parts.append(text(_RIGHT, top - 6, f"{soaked.trend(name):+.2f} by the trend after the warm-up", "tick end"))
    parts += [text(_x(part, 5), bottom + 17, f"{round(last * part / 5, -3):,.0f}", "tick middle") for part in range(6)]
    parts.append(text((_LEFT + _RIGHT) / 2, bottom + 36, "frames", "tick middle"))
    parts.append(text(_LEFT, bottom + 58, measured_on, "tick"))
    drawing = svg(_WIDTH, bottom + 68, "memory, descriptors, threads and p99 age over the frames of a soak", parts)
    return str(drawing).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _x(frames: float, last: float) -> float:
    return _LEFT + frames / last * (_RIGHT - _LEFT)


def _panel(title: str, share: Seconds, values: Seconds, top: float) -> list[Markup]:
    """One curve over its share of the frames, from zero: what is flat must look it, and what grows too."""
    step = _step(float(values.max()) / 3)
    high = step * math.ceil(float(values.max()) * 1.05 / step)
    bottom = top + _HEIGHT
    parts = [text(_LEFT, top - 6, title, "")]
    for tick in np.arange(0, high + step / 2, step):
        y = bottom - float(tick) / high * _HEIGHT
        parts.append(line((_LEFT, y), (_RIGHT, y), "grid" if tick else "axis"))
        parts.append(text(_LEFT - 8, y + 4, f"{tick:g}", "tick end"))
    points = " ".join(f"{_x(s, 1):.1f},{bottom - v / high * _HEIGHT:.1f}" for s, v in zip(share, values, strict=True))
    return [*parts, Markup('<polyline class="seen" points="{}"/>').format(points)]


def _step(about: float) -> float:
    """1, 2 or 5 times a power of ten, at least ``about``."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= about)
