"""Windows of a .csv of readings, or of all below a folder, cut by the code that cuts them on a device.

motion.csv?hop=32&group=recording   columns named as the contract's channels, and a column of times, such as time_s
motion.csv?time=stamp_ms            times in a column of another name, which ends in its unit: _s, _ms, _us or _ns
motion.csv?time=none                no times: readings are one period apart
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from converters.calibrate.sources.found import Found, RawSample, Skipped, at, files_of, take, whole
from converters.calibrate.sources.suffixes import TABLES
from edge_sdk.errors import ContractError, DataError, SourceError
from edge_sdk.sources import Sample
from edge_sdk.window_settings import WindowSettings
from edge_sdk.windows import Windows

_NS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
_ROWS = 4_096  # held at a time


@dataclass(frozen=True)
class _Layout:
    """Places in a row: of the channels, of the time or None, of the recording or None; ``unit_ns`` is that of the time."""

    channels: tuple[int, ...]
    time: int | None
    unit_ns: float
    group: int | None


def find(path: Path, options: dict[str, str], window: WindowSettings) -> Found:
    """See ``converters.calibrate.sources.signals``."""
    take(options, path, ("hop", "time", "group"))
    hop = whole(path, options, "hop", window.hop, least=1, what="number of rows")
    files = files_of(path, TABLES, "tables of readings") if path.is_dir() else [path]
    layouts = [(file, _layout(file, options, window)) for file in files]
    said: Counter[str] = Counter()

    def windows(notes: Counter[str]) -> Iterator[RawSample]:
        for file, layout in layouts:
            yield from _cut(file, at(file, path), layout, window, hop, notes)

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        wanted = set(chosen)
        last = max(wanted, default=-1)
        for number, sample in enumerate(islice(windows(Counter()), last + 1)):
            if number in wanted:
                yield sample

    count = sum(1 for _ in windows(said))
    if not count:
        why = f": {next(iter(said))}" if said else ""
        raise DataError(
            f"{path} holds no whole window of {window.length} readings{why}. Give more data, or a smaller window"
        )
    return Found(
        f"{path.name}, {count} windows of {window.length} readings, {hop} apart", count, read, tuple(_notes(said))
    )


def _notes(said: Counter[str]) -> Iterator[str]:
    """What was odd, and how many windows were dropped for it."""
    for sentence, dropped in said.items():
        yield f"Of the data, {sentence}" + (f" ({dropped} windows)." if dropped else ".")


def _cut(
    file: Path, name: str, layout: _Layout, window: WindowSettings, hop: int, said: Counter[str]
) -> Iterator[RawSample]:
    last = ""

    def note(sentence: str | None, dropped: int) -> None:
        nonlocal last
        last = last if sentence is None else f"{name}: {sentence}"
        said[last] += dropped

    cutter = Windows(window, note, hop=hop)
    for number, (_, rows) in enumerate(groupby(_rows(file, layout), key=lambda row: row[1])):
        if number:
            cutter = Windows(window, note, hop=hop)
        while block := list(islice(rows, _ROWS)):
            numbers = np.array([row[0] for row in block])
            times = np.rint(numbers[:, 0] * layout.unit_ns).astype(np.int64)
            try:
                found = cutter.add(Sample(numbers[:, 1:], 0, 0, times_ns=times))
            except (ContractError, SourceError) as exc:
                raise DataError(f"{file}: {exc}") from exc
            for each in found:
                yield RawSample(each.data, "bgr", f"{name} up to {each.captured_ns / 1e9:.2f} s")


def _rows(file: Path, layout: _Layout) -> Iterator[tuple[list[float], str]]:
    """Time and channels of each row, and its recording. An empty cell of a channel is NaN: a reading that is not there."""
    for number, (line, cells) in enumerate(islice(_lines(file), 1, None)):
        try:
            time = float(number) if layout.time is None else float(cells[layout.time])
            numbers = [time, *(float(cells[place] or "nan") for place in layout.channels)]
            group = "" if layout.group is None else cells[layout.group]
        except (IndexError, ValueError) as exc:
            raise DataError(f"{file} line {line} is not a row of times and readings: {','.join(cells)[:80]!r}") from exc
        if not np.isfinite(time):
            raise DataError(f"{file} line {line} has the time {time}")
        yield numbers, group


def _layout(file: Path, options: dict[str, str], window: WindowSettings) -> _Layout:
    names = [cell.strip() for cell in next(_lines(file), (1, []))[1]]
    given = options.get("time")
    found = [name for name in names if name.startswith(("time_", "t_")) and _unit(name)] if given is None else [given]
    if given == "none":
        return _Layout(_places(file, window.channels, names), None, window.period_ns, _group(file, options, names))
    if len(found) != 1 or not _unit(found[0]):
        there = ", ".join(names[:20])
        raise DataError(
            f"{file} has {len(found)} columns of times; give ?time=NAME, a name that ends in _s, _ms, _us or _ns, or ?time=none where "
            f"readings are one period apart. Its columns are {there}"
        )
    (time,) = _places(file, (found[0],), names)
    return _Layout(_places(file, window.channels, names), time, _unit(found[0]), _group(file, options, names))


def _unit(name: str) -> float:
    return _NS.get(name.rpartition("_")[2], 0.0) if "_" in name else 0.0


def _group(file: Path, options: dict[str, str], names: list[str]) -> int | None:
    return _places(file, (options["group"],), names)[0] if "group" in options else None


def _places(file: Path, wanted: tuple[str, ...], names: list[str]) -> tuple[int, ...]:
    if odd := [name for name in wanted if names.count(name) != 1]:
        raise DataError(
            f"{file} has not exactly one column {', '.join(odd)}; the first line names columns, the contract's channels among them. "
            f"It has {', '.join(names[:20]) or 'none'}"
        )
    return tuple(names.index(name) for name in wanted)


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Every line that is not empty."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            for line, cells in enumerate(csv.reader(opened), start=1):
                if cells:
                    yield line, cells
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise DataError(f"{file} cannot be read as CSV: {exc}") from exc
