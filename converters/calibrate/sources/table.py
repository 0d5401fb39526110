"""Rows of a CSV file: one sample each, or with ``?window=`` consecutive rows as one sample. The file is streamed, never held.

rows.csv                                        one sample a row, with or without a line of names
motion.csv?window=128&hop=64&columns=x,y,z      windows (128, 3), each 64 rows behind the one before
motion.csv?window=128&group=recording           no window crosses from one recording to the next
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.calibrate.sources.found import Found, RawSample, Skipped, take, whole
from converters.calibrate.sources.windows import fitted
from edge_sdk.errors import DataError
from edge_sdk.tensors import Array

Row = tuple[int, list[str]]


@dataclass(frozen=True)
class _Layout:
    """What of a row is used: the places of its numbers, and of what tells the recording or None; ``names`` is whether line 1 is names."""

    columns: tuple[int, ...]
    group: int | None
    names: bool


def find(path: Path, options: dict[str, str], shape: tuple[int, ...]) -> Found:
    """See ``converters.calibrate.sources``."""
    take(options, path, ("window", "hop", "columns", "group"))
    if "window" in options:
        return _windows(path, options, shape)
    take({key: "" for key in options if key != "columns"}, path, ("window",))
    layout = _layout(path, options)
    size = int(np.prod(shape))

    def rows() -> Iterator[tuple[int, Array]]:
        for line, numbers, _ in _read(path, layout):
            if numbers.size != size:
                raise DataError(
                    f"{path} line {line} has {numbers.size} numbers; the model's input takes {size}, shape {shape}"
                )
            yield line, numbers

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        wanted = set(chosen)
        for index, (line, numbers) in enumerate(rows()):
            if index in wanted:
                yield RawSample(numbers.reshape(shape), "bgr", f"{path.name} line {line}")

    count = sum(1 for _ in rows())
    return Found(f"{path.name}, {count} rows", count, read)


def _windows(path: Path, options: dict[str, str], shape: tuple[int, ...]) -> Found:
    window = whole(path, options, "window", 0, least=1, what="number of rows")
    hop = whole(path, options, "hop", window, least=1, what="number of rows")
    layout = _layout(path, options)
    fitted(np.zeros((window, max(1, len(layout.columns))), np.float32), shape, path)  # or it is said now

    def windows() -> Iterator[tuple[int, list[Array]]]:
        """The first line and the rows of every window."""
        kept: deque[tuple[int, Array]] = deque(maxlen=window)
        group, position = None, 0
        for line, numbers, recording in _read(path, layout):
            if numbers.size != len(layout.columns):
                raise DataError(
                    f"{path} line {line} has {numbers.size} numbers; the lines before have {len(layout.columns)}"
                )
            if recording != group:
                kept.clear()
                group, position = recording, 0
            kept.append((line, numbers))
            position += 1
            if position >= window and (position - window) % hop == 0:
                yield kept[0][0], [row for _, row in kept]

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        wanted = set(chosen)
        for index, (line, rows) in enumerate(windows()):
            if index in wanted:
                yield RawSample(fitted(np.array(rows), shape, path), "bgr", f"{path.name} from line {line}")

    count = sum(1 for _ in windows())
    within = "" if layout.group is None else f", within one {options['group']}"
    if count == 0:
        rows = sum(1 for _ in _read(path, layout))
        raise DataError(
            f"{path} holds no window of {window} rows{within}: it has {rows}. Give more data, or a smaller window"
        )
    return Found(f"{path.name}, {count} windows of {window} rows, {hop} apart{within}", count, read)


def _layout(path: Path, options: dict[str, str]) -> _Layout:
    """Find the columns by name or, where the file has no line of names, by their place from 0.

    Raises:
        DataError: if one is not there.
    """
    first = next(_lines(path), (1, []))[1]
    names = [cell.strip() for cell in first]
    named = all(_numbers([cell]) is None for cell in first)
    known = names if named else [str(place) for place in range(len(first))]
    group = None
    if "group" in options:
        group = _place(path, options["group"], known)
    wanted = options.get("columns")
    if wanted is not None:
        columns = tuple(_place(path, name.strip(), known) for name in wanted.split(","))
    else:
        columns = tuple(place for place in range(len(first)) if place != group)
    return _Layout(columns, group, named)


def _place(path: Path, name: str, known: list[str]) -> int:
    if known.count(name) != 1:
        there = ", ".join(known[:20]) or "none"
        raise DataError(f"{path} has {known.count(name)} columns called {name!r}; there are {there}")
    return known.index(name)


def _read(path: Path, layout: _Layout) -> Iterator[tuple[int, Array, str]]:
    """Line number (from 1), numbers and recording of every row."""
    whole_rows = layout.group is None and layout.columns == tuple(range(len(layout.columns)))
    for line, cells in _lines(path):
        if layout.names and line == 1:
            continue
        if whole_rows and len(cells) != len(layout.columns):
            numbers = _numbers(cells)
        else:
            if max((*layout.columns, layout.group or 0)) >= len(cells):
                raise DataError(f"{path} line {line} has {len(cells)} cells; the lines before have more")
            numbers = _numbers([cells[place] for place in layout.columns])
        if numbers is None:
            odd = next(cell for cell in cells if _numbers([cell]) is None)
            raise DataError(f"{path} line {line} is not numbers: found {odd[:40]!r}; give columns= to take only some")
        yield line, numbers, "" if layout.group is None else cells[layout.group]


def _lines(path: Path) -> Iterator[Row]:
    """Every line that is not empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line, cells in enumerate(csv.reader(file), start=1):
                if cells:
                    yield line, cells
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise DataError(f"{path} cannot be read as CSV: {exc}") from exc


def _numbers(cells: list[str]) -> Array | None:
    try:
        return np.array([float(cell) for cell in cells], np.float32)
    except ValueError:
        return None
