"""The table of engines, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.engines.cell import Cell

_HEAD = (
    "model",
    "variant",
    "engine",
    "p50 ms inline",
    "in a process",
    "by hand",
    "inline / by hand",
    "process / by hand",
)
_HEAD += ("agreement with float", "on labels (float)", "start ms", "memory MB", "golden")


@dataclass(frozen=True)
class Row:
    """A cell and what it is of; ``agreement`` is what a full agreement is called."""

    model: str
    variant: str
    engine: str
    agreement: str
    cell: Cell


def written(rows: Sequence[Row], machine: str) -> str:
    """The table, and what it was measured on."""
    lines = [_line(_HEAD), _line("---" for _ in _HEAD), *(_line(_cells(row)) for row in rows)]
    said = [f"- {row.variant} of {row.model}: {row.cell.said}" for row in rows if row.cell.said]
    return "\n".join([*lines, "", machine, "What ran them:", "", *said]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cells(row: Row) -> Iterator[str]:
    cell = row.cell
    yield from (row.model, row.variant, row.engine)
    if cell.failed:
        yield f"not here: {cell.failed}"
        yield from [""] * (len(_HEAD) - 4)
        return
    yield from (f"{cell.inline_ms:.2f}", f"{cell.process_ms:.2f}", f"{cell.bare_ms:.2f}")
    yield from (f"{cell.inline_ratio:.2f}", f"{cell.process_ratio:.2f}")
    value, low, high = cell.agreement
    yield f"{value:.3f} ({low:.2f} to {high:.2f}), {row.agreement}, {cell.samples} images"
    yield "" if cell.metric is None else f"{cell.metric:.2f} ({cell.metric_float:.2f})"
    yield from (f"{cell.start_ms:.0f}", f"{cell.memory_mb:.0f}")
    yield "" if cell.golden is None else f"{100 * cell.golden:.0f} % of the tolerance"
