"""The sweep's plots: accuracy over latency and over size, the front marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from converters.report.numbers import short
from converters.report.svg import line, mark, svg, text

_LEFT, _TOP, _RIGHT, _BOTTOM, _WIDTH, _HEIGHT = 50.0, 22.0, 428.0, 276.0, 440.0, 322.0
_LOGARITHMIC_FROM = 8  # largest over smallest
_TICKS = 5
_LABEL = (8.0, 12.0)  # width of a digit, height of a line


@dataclass(frozen=True)
class Dot:
    """One point: x, y, its number, what is told where the pointer rests, and whether it is on the front, and the knee."""

    x: float
    y: float
    number: int
    told: str
    front: bool
    knee: bool


@dataclass(frozen=True)
class _Axis:
    """Values on a line of the drawing, from ``start`` to ``end``."""

    start: float
    end: float
    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, value = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        step = _step((self.high - self.low) / _TICKS)
        if not self.logarithmic:
            return [step * i for i in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [m * 10.0**p for p in powers for m in (1, 2, 5) if self.low <= m * 10.0**p <= self.high]


def scatter(
    dots: Sequence[Dot], x_title: str, y_title: str, *, higher_is_better: bool = True, most: float = math.inf
) -> Markup:
    """Every point; those on the front are filled, numbered and joined by their own front in these two respects.

    Args:
        dots: the points, x above 0.
        x_title, y_title: with units.
        higher_is_better: of y; of x less is.
        most: the largest y that there can be.
    """
    xs, ys = _x_axis([dot.x for dot in dots]), _y_axis([dot.y for dot in dots])
    parts = _grid(xs, ys, most)
    parts.append(text((_LEFT + _RIGHT) / 2, _HEIGHT - 6, x_title, "tick middle"))
    parts.append(text(0, 10, f"{y_title} {'↑' if higher_is_better else '↓'}", "tick"))
    parts.append(_staircase(dots, xs, ys, higher_is_better))
    taken: list[tuple[float, float]] = [(xs.at(dot.x), ys.at(dot.y)) for dot in dots if dot.front]
    for dot in sorted(dots, key=lambda dot: (dot.front, dot.knee)):
        x, y = xs.at(dot.x), ys.at(dot.y)
        if dot.knee:
            parts.append(mark(x, y, 9, "ring", dot.told))
        parts.append(mark(x, y, 5 if dot.front else 3.5, "int8" if dot.front else "faded", dot.told))
    for dot in sorted((dot for dot in dots if dot.front), key=lambda dot: not dot.knee):
        parts.append(_label(dot, xs.at(dot.x), ys.at(dot.y), taken))
    return svg(_WIDTH, _HEIGHT, f"{y_title} over {x_title} of {len(dots)} points", parts)


def _x_axis(values: Sequence[float]) -> _Axis:
    low, high = min(values), max(values)
    if high > _LOGARITHMIC_FROM * low:
        return _Axis(_LEFT, _RIGHT, low / 1.25, high * 1.25, True)
    room = 0.08 * (high - low) or 0.1 * high
    return _Axis(_LEFT, _RIGHT, max(0.0, low - room), high + room)


def _y_axis(values: Sequence[float]) -> _Axis:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.02 * abs(high) or 1.0
    return _Axis(_BOTTOM, _TOP, low - room, high + room)


def _step(about: float) -> float:
    """1, 2 or 5 times a power of ten, at least ``about``."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= about * (1 - 1e-9))


def _grid(xs: _Axis, ys: _Axis, most: float) -> list[Markup]:
    parts = []
    for value in (tick for tick in ys.ticks() if tick <= most):
        parts.append(line((_LEFT, ys.at(value)), (_RIGHT, ys.at(value)), "grid"))
        parts.append(text(_LEFT - 8, ys.at(value) + 4, _tick(value), "tick end"))
    for value in xs.ticks():
        parts.append(line((xs.at(value), _BOTTOM), (xs.at(value), _BOTTOM + 4), "axis"))
        parts.append(text(xs.at(value), _BOTTOM + 18, _tick(value), "tick middle"))
    return [*parts, line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), "axis")]


def _tick(value: float) -> str:
    return f"{round(value, 6):g}" if abs(value) < 10_000 else short(value)


def _staircase(dots: Sequence[Dot], xs: _Axis, ys: _Axis, higher_is_better: bool) -> Markup:
    """From the fastest or smallest point up through each that is more accurate than all before it."""
    better: Callable[[float, float], bool] = (lambda a, b: a > b) if higher_is_better else (lambda a, b: a < b)
    corners: list[tuple[float, float]] = []
    best = math.nan
    for dot in sorted(dots, key=lambda dot: (dot.x, -dot.y if higher_is_better else dot.y)):
        if math.isnan(best) or better(dot.y, best):
            if corners:
                corners.append((xs.at(dot.x), corners[-1][1]))
            corners.append((xs.at(dot.x), ys.at(dot.y)))
            best = dot.y
    corners.append((_RIGHT, corners[-1][1]))
    return Markup('<polyline class="front" points="{}"/>').format(" ".join(f"{x:.1f},{y:.1f}" for x, y in corners))


def _label(dot: Dot, x: float, y: float, taken: list[tuple[float, float]]) -> Markup:
    """The number, on the side where it meets nothing; none if it would on all (the pointer still tells it)."""
    words = f"{dot.number}"
    half = len(words) * _LABEL[0] / 2
    gap = 14.0 if dot.knee else 10.0
    for dx, dy in ((0, -gap - 2), (0, gap + 6), (gap + half, 2), (-gap - half, 2)):
        middle = (x + dx, y + dy)
        free = all(
            abs(middle[0] - a) > half + 6 or abs(middle[1] - b) > _LABEL[1] for a, b in taken if (a, b) != (x, y)
        )
        if free and _LEFT < middle[0] < _RIGHT and middle[1] > _TOP - 8:
            taken.append(middle)
            return text(middle[0], middle[1] + 4, words, "halo middle strong")
    return Markup("")
