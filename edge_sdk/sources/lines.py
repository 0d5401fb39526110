"""Readings as lines of text: cut from bytes in bounded memory, and turned into numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_sdk.printable import printable
from edge_sdk.tensors import Array

LONGEST_LINE_BYTES = 64 << 10
FARTHEST_NS = 2**62  # 146 years
UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
TimeUnit = Literal["s", "ms", "us", "ns"]
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


@dataclass(frozen=True)
class Parsed:
    """What some lines hold.

    Attributes:
        data: float64 (good, channels).
        times_ns: int64 (good,), by the clock of the lines; None where they have no time.
        places: int64 (good,): which each reading was among all, the broken ones counted.
        count: how many there were, the broken ones counted.
        broken: what is to be said of the broken ones, or "".
    """

    data: Array
    times_ns: Array | None
    places: Array
    count: int
    broken: str


def parse(lines: Sequence[bytes], columns: Columns, *, first: int | None = None) -> Parsed:
    """The readings that lines hold. Empty lines and those that begin with ``#`` are left out; broken ones are told of together.

    Args:
        lines: without their ends.
        columns: of each.
        first: the number of the first line, to name broken ones by.
    """
    good: list[list[float]] = []
    places: list[int] = []
    place, broken = 0, ""
    for index, line in enumerate(lines):
        if is_blank(line):
            continue
        try:
            good.append(columns.numbers(line))
            places.append(place)
        except ValueError as exc:
            number = "" if first is None else f"line {first + index}: "
            broken = broken or f"{number}{shown(line)}: {exc}"
        place += 1
    numbers = np.array(good, np.float64).reshape(len(good), len(columns.taken) + (columns.time is not None))
    times_ns = None if columns.time is None else np.rint(numbers[:, -1]).astype(np.int64)
    if broken:
        broken = f"{place - len(good)} of {place} lines hold no reading, such as {broken}"
    return Parsed(numbers[:, : len(columns.taken)], times_ns, np.array(places, np.int64), place, broken)


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
