"""Numbers as people read them, on the page and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable


def short(value: float) -> str:
    """Three significant digits at least, thousands apart; powers of ten only below 0.0001 and from 10^9."""
    if value == int(value) and abs(value) < 10**9:
        return f"{int(value):,}"
    magnitude = math.floor(math.log10(abs(value)))
    if not -5 < magnitude < 9:
        return f"{value:.2e}"
    return f"{value:,.{max(0, 2 - magnitude)}f}"


def maybe(value: float | None) -> str:
    """``short``, or a dash where there is no number."""
    return "-" if value is None else short(value)


def size(size_bytes: int) -> str:
    """Bytes, in powers of 1000."""
    value = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{size_bytes} bytes" if unit == "bytes" else f"{short(value)} {unit}"
        value /= 1000
    return f"{short(value)} GB"


def seconds(value: float) -> str:
    """A time that a person waited."""
    return f"{value:.2f} s"


def decibels(value: float | None) -> str:
    """A ratio in dB, or a dash where there is no number."""
    return "-" if value is None else f"{value:.1f} dB"


def quantity(value: float, unit: str) -> str:
    """A value with its unit; percentages get two digits after the point, and a space."""
    if unit == "%":
        return f"{value:.2f} %"
    return f"{short(value)} {unit}".rstrip()


def change(before: float, after: float, unit: str) -> str:
    """The difference with its sign; of percentages in points."""
    if unit == "%":
        return f"{after - before:+.2f} points"
    return f"{after - before:+.4f} {unit}".rstrip()


def loss(share: float, relative: bool) -> str:
    """How much worse something is: points, or percent of what it was."""
    return f"{100 * share:.2f} {'%' if relative else 'points'}"


def loss_between(low: float, high: float, relative: bool) -> str:
    """An interval of the same."""
    return f"{100 * low:.2f} to {loss(high, relative)}"


def between(low: float, high: float, unit: str) -> str:
    """An interval of quantities."""
    return f"{quantity(low, unit).removesuffix(unit).rstrip()} to {quantity(high, unit)}"


def shape(lengths: Iterable[int]) -> str:
    """A tensor's shape, outermost axis first, such as ``"1x128x128x3"``; a scalar's is ``"scalar"``."""
    return "x".join(str(n) for n in lengths) or "scalar"


def count(number: int, noun: str) -> str:
    """A number and its noun, such as ``"1 frame"`` or ``"2,000 frames"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
