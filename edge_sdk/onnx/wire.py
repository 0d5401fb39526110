"""Reads protocol buffers without their package: the fields of one message, as they lie in the file.

The encoding: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number and its value: an integer, or the bytes of a message, a string or packed numbers.

    Raises:
        ValueError: if it is no message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field of number 0")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of wire type {kind}")
        if size > len(message) - at:
            raise ValueError("a field that ends behind the file's end")
        yield number, message[at : at + size]
        at += size


def text(value: int | memoryview) -> str:
    """A string's field as text.

    Raises:
        ValueError: if it is a number.
    """
    return bytes(submessage(value)).decode("utf-8", "replace")


def submessage(value: int | memoryview) -> memoryview:
    """A field that holds bytes.

    Raises:
        ValueError: if it is a number.
    """
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The integer at ``at``, and where it ends."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= len(message):
            break
        byte = message[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("an integer without end")
