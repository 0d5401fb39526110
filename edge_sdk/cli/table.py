"""Plain tables for a terminal of 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from edge_sdk.printable import printable

WIDTH = 100
_GAP = "  "


def heading(text: str) -> list[str]:
    """A section's title, an empty line above it."""
    return ["", printable(text)]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Iterator[str]:
    """Lines of a table, two columns in. Cells too wide for the terminal are shortened in the middle, in the widest column first.

    Args:
        titles: one a column.
        rows: cells, as many as titles.
        right: titles of the columns that are set to the right (numbers).
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    while 2 + sum(widths) + len(_GAP) * (len(widths) - 1) > WIDTH:
        widths[widths.index(max(widths))] -= 1
    for row in (titles, *cells):
        fitted = [shorten(cell, width) for cell, width in zip(row, widths, strict=True)]
        placed = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for title, cell, width in zip(titles, fitted, widths, strict=True)
        ]
        yield ("  " + _GAP.join(placed)).rstrip()


def facts(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lines of names and what is said of each, wrapped beside the name."""
    pairs = [(printable(name), printable(text)) for name, text in rows]
    width = max((len(name) for name, _ in pairs), default=0)
    indent = " " * (2 + width + len(_GAP))
    for name, text in pairs:
        yield textwrap.fill(text, WIDTH, initial_indent=f"  {name:<{width}}{_GAP}", subsequent_indent=indent)


def paragraph(text: str) -> str:
    """Running text, wrapped two columns in."""
    return textwrap.fill(printable(text), WIDTH, initial_indent="  ", subsequent_indent="  ")


def shorten(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns; what is left out of the middle stands as an ellipsis."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + "…" + (text[-tail:] if tail else "")


def size(count: int) -> str:
    """A number of bytes for people: ``229.0 kB`` (1 kB is 1,000 bytes)."""
    if count < 1_000:
        return f"{count} B"
    for unit, bytes_ in (("kB", 1e3), ("MB", 1e6)):
        if count < bytes_ * 999.95:
            return f"{count / bytes_:.1f} {unit}"
    return f"{count / 1e9:.1f} GB"
