"""The way of repair as a picture: what every step came to, and which were kept."""

from __future__ import annotations

from markupsafe import Markup

from converters.report.numbers import maybe
from converters.report.repair_figures import Repair, RepairStep
from converters.report.svg import line, mark, svg, text

_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 906.0, 16.0, 176.0


def repair(shown: Repair) -> Markup:
    """The value over the steps that were measured: a line through what was kept, hollow dots for what was not."""
    steps = [(step, step.after) for step in shown.steps if step.after is not None]
    ends = {v for v in (shown.before, shown.after) if v is not None}
    values = [*ends, *(after for _, after in steps), *([] if shown.goal is None else [shown.goal])] or [0.0]
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) * 0.1
    low, high = low - margin, high + margin
    gap = (_RIGHT - _LEFT) / max(1, len(steps))

    def y(value: float) -> float:
        return _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)

    parts = [line((_LEFT, y(v)), (_RIGHT, y(v)), "grid") for v in sorted(ends)]
    parts += [text(_LEFT - 8, y(v) + 4, maybe(v), "tick end") for v in sorted(ends)]
    if shown.goal is not None:
        parts.append(line((_LEFT, y(shown.goal)), (_RIGHT, y(shown.goal)), "guide"))
        parts.append(text(_LEFT + 12, y(shown.goal) - 5, f"goal {maybe(shown.goal)}", "halo"))
    at = (_LEFT, _BOTTOM if shown.before is None else y(shown.before))
    dots = [mark(*at, 5, "int8", f"as first quantized: {maybe(shown.before)}")]
    for number, (step, after) in enumerate(steps, start=1):
        here = (_LEFT + gap * number, y(after))
        if step.kept:
            parts.append(line(at, here, "way"))
            at = here
        dots.append(mark(*here, 5 if step.kept else 3, "int8" if step.kept else "unknown", _told(step)))
    parts.append(text(_LEFT, 198, f"{len(steps)} steps were measured: filled ones were kept", "tick"))
    parts.append(text(_RIGHT, 198, f"{shown.value} →", "tick end"))
    return svg(920, 206, f"{shown.value} over {len(steps)} steps of repair", [*parts, *dots])


def _told(step: RepairStep) -> str:
    target = f" {step.target}" if step.target else ""
    return f"{step.action}{target}: {maybe(step.before)} to {maybe(step.after)}, {'kept' if step.kept else 'undone'}"
