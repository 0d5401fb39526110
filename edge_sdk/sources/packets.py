"""Readings as numbers in bytes, in the format of the module ``struct``."""

from __future__ import annotations

import struct
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from edge_sdk.sources.parsed import FARTHEST_NS, Parsed
from edge_sdk.tensors import Array

MOST_BYTES = 4096  # of a reading
_FORMATS = "?bBhHiIlLqQefd"  # numbers, of those that struct has


class Layout:
    """How one reading stands in bytes.

    Args:
        text: such as ``>3h`` or ``<IxH2f``, as in the module ``struct``: numbers, and ``x`` for bytes that are left out.

    Raises:
        ValueError: if it is no such format.
    """

    def __init__(self, text: str) -> None:
        try:
            self._struct = struct.Struct(text)
        except (struct.error, UnicodeEncodeError) as exc:
            raise ValueError(f"{text!r} is no format of Python's struct: {exc}") from exc
        if set(text.lstrip("@=<>!")) - set(f"0123456789 x{_FORMATS}"):
            raise ValueError(f"{text!r} has more than numbers; allowed are x and {', '.join(_FORMATS)}")
        self.size = self._struct.size
        if not 0 < self.size <= MOST_BYTES:
            raise ValueError(f"{text!r} is {self.size} bytes long; allowed are 1 to {MOST_BYTES}")
        self.count = len(self._struct.unpack(bytes(self.size)))
        if not self.count:
            raise ValueError(f"{text!r} holds no number")

    def readings(self, data: bytes) -> Array:
        """float64 (count, numbers) of bytes that are whole readings."""
        readings = list(self._struct.iter_unpack(data))
        return np.array(readings, np.float64).reshape(len(readings), self.count)


def _layout(text: str) -> str:
    Layout(text)
    return text


Format = Annotated[str, AfterValidator(_layout)]  # of settings


class Fields:
    """Which of the numbers of a reading are taken.

    Args:
        count: how many numbers there are.
        taken: the positions of the channels; None for all but the time.
        time: the position of the time, or None.
        time_ns: of one of its units.

    Raises:
        ValueError: if there is no such position.
    """

    def __init__(self, count: int, taken: tuple[int, ...] | None, time: int | None, time_ns: int) -> None:
        self.taken = taken or tuple(place for place in range(count) if place != time)
        for place in (*self.taken, *(() if time is None else (time,))):
            if not 0 <= place < count:
                raise ValueError(f"there is no number {place}; a reading has {count}, counted from 0")
        self._time, self._time_ns = time, time_ns

    def parsed(self, numbers: Array, places: Array, count: int, broken: str = "") -> Parsed:
        """Readings from their numbers, float64 (good, numbers); those whose time is none are broken too."""
        data = numbers[:, list(self.taken)]
        if self._time is None:
            return Parsed(data, None, places, count, broken)
        times = numbers[:, self._time]
        good = np.abs(times) < FARTHEST_NS / self._time_ns  # also not where it is NaN
        if not good.all():
            broken = broken or f"{np.sum(~good)} of {count} readings have no time, such as {times[~good][0]}"
        times_ns = np.rint(times[good] * self._time_ns).astype(np.int64)
        return Parsed(data[good], times_ns, places[good], count, broken)


class PacketDecoder:
    """Finds readings in packets of one size that begin with the same bytes.

    Where a packet does not begin as it must, or is seen not to end where the next one begins, bytes are left out up to the next place where
    two packets in a row would begin. What comes before the first packet is the rest of one that began earlier.

    Args:
        layout: of the numbers in a packet.
        sync: the bytes before them, at least one.
        taken: which of the numbers are channels; None for all but the time.
        time: which is the time, or None.
        time_ns: of one of its units.
        channels: their names; without them, their positions.
    """

    def __init__(
        self,
        layout: Layout,
        sync: bytes,
        taken: tuple[int, ...] | None = None,
        time: int | None = None,
        time_ns: int = 1,
        channels: tuple[str, ...] = (),
    ) -> None:
        self._layout, self._sync = layout, sync
        self._fields = Fields(layout.count, taken, time, time_ns)
        self._size = len(sync) + layout.size
        self._buffer = b""
        self._locked = False
        self._begun = False
        self.channels = channels or tuple(map(str, self._fields.taken))

    def feed(self, data: bytes) -> Parsed:
        """The readings of the packets that end in ``data``."""
        buffer, sync, size = self._buffer + data, self._sync, self._size
        found: list[bytes] = []
        places: list[int] = []
        place = skipped = position = 0
        while len(buffer) - position >= size:
            if self._locked and buffer.startswith(sync, position) and self._follows(buffer, position):
                found.append(buffer[position + len(sync) : position + size])
                places.append(place)
                place += 1
                position += size
                continue
            self._locked = False
            next_ = self._next(buffer, position)
            left_out, position = next_ - position, next_
            if self._begun:
                skipped += left_out
                place += max(left_out // size, int(left_out > 0))
            if not self._locked:
                break
            self._begun = True
        self._buffer = buffer[position:]
        broken = f"{skipped} bytes are in no packet that begins with {sync.hex()}" if skipped else ""
        return self._fields.parsed(self._layout.readings(b"".join(found)), np.array(places, np.int64), place, broken)

    def _next(self, buffer: bytes, position: int) -> int:
        """Where the next packet begins, which locks; or as far as it is known to begin nowhere."""
        while (position := buffer.find(self._sync, position)) >= 0:
            if self._follows(buffer, position):
                self._locked = len(buffer) >= position + self._size + len(self._sync)  # otherwise it is not there yet
                return position
            position += 1
        return max(len(buffer) - len(self._sync) + 1, 0)

    def _follows(self, buffer: bytes, position: int) -> bool:
        """Whether another packet begins behind the one at ``position``, as far as it is there."""
        end = position + self._size
        return self._sync.startswith(buffer[end : end + len(self._sync)])
