"""A recorded signal, at the pace at which it was taken: a .csv, or an array with the time of each reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_sdk.errors import SourceError
from edge_sdk.inputs import check_plain_file
from edge_sdk.printable import printable
from edge_sdk.sources import SignalSource
from edge_sdk.sources.lines import (
    SEPARATORS,
    Columns,
    LineSplitter,
    is_blank,
    is_reading,
    parse,
)
from edge_sdk.sources.pace import Pace
from edge_sdk.sources.parsed import FARTHEST_NS, UNIT_NS
from edge_sdk.sources.replay import ReplaySettings, load_array
from edge_sdk.sources.stamps import PIECE_NS, RESTART_NS
from edge_sdk.tensors import Array

# Readings, and when they were taken, by the recording's clock or since its beginning, int64 ns; or what to say of broken ones.
Piece: TypeAlias = "tuple[Array, Array] | SourceError"
Pass: TypeAlias = Callable[[], Iterator[Piece]]  # from the beginning of the recording to its end
_BLOCK_BYTES = 64 << 10
_MOST_READINGS = 1024  # of a piece


class RecordingSource(SignalSource):
    """The readings of a recording: float64 (count, channels) of a table, in its own dtype of an array.

    The first reading is due when it is asked for, every other one as much later as it was taken later. A clock in the recording that falls
    back by more than a second has begun anew, and goes on from where it was; if it falls back by less, the times do too.
    """

    settings_class = ReplaySettings

    def __init__(self, settings: ReplaySettings) -> None:
        self.settings = settings
        self.rate_hz = settings.rate_hz
        self.live = settings.pace == "realtime"
        self._opened: tuple[Iterator[Piece], Pace] | None = None
        self._next: Piece | None = None

    def _open(self) -> None:
        self._close()
        self.channels, one_pass = _table(self.settings) if self.settings.is_table else _arrays(self.settings)
        pieces = _played(one_pass, loop=self.settings.loop)
        self._next = next(pieces, None)
        if self._next is None:
            raise SourceError(f"{self.settings.path} holds no reading")
        self._opened = pieces, Pace()

    def _readings(self) -> tuple[Array, Array] | None:
        opened, piece = self._opened, self._next
        if opened is None or piece is None:
            return None
        pieces, pace = opened
        self._next = following = next(pieces, None)
        if isinstance(piece, SourceError):
            raise piece
        data, times_ns = piece
        last_ns = int(times_ns[-1])
        if following is not None and not isinstance(following, SourceError):
            self.period_s = max(self.period_s, (int(following[1][-1]) - last_ns) / 1e9)
        due_ns = pace.wait(last_ns) if self.live else pace.due_ns(last_ns)
        return None if due_ns is None else (np.array(data), times_ns + (due_ns - last_ns))

    def _close(self) -> None:
        opened, self._opened, self._next = self._opened, None, None
        if opened is not None:
            opened[1].stop()


def _played(one_pass: Pass, *, loop: bool) -> Iterator[Piece]:
    """The pieces of a pass, or of passes without end, with times that go on where the recording's clock begins anew."""
    offset_ns = last_ns = period_ns = 0
    while True:
        count, begins = 0, True
        for piece in one_pass():
            count += 1
            if isinstance(piece, SourceError):
                yield piece
                continue
            data, clock_ns = piece
            first_ns = int(clock_ns[0])
            if begins or first_ns + offset_ns < last_ns - RESTART_NS:
                offset_ns = last_ns + period_ns - first_ns
            times_ns = clock_ns + offset_ns
            if len(times_ns) > 1:
                period_ns = max(int(times_ns[-1] - times_ns[0]) // (len(times_ns) - 1), 0)
            else:
                period_ns = max(int(times_ns[-1]) - last_ns, 0)
            last_ns, begins = int(times_ns[-1]), False
            yield data, times_ns
        if not (loop and count):
            return


def _cut(data: Array, times_ns: Array) -> Iterator[Piece]:
    """Pieces that are no longer than ``PIECE_NS``."""
    start = 0
    while start < len(times_ns):
        ahead = np.abs(times_ns[start : start + _MOST_READINGS] - times_ns[start]) >= PIECE_NS
        end = start + (int(ahead.argmax()) if ahead.any() else len(ahead))
        yield data[start:end], times_ns[start:end]
        start = end


def _even(places: Array, rate_hz: float | None) -> Array:
    """When the readings at these places were taken, at this rate, int64 ns."""
    return np.rint(places * (1e9 / (rate_hz or 1))).astype(np.int64)


def _arrays(settings: ReplaySettings) -> tuple[tuple[str, ...], Pass]:
    data = load_array(settings)
    if data.ndim > 2:
        raise SourceError(
            f"{settings.path} holds an array of shape {data.shape}; the readings of a signal are (count,) or (count, channels)"
        )
    data = data.reshape(len(data), -1)
    times_ns = _even(np.arange(len(data)), settings.rate_hz) if settings.time is None else _times(settings, len(data))
    return tuple(str(channel) for channel in range(data.shape[1])), lambda: _cut(data, times_ns)


def _times(settings: ReplaySettings, count: int) -> Array:
    times = load_array(settings, settings.time)
    if times.shape != (count,):
        raise SourceError(
            f"{settings.path}: {settings.time} has the shape {times.shape}; for {count} readings it must be ({count},)"
        )
    unit_ns = UNIT_NS[settings.time_unit]
    if not np.all(np.abs(times.astype(np.float64)) < FARTHEST_NS / unit_ns):  # also NaN
        raise SourceError(f"{settings.path}: {settings.time} holds times that are no numbers of {settings.time_unit}")
    whole = times.dtype.kind in "biu"  # kept to the last nanosecond
    return times.astype(np.int64) * unit_ns if whole else np.rint(times * float(unit_ns)).astype(np.int64)


def _table(settings: ReplaySettings) -> tuple[tuple[str, ...], Pass]:
    check_plain_file(settings.path, SourceError, give="a .csv file of readings")
    separator = SEPARATORS[settings.separator]
    number, first = next(((n, line) for n, line in _lines(settings.path) if not is_blank(line)), (0, b""))
    if not number:
        raise SourceError(f"{settings.path} holds no reading")
    fields = [printable(field.decode(errors="replace").strip(' "')) for field in first.split(separator)]
    header = number if not is_reading(first, separator) else 0
    names = fields if header else [str(position) for position in range(len(fields))]
    time = None if settings.time is None else _position(settings.time, names, settings)
    if settings.columns is None:
        taken = tuple(position for position in range(len(names)) if position != time)
    else:
        taken = tuple(_position(name, names, settings) for name in settings.columns)
    columns = Columns(separator, len(names), taken, time, UNIT_NS[settings.time_unit])
    return tuple(names[position] for position in taken), lambda: _rows(settings, columns, header)


def _position(wanted: str, names: list[str], settings: ReplaySettings) -> int:
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    raise SourceError(
        f"{settings.path} has no column {wanted!r}; with separator={settings.separator} there are {', '.join(names)}. "
        "A column is named as in the first line, or by its position from 0"
    )


def _rows(settings: ReplaySettings, columns: Columns, header: int) -> Iterator[Piece]:
    seen = 0
    for first, lines in _blocks(settings.path):
        if first <= header < first + len(lines):
            lines[header - first] = b""
        parsed = parse(lines, columns.numbers, timed=columns.time is not None, first=first)
        times_ns = parsed.times_ns
        yield from _cut(parsed.data, _even(seen + parsed.places, settings.rate_hz) if times_ns is None else times_ns)
        seen += parsed.count
        if parsed.broken:
            yield SourceError(f"{settings.path}: {parsed.broken}")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    for first, lines in _blocks(path):
        yield from enumerate(lines, first)


def _blocks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The lines of a file, some at a time, with the number of their first one, counted from 1."""
    splitter, first = LineSplitter(), 1
    try:
        with path.open("rb") as file:
            data = file.read(_BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")  # UTF-8's mark, which spreadsheets write
            while data:
                lines = splitter.feed(data)
                yield first, lines
                first += len(lines)
                data = file.read(_BLOCK_BYTES)
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror}") from exc
    yield first, [splitter.rest()]
