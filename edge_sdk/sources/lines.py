"""Readings as lines of text: cut from bytes in bounded memory, and turned into numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_sdk.printable import printable
from edge_sdk.sources.parsed import FARTHEST_NS, Parsed

LONGEST_LINE_BYTES = 64 << 10
SEPARATORS = {"comma": b",", "semicolon": b";", "tab": b"\t", "space": None}
Separator = Literal["comma", "semicolon", "tab", "space"]  # space is any white space


class LineSplitter:
    """Cuts bytes that come in pieces of any length into lines.

    A line that is longer than ``LONGEST_LINE_BYTES`` is given as its first bytes, so many and one, which no parser takes for a reading.
    """

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole with ``data``, without their ends, which are ``\\n`` or ``\\r\\n``."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        self._begun = self._begun[: LONGEST_LINE_BYTES + 1]
        return [line[: LONGEST_LINE_BYTES + 1].rstrip(b"\r") for line in lines]

    def rest(self) -> bytes:
        """What was begun and not ended, which is forgotten here."""
        begun, self._begun = self._begun, b""
        return begun


@dataclass(frozen=True)
class Columns:
    """Which columns of a line are taken.

    Attributes:
        separator: what stands between two columns; None for any white space.
        count: how many columns a line has.
        taken: the positions of the channels, counted from 0.
        time: the position of the time, or None.
        time_ns: of one of its units.
    """

    separator: bytes | None
    count: int
    taken: tuple[int, ...]
    time: int | None = None
    time_ns: int = 1

    def __post_init__(self) -> None:
        for position in (*self.taken, *(() if self.time is None else (self.time,))):
            if not 0 <= position < self.count:
                raise ValueError(f"there is no column {position}; a line has {self.count}, counted from 0")

    def numbers(self, line: bytes) -> list[float]:
        """The channels of a line, then its time in ns.

        Raises:
            ValueError: if it is no reading; the message says why.
        """
        if len(line) > LONGEST_LINE_BYTES:
            raise ValueError(f"it is longer than {LONGEST_LINE_BYTES} bytes")
        fields = line.split(self.separator)
        if len(fields) != self.count:
            raise ValueError(f"it has {len(fields)} columns, not {self.count}")
        numbers = [_number(fields[position]) for position in self.taken]
        if self.time is not None:
            time_ns = _number(fields[self.time]) * self.time_ns
            if not abs(time_ns) < FARTHEST_NS:  # also NaN
                raise ValueError(f"its time is {time_ns / self.time_ns}")
            numbers.append(time_ns)
        return numbers


class LineDecoder:
    """Finds readings in lines of text.

    What comes before the first line end is the rest of a line that began earlier, and left out. The first line that holds the wanted
    columns says how many there are.

    Args:
        separator: what stands between two columns; None for any white space.
        taken: positions of the channels; None for all but the time.
        time: position of the time, or None.
        time_ns: of one of its units.
        channels: their names; without them, their positions.
        whole: what comes first is the beginning of a line.
    """

    def __init__(
        self,
        separator: bytes | None,
        taken: tuple[int, ...] | None = None,
        time: int | None = None,
        time_ns: int = 1,
        channels: tuple[str, ...] = (),
        *,
        whole: bool = False,
    ) -> None:
        self._separator, self._taken, self._time, self._time_ns = separator, taken, time, time_ns
        self._splitter = LineSplitter()
        self._in_line = whole
        self._columns: Columns | None = None
        self.channels = channels

    def feed(self, data: bytes) -> Parsed:
        """The readings of the lines that end in ``data``."""
        lines = self._splitter.feed(data)
        if not self._in_line and lines:
            self._in_line = True
            del lines[0]
        return parse(lines, self._numbers, timed=self._time is not None)

    def _numbers(self, line: bytes) -> list[float]:
        if self._columns is not None:
            return self._columns.numbers(line)
        count = len(line.split(self._separator))
        taken = self._taken or tuple(place for place in range(count) if place != self._time)
        if self.channels and len(taken) != len(self.channels):
            raise ValueError(f"it has {len(taken)} channels, not {len(self.channels)}")
        columns = Columns(self._separator, count, taken, self._time, self._time_ns)
        numbers = columns.numbers(line)
        self._columns, self.channels = columns, self.channels or tuple(map(str, taken))
        return numbers


def parse(
    lines: Sequence[bytes], numbers: Callable[[bytes], list[float]], *, timed: bool, first: int | None = None
) -> Parsed:
    """The readings that lines hold. Empty lines and those that begin with ``#`` are left out; broken ones are told of together.

    Args:
        lines: without their ends.
        numbers: see ``Columns.numbers``.
        timed: the last number is the time.
        first: the number of the first line, to name broken ones by.
    """
    good: list[list[float]] = []
    places: list[int] = []
    place, broken = 0, ""
    for index, line in enumerate(lines):
        if is_blank(line):
            continue
        try:
            good.append(numbers(line))
            places.append(place)
        except ValueError as exc:
            number = "" if first is None else f"line {first + index}: "
            broken = broken or f"{number}{shown(line)}: {exc}"
        place += 1
    data = np.array(good, np.float64).reshape(len(good), len(good[0]) if good else int(timed))
    times_ns = np.rint(data[:, -1]).astype(np.int64) if timed else None
    if broken:
        broken = f"{place - len(good)} of {place} lines hold no reading, such as {broken}"
    return Parsed(data[:, :-1] if timed else data, times_ns, np.array(places, np.int64), place, broken)


def is_blank(line: bytes) -> bool:
    """Whether a line is empty or a comment."""
    return not line.strip() or line.startswith(b"#")


def shown(line: bytes) -> str:
    """The beginning of a line, for a message."""
    return repr(printable(line[:60].decode(errors="replace")) + ("..." if len(line) > 60 else ""))


def is_reading(line: bytes, separator: bytes | None) -> bool:
    """Whether a line holds numbers only."""
    try:
        return all(_number(field) is not None for field in line.split(separator)) and bool(line.strip())
    except ValueError:
        return False


def _number(field: bytes) -> float:
    if b"_" in field:  # a number in Python's source only
        raise ValueError(f"{shown(field)} is no number")
    try:
        return float(field)
    except ValueError:
        raise ValueError(f"{shown(field)} is no number") from None
