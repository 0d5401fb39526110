"""The FlexBuffer map in which a compiled operator keeps its packages: numbers, strings of bytes, and vectors of them.

A FlexBuffer is read from its end: its last byte is the width of the root's reference, the one before it the root's type and width. Layout:
flatbuffers.dev/flexbuffers. Nothing is nested deeper than a vector in the map, so there is no recursion.
"""

from __future__ import annotations

from typing import TypeAlias

from edge_sdk.edgetpu.flatbuffer import Buffer

Value: TypeAlias = "int | memoryview | tuple[int | memoryview, ...]"
_CODES = {1: ("b", "B"), 2: ("h", "H"), 4: ("i", "I"), 8: ("q", "Q")}  # of a signed and of an unsigned number, by width
_INT, _UINT, _STRING, _MAP, _VECTOR, _VECTOR_INT, _VECTOR_UINT, _BLOB = 1, 2, 5, 9, 10, 11, 12, 25
_BYTES = (_STRING, _BLOB)
_VECTORS = (_VECTOR, _VECTOR_INT, _VECTOR_UINT)
_KEY_LETTERS = 64  # those of a compiled operator have one


def read_map(buffer: Buffer) -> dict[str, Value]:
    """The entries of the map at the root; of a type that compiled operators do not use, none.

    Raises:
        ModelError: if it is no map, or anything in it lies outside of the buffer.
    """
    end = len(buffer.content)
    width, packed = buffer.number("B", end - 1), buffer.number("B", end - 2)
    if packed >> 2 != _MAP:
        raise buffer.damage(f"a FlexBuffer map is expected and a value of type {packed >> 2} found")
    start, each = _target(buffer, end - 2 - _width(buffer, width), width), 1 << (packed & 3)
    keys = _target(buffer, start - 3 * each, each)
    key_bytes = _width(buffer, _unsigned(buffer, start - 2 * each, each))
    count = _unsigned(buffer, start - each, each)
    buffer.budget.items(count, buffer.what)
    found = {}
    for i in range(count):
        value = _value(buffer, start + i * each, each, buffer.number("B", start + count * each + i))
        if value is not None:
            found[_key(buffer, _target(buffer, keys + i * key_bytes, key_bytes))] = value
    return found


def _value(buffer: Buffer, position: int, width: int, packed: int) -> Value | None:
    """An entry of the map at ``position``, in a slot of ``width`` bytes."""
    kind, each = packed >> 2, 1 << (packed & 3)
    if kind not in _VECTORS:
        return _scalar(buffer, position, width, packed)
    start = _target(buffer, position, width)
    count = _unsigned(buffer, start - each, each)
    buffer.budget.items(count, buffer.what)
    buffer.piece(start, count * each)
    typed = {_VECTOR_INT: _INT << 2, _VECTOR_UINT: _UINT << 2}.get(kind)
    types = [buffer.number("B", start + count * each + i) if typed is None else typed for i in range(count)]
    entries = [_scalar(buffer, start + i * each, each, types[i]) for i in range(count)]
    return tuple(entry for entry in entries if entry is not None)


def _scalar(buffer: Buffer, position: int, width: int, packed: int) -> int | memoryview | None:
    kind = packed >> 2
    if kind == _INT:
        return buffer.number(_CODES[_width(buffer, width)][0], position)
    if kind == _UINT:
        return _unsigned(buffer, position, width)
    if kind in _BYTES:
        start, each = _target(buffer, position, width), 1 << (packed & 3)
        return buffer.piece(start, _unsigned(buffer, start - each, each))
    return None


def _key(buffer: Buffer, position: int) -> str:
    """Letters up to a zero byte."""
    piece = bytes(buffer.piece(position, min(_KEY_LETTERS, max(len(buffer.content) - position, 0))))
    if b"\0" not in piece:
        raise buffer.damage(f"a key at byte {position} has no end")
    return piece.partition(b"\0")[0].decode("utf-8", "replace")


def _target(buffer: Buffer, position: int, width: int) -> int:
    """Where a reference leads: it counts bytes backwards."""
    return position - _unsigned(buffer, position, width)


def _unsigned(buffer: Buffer, position: int, width: int) -> int:
    return buffer.number(_CODES[_width(buffer, width)][1], position)


def _width(buffer: Buffer, width: int) -> int:
    if width not in _CODES:
        raise buffer.damage(f"a number is stated to be {width} bytes wide")
    return width
