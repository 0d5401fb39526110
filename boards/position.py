"""On which line of a TOML file a key stands: the parser does not tell, and an error without it is a search."""

from __future__ import annotations

import re

_TABLE = re.compile(r"^\s*(\[\[?)\s*([\w.-]+)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([\w-]+)\s*=")


def line_of(text: str, key: tuple[int | str, ...]) -> int | None:
    """The line, from 1, of a key such as ``("systems", 0, "python")``, else of the table it is missing from, or None.

    Sees what the profiles are written in: bare keys, tables, and arrays of tables. Inline tables are found by their own key.
    """
    table: tuple[int | str, ...] = ()
    counts: dict[str, int] = {}
    best: tuple[int, int | None] = (0, None)  # how many parts of the key are matched, and where
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = tuple(header[2].split("."))
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                table = (*table, counts[header[2]])
            here = table
        elif assignment := _KEY.match(line):
            here = (*table, assignment[1])
        else:
            continue
        if key[: len(here)] == here and len(here) > best[0]:
            best = (len(here), number)
    return best[1]
