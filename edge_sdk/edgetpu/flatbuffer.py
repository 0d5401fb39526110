"""Tables of a flatbuffer, read without a schema compiler and without believing them.

Every offset, vtable, length and alignment-free position is checked against the buffer, and what a reading may cost in all is bounded by a
``Budget``: tables that are referred to a million times are read as often as the file has room for, and no more.
Layout: flatbuffers.dev/internals. The same few lines read the FlexBuffer map that a compiled operator keeps its package in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_sdk.errors import ModelError

MAX_ITEMS = 1_000_000  # tables and vector entries of one file
MAX_LETTERS = 16 << 20  # of all names together
_SIZES = {"b": 1, "B": 1, "?": 1, "h": 2, "H": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8}
_AGAIN = "The file is damaged: get it again, or compile the model again"


class Budget:
    """What may still be read of one file, in tables, entries and letters; shared by all that lies in it."""

    def __init__(self, size_bytes: int) -> None:
        self._most_items = self._items = min(size_bytes // 4, MAX_ITEMS)
        self._most_letters = self._letters = min(size_bytes, MAX_LETTERS)

    def items(self, count: int, what: str) -> None:
        """Take ``count`` items, or raise a ModelError."""
        self._items -= count
        if self._items < 0:
            raise ModelError(
                f"{what}: with {count} entries more it is above {self._most_items}, all that is read of this file. {_AGAIN}"
            )

    def letters(self, count: int, what: str) -> None:
        """Take ``count`` letters, or raise a ModelError."""
        self._letters -= count
        if self._letters < 0:
            raise ModelError(
                f"{what}: with {count} letters more it is above {self._most_letters}, all that is read of this file. {_AGAIN}"
            )


@dataclass(frozen=True)
class Buffer:
    """Bytes that begin with a flatbuffer, or hold a FlexBuffer.

    Attributes:
        what: a name for messages, such as ``"the package of operator 0"``.
    """

    content: memoryview
    what: str
    budget: Budget

    def root(self, identifier: bytes = b"") -> Table:
        """The root table; its file must have this identifier where one is given.

        Raises:
            ModelError: if the identifier is another, or the table lies outside.
        """
        found = bytes(self.content[4:8])
        if identifier and found != identifier:
            raise ModelError(f"{self.what} has {found!r} at bytes 4 to 8, not {identifier!r}. {_AGAIN}")
        return Table(self, self.number("I", 0))

    def number(self, code: str, position: int) -> int:
        """A little-endian integer of this ``struct`` code."""
        return int(self._unpack(code, position))

    def real(self, position: int) -> float:
        """A 32-bit floating-point number."""
        return float(self._unpack("f", position))

    def piece(self, position: int, length: int) -> memoryview:
        """``length`` bytes from ``position``; not copied."""
        if not 0 <= position <= position + length <= len(self.content):
            raise self.damage(f"bytes {position} to {position + length} are wanted")
        return self.content[position : position + length]

    def text(self, position: int, length: int) -> str:
        """UTF-8; what is none stands as replacement characters, as in names by other tools."""
        self.budget.letters(length, self.what)
        return str(self.piece(position, length), "utf-8", "replace")

    def damage(self, found: str) -> ModelError:
        """The error of a reference that leads nowhere."""
        return ModelError(f"{self.what}: {found}, and it has {len(self.content)}. {_AGAIN}")

    def _unpack(self, code: str, position: int) -> int | float:
        piece = self.piece(position, _SIZES[code])
        value: int | float = struct.unpack(f"<{code}", piece)[0]
        return value


class Table:
    """One table: fields by their number, each with what stands for it where the file leaves it out."""

    def __init__(self, buffer: Buffer, position: int) -> None:
        buffer.budget.items(1, buffer.what)
        self._buffer = buffer
        self._position = position
        self._vtable = position - buffer.number("i", position)
        self._vtable_bytes = buffer.number("H", self._vtable)
        buffer.piece(self._vtable, self._vtable_bytes)

    def integer(self, field: int, code: str = "i", default: int = 0) -> int:
        """An integer of this ``struct`` code."""
        at = self._at(field)
        return default if at is None else self._buffer.number(code, at)

    def real(self, field: int) -> float:
        """A 32-bit floating-point number, 0 where there is none."""
        at = self._at(field)
        return 0.0 if at is None else self._buffer.real(at)

    def table(self, field: int) -> Table | None:
        """A table that this one refers to."""
        at = self._referred(field)
        return None if at is None else Table(self._buffer, at)

    def tables(self, field: int) -> Iterator[Table]:
        """A vector of tables."""
        return (Table(self._buffer, at) for at in self._references(field))

    def blob(self, field: int) -> memoryview:
        """A vector of bytes, or a string, as it is; empty where there is none."""
        start, count = self._vector(field, 1)
        return self._buffer.piece(start, count)

    def blobs(self, field: int) -> Iterator[memoryview]:
        """A vector of strings (which here hold bytes)."""
        for at in self._references(field):
            yield self._buffer.piece(at + 4, self._buffer.number("I", at))

    def text(self, field: int) -> str:
        """A string, ``""`` where there is none."""
        start, count = self._vector(field, 1)
        return self._buffer.text(start, count)

    def integers(self, field: int, code: str = "i", each: int = 1) -> tuple[int, ...]:
        """A vector of integers, or of structs of ``each`` integers, one after the other."""
        start, count = self._vector(field, _SIZES[code] * each)
        self._buffer.budget.items(count * each, self._buffer.what)
        piece = self._buffer.piece(start, _SIZES[code] * each * count)
        return struct.unpack(f"<{count * each}{code}", piece)

    def count(self, field: int) -> int:
        """Entries of a vector of references."""
        return self._vector(field, 4)[1]

    def reference(self, field: int) -> int:
        """Where the reference to a vector or table lies; 0 where this table has none."""
        return self._at(field) or 0

    def vector_at(self, field: int) -> int:
        """Where a vector begins, with its number of entries; 0 where this table has none."""
        return self._referred(field) or 0

    def _at(self, field: int) -> int | None:
        """Where a field lies; None where this table has none."""
        entry = 4 + 2 * field
        if entry + 2 > self._vtable_bytes:
            return None
        offset = self._buffer.number("H", self._vtable + entry)
        return self._position + offset if offset else None

    def _referred(self, field: int) -> int | None:
        at = self._at(field)
        return None if at is None else at + self._buffer.number("I", at)

    def _vector(self, field: int, entry_bytes: int) -> tuple[int, int]:
        """First byte and number of entries of a vector that lies in the buffer as a whole."""
        at = self._referred(field)
        if at is None:
            return 0, 0
        count = self._buffer.number("I", at)
        self._buffer.piece(at + 4, count * entry_bytes)
        return at + 4, count

    def _references(self, field: int) -> Iterator[int]:
        start, count = self._vector(field, 4)
        self._buffer.budget.items(count, self._buffer.what)
        for at in range(start, start + 4 * count, 4):
            yield at + self._buffer.number("I", at)
