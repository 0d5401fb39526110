"""What ``edge-sdk sweep`` prints at its end: the table with its front marked, the best, and their commands."""

from __future__ import annotations

from collections.abc import Iterator

from converters.report.numbers import count, size
from converters.sweep.figures import Row, SweepFigures
from converters.sweep.labels import (
    accuracy_text,
    measured_on,
    milliseconds,
    model_name,
    point_name,
    recipe_name,
    shape_name,
    titles,
)
from edge_sdk.cli.table import heading, paragraph, table
from edge_sdk.printable import printable


def sweep_lines(figures: SweepFigures) -> list[str]:
    """Lines for a terminal."""
    good = [row for row in figures.rows if row.figures is not None]
    lines = [_headline(figures, len(good))]
    if good:
        columns = (
            "",
            "#",
            "model",
            "input",
            "recipe",
            "ranges",
            good[0].figures.accuracy.name if good[0].figures else "",
            "latency",
            "size",
        )
        lines += ["", *table(columns, map(_cells, good), right=("#", "latency", "size", columns[6]))]
        lines.append(
            paragraph(f"* is on the front: no other is better in all three. Accuracy: {measured_on(figures)}.")
        )
    lines += _failures(figures)
    for best in figures.best:
        lines += _best(figures, best.board, titles(best), best.runs)
    return [*lines, *_warnings(figures)]


def _headline(figures: SweepFigures, good: int) -> str:
    front = sum(row.front for row in figures.rows)
    failed = len(figures.rows) - good
    parts = [count(len(figures.rows), "point"), f"{front} on the front"]
    if failed:
        parts.append(f"{failed} failed")
    if figures.kept:
        parts.append(f"{figures.kept} kept from before")
    return ", ".join(parts)


def _cells(row: Row) -> tuple[str, ...]:
    figures, setting = row.figures, row.setting
    assert figures is not None and row.latency_ms is not None  # noqa: S101 - good rows only
    accuracy = accuracy_text(figures.accuracy)
    mark = "*" if row.front else ""
    name = model_name(setting)
    return (
        mark,
        str(row.number),
        name,
        shape_name(row),
        recipe_name(setting),
        setting.ranges,
        accuracy,
        milliseconds(row.latency_ms),
        size(figures.size_bytes),
    )


def _failures(figures: SweepFigures) -> Iterator[str]:
    failed = [row for row in figures.rows if row.failure is not None]
    if failed:
        yield from heading("failed")
    for row in failed:
        yield paragraph(f"{row.number}  {point_name(figures, row)}: {row.failure}")


def _best(
    figures: SweepFigures, board: str | None, numbers: dict[int, list[str]], runs: tuple[str, ...]
) -> Iterator[str]:
    if board is not None:
        yield from heading(board)
        if not numbers:
            yield paragraph(f"runs {', '.join(runs)}: none of the points")
    for number, words in numbers.items():
        row = figures.row(number)
        told = ", ".join(words)
        assert row.figures is not None and row.latency_ms is not None  # noqa: S101 - the best are good
        facts = f"{accuracy_text(row.figures.accuracy)}, {milliseconds(row.latency_ms)}, {size(row.figures.size_bytes)}"
        if board is None:
            yield from heading(f"{told}: {number} ({facts})")
            yield "  " + printable(row.command)
        else:
            yield paragraph(f"{told}: {number}")


def _warnings(figures: SweepFigures) -> Iterator[str]:
    if figures.warnings:
        yield from heading("warnings")
    for warning in figures.warnings:
        yield paragraph(warning)
