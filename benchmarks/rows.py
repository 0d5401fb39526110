"""One row of the comparison, and the table of all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_COLUMNS = {"what": 48, "measured": 44, "target": 20, "ratio": 7, "met": 7}


@dataclass(frozen=True)
class Row:
    """What was measured beside what was wanted.

    Attributes:
        what: ours, and what it is compared with.
        measured: the figures, with units.
        target: what was wanted, or "" where a figure is only shown.
        ratio: ours over the other's, from interleaved runs, or None where nothing is compared.
        met: whether the target was met, or None where there is none.
    """

    what: str
    measured: str
    target: str = ""
    ratio: float | None = None
    met: bool | None = None

    def cells(self) -> dict[str, str]:
        """The row as text."""
        return {
            "what": self.what,
            "measured": self.measured,
            "target": self.target,
            "ratio": "" if self.ratio is None else f"{self.ratio:.3f}",
            "met": {True: "met", False: "NOT met", None: ""}[self.met],
        }


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of the table; cells too long for their column are wrapped."""
    yield from _lines({name: name for name in _COLUMNS})
    yield "  ".join("-" * width for width in _COLUMNS.values())
    for row in rows:
        yield from _lines(row.cells())


def _lines(cells: dict[str, str]) -> Iterator[str]:
    wrapped = [textwrap.wrap(cells[name], width) or [""] for name, width in _COLUMNS.items()]
    for number in range(max(map(len, wrapped))):
        parts = [column[number] if number < len(column) else "" for column in wrapped]
        yield "  ".join(part.ljust(width) for part, width in zip(parts, _COLUMNS.values(), strict=True)).rstrip()
