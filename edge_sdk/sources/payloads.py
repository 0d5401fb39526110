"""Readings in the payload of a message: JSON, lines of text, or numbers in bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from edge_sdk.sources.lines import LineDecoder, shown
from edge_sdk.sources.packets import Fields, Layout
from edge_sdk.sources.parsed import FARTHEST_NS, Parsed


class JsonDecoder:
    """A number, a list of numbers or an object is a reading; a list of lists or of objects is several.

    Args:
        keys: of an object: the channels, in their order; ``accel.x`` is the key x of the object at accel.
        time: the key of the time, or None.
        time_ns: of one of its units.
        channels: the names of the numbers in a list; without them, their positions.
    """

    def __init__(
        self, keys: tuple[str, ...] = (), time: str | None = None, time_ns: int = 1, channels: tuple[str, ...] = ()
    ) -> None:
        self._keys, self._time, self._time_ns = keys, time, time_ns
        self.channels = keys or channels

    def feed(self, data: bytes) -> Parsed:
        """The readings of a payload."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as exc:
            return nothing(f"{shown(data)} is no JSON: {exc}")
        items = value if isinstance(value, list) and value and isinstance(value[0], list | dict) else [value]
        good: list[list[float]] = []
        places: list[int] = []
        broken = ""
        for place, item in enumerate(items):
            try:
                good.append(self._numbers(item))
                places.append(place)
            except (ValueError, OverflowError) as exc:
                broken = broken or f"{shown(data)}: {exc}"
        numbers = np.array(good, np.float64).reshape(len(good), -1 if good else int(self._time is not None))
        if self._time is None:
            return Parsed(numbers, None, np.array(places, np.int64), len(items), broken)
        times_ns = np.rint(numbers[:, -1]).astype(np.int64)
        return Parsed(numbers[:, :-1], times_ns, np.array(places, np.int64), len(items), broken)

    def _numbers(self, item: object) -> list[float]:
        """The channels of a reading, then its time in ns."""
        if self._keys:
            numbers = [_number(_at(item, key)) for key in self._keys]
        elif isinstance(item, dict):
            raise ValueError(f"an object; say which keys are the channels by keys=, of {', '.join(item)[:200]}")
        else:
            numbers = [_number(each) for each in (item if isinstance(item, list) else [item])]
            self.channels = self.channels or tuple(map(str, range(len(numbers))))
            if not numbers or len(numbers) != len(self.channels):
                raise ValueError(f"{len(numbers)} numbers, not {len(self.channels)}")
        if self._time is not None:
            time_ns = _number(_at(item, self._time)) * self._time_ns
            if not abs(time_ns) < FARTHEST_NS:  # also NaN
                raise ValueError(f"{self._time} is {time_ns / self._time_ns}")
            numbers.append(time_ns)
        return numbers


class TextDecoder:
    """Lines of text; see ``LineDecoder``."""

    def __init__(self, decoder: LineDecoder) -> None:
        self._decoder = decoder

    @property
    def channels(self) -> tuple[str, ...]:
        """The name of each; empty until a line has shown them."""
        return self._decoder.channels

    def feed(self, data: bytes) -> Parsed:
        """The readings of a payload, whose last line needs no end."""
        return self._decoder.feed(data + b"\n")


class BytesDecoder:
    """Numbers in bytes, one reading after the other.

    Args:
        layout: of a reading.
        fields: which of its numbers are taken.
        channels: their names; without them, their positions.
    """

    def __init__(self, layout: Layout, fields: Fields, channels: tuple[str, ...] = ()) -> None:
        self._layout, self._fields = layout, fields
        self.channels = channels or tuple(map(str, fields.taken))

    def feed(self, data: bytes) -> Parsed:
        """The readings of a payload."""
        count, rest = divmod(len(data), self._layout.size)
        if rest or not count:
            return nothing(f"{len(data)} bytes, where a reading has {self._layout.size}")
        return self._fields.parsed(self._layout.readings(data), np.arange(count, dtype=np.int64), count)


def nothing(broken: str) -> Parsed:
    """What is broken as a whole."""
    return Parsed(np.empty((0, 0)), None, np.empty(0, np.int64), 1, broken)


def joined(parts: Sequence[Parsed]) -> Parsed:
    """The readings of several messages as one, at least one; what is said of broken ones is the first of it, and how many there are."""
    if len(parts) == 1:
        return parts[0]
    firsts = np.cumsum([0, *(part.count for part in parts)])
    good = [(part, first) for part, first in zip(parts, firsts, strict=False) if len(part.data)]
    said = [part.broken for part in parts if part.broken]
    broken = f"{len(said)} messages, such as {said[0]}" if len(said) > 1 else "".join(said)
    count = int(firsts[-1])
    if not good:
        return Parsed(parts[0].data[:0], None, np.empty(0, np.int64), count, broken)
    times = [part.times_ns for part, _ in good if part.times_ns is not None]
    return Parsed(
        np.concatenate([part.data for part, _ in good]),
        np.concatenate(times) if times else None,
        np.concatenate([part.places + first for part, first in good]),
        count,
        broken,
    )


def _at(item: object, key: str) -> object:
    for part in key.split("."):
        if not isinstance(item, dict) or part not in item:
            raise ValueError(f"there is no {key}")
        item = item[part]
    return item


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r:.60} is no number")
    return float(value)
