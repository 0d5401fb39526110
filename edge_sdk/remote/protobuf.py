"""The wire format of protocol buffers (protobuf.dev/programming-guides/encoding), as far as the messages of servers need it.

A tensor is one piece of bytes there, which is taken and given as it lies. What is read is not believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edge_sdk.errors import RemoteError
from edge_sdk.remote.connection import Bytes
from edge_sdk.tensors import Array

MOST_FIELDS = 20_000  # of one message, so that a hostile one is not read for minutes
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10
Value = int | memoryview


def number(field: int, value: int) -> bytes:
    """A field that holds an integer or boolean; negative ones as int64."""
    return _varint(field << 3 | _VARINT) + _varint(value & (1 << 64) - 1)


def text(field: int, value: str) -> bytes:
    """A field that holds text."""
    return b"".join(message(field, value.encode()))


def message(field: int, *parts: Bytes) -> list[Bytes]:
    """A field that holds a message or bytes, given in parts."""
    return [_varint(field << 3 | _BYTES) + _varint(sum(map(len, parts))), *parts]


def numbers(field: int, values: Sequence[int]) -> bytes:
    """A packed field of integers."""
    return b"".join(message(field, *(_varint(value & (1 << 64) - 1) for value in values)))


def fields(content: Bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field of a message, in its order; a value is an integer, or the bytes of anything else.

    Raises:
        RemoteError: if it is no message.
    """
    view = memoryview(content)
    place = 0
    for _ in range(MOST_FIELDS):
        if place == len(view):
            return
        key, place = _read_varint(view, place)
        field, kind = key >> 3, key & 7
        if kind == _VARINT and field:
            value, place = _read_varint(view, place)
            yield field, value
            continue
        size = {_FIXED32: 4, _FIXED64: 8}.get(kind)
        if kind == _BYTES:
            size, place = _read_varint(view, place)
        if size is None or size > len(view) - place or not field:
            raise _damaged()
        yield field, view[place : place + size]
        place += size
    raise RemoteError(f"the answer has a message of more than {MOST_FIELDS} fields")


def as_text(value: Value) -> str:
    """A field's text; what is no UTF-8 is replaced."""
    return bytes(as_bytes(value)).decode(errors="replace")


def as_bytes(value: Value) -> memoryview:
    """A field's bytes."""
    if isinstance(value, int):
        raise _damaged()
    return value


def as_int(value: Value) -> int:
    """A field's integer, with its sign."""
    if not isinstance(value, int):
        raise _damaged()
    return value - (1 << 64) if value >> 63 else value


def as_integers(value: Value) -> Array:
    """The integers of a repeated field, packed or a single one, as int64."""
    if isinstance(value, int):
        return np.array([value], np.uint64).view(np.int64)
    content = np.frombuffer(value, np.uint8)
    if not content.size:
        return np.empty(0, np.int64)
    ends = np.flatnonzero(content < 0x80)
    if not ends.size or ends[-1] != content.size - 1:
        raise _damaged()
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _VARINT_BYTES:
        raise _damaged()
    if lengths.max() == 1:
        return content.astype(np.int64)
    places = np.arange(content.size) - np.repeat(starts, lengths)
    bits = (content & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
    whole: Array = np.add.reduceat(bits, starts).view(np.int64)
    return whole


def as_fractions(value: Value, dtype: str) -> Array:
    """The numbers of a repeated field of float (``"<f4"``) or double (``"<f8"``), packed or a single one."""
    content = as_bytes(value)
    if len(content) % np.dtype(dtype).itemsize:
        raise _damaged()
    return np.frombuffer(content, dtype)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _read_varint(view: memoryview, place: int) -> tuple[int, int]:
    """The value, and the place behind it."""
    value = 0
    for shift in range(0, 7 * _VARINT_BYTES, 7):
        if place == len(view):
            raise _damaged()
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, place
    raise _damaged()


def _damaged() -> RemoteError:
    return RemoteError("the answer is damaged: it is no message of this protocol")
