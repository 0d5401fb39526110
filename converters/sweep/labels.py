"""Points in words, for the page and the terminal."""

from __future__ import annotations

from pathlib import Path

from converters.report.numbers import quantity, shape, short
from converters.sweep.figures import Accuracy, Best, Row, Setting, SweepFigures
from converters.sweep.point import NO_RANGES

RESPECTS = {
    "knee": "the best compromise",
    "accurate": "the most accurate",
    "fast": "the fastest",
    "small": "the smallest",
}
"""Fields of ``Best``, and what they are."""


def model_name(setting: Setting) -> str:
    """The model's file, without folder and suffix."""
    return Path(setting.model).stem


def recipe_name(setting: Setting) -> str:
    """Of a named recipe, or of a .toml."""
    return Path(setting.recipe).stem


def shape_name(row: Row) -> str:
    """The input's shape without its batch, such as ``"96x96x3"``; that of the source where it was asked for."""
    lengths = row.setting.input_shape or (row.figures.shape if row.figures is not None else ())
    return shape(lengths[1:]) if lengths else "-"


def point_name(figures: SweepFigures, row: Row) -> str:
    """All that tells a point from the others, such as ``"net, 96x96x3, int8, mse"``; the model only if there are several."""
    setting = row.setting
    model = [model_name(setting)] if figures.several_models else []
    parts = [*model, shape_name(row), recipe_name(setting), setting.ranges]
    return ", ".join(part for part in parts if part not in ("-", NO_RANGES))


def accuracy_text(accuracy: Accuracy) -> str:
    """The value with its unit."""
    return quantity(round(accuracy.value, 4), accuracy.unit)


def interval_text(accuracy: Accuracy) -> str:
    """The interval, such as ``"69.41 to 71.61"``; "" where it is not known."""
    return "" if accuracy.interval is None else " to ".join(f"{end:.2f}" for end in accuracy.interval)


def milliseconds(value: float) -> str:
    """A latency, three digits of it."""
    return f"{short(float(f'{value:.3g}'))} ms"


def titles(best: Best) -> dict[int, list[str]]:
    """What each of the best rows is best in, by its number, the compromise first."""
    found: dict[int, list[str]] = {}
    for field, words in RESPECTS.items():
        number = getattr(best, field)
        if number is not None:
            found.setdefault(number, []).append(words)
    return found


def measured_on(figures: SweepFigures) -> str:
    """What accuracy means here."""
    if figures.labelled:
        return f"on the right answers of {figures.data}"
    return f"likeness to the float model, on {figures.data}"
