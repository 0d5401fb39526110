"""How readings stand in the buffer of an Industrial I/O device.

The type of an element is text such as ``le:s12/16>>4``; the kernel documents it in Documentation/ABI/testing/sysfs-bus-iio
(scan_elements/..._type), and lays the elements out in ``iio_compute_scan_bytes`` of drivers/iio/industrialio-buffer.c.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sdk.tensors import Array

_TYPE = re.compile(r"(be|le):([su])(\d{1,3})/(\d{1,3})(?:X(\d{1,3}))?(?:>>(\d{1,3}))?")


@dataclass(frozen=True)
class ScanType:
    """The type of an element.

    Attributes:
        big_endian: the order of its bytes.
        signed: it is a two's complement.
        bits: how many are valid.
        storage_bits: how many are stored.
        shift: how far to the right they are to be moved.
        repeat: how many such numbers the element has.
    """

    big_endian: bool
    signed: bool
    bits: int
    storage_bits: int
    shift: int = 0
    repeat: int = 1

    @classmethod
    def parse(cls, text: str) -> ScanType:
        """From the kernel's text.

        Raises:
            ValueError: if it is none, or of a form that no kernel gives.
        """
        match = _TYPE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text.strip()!r} is no type of an element, such as le:s12/16>>4")
        order, sign, bits, storage_bits, repeat, shift = match.groups()
        found = cls(order == "be", sign == "s", int(bits), int(storage_bits), int(shift or 0), int(repeat or 1))
        if found.storage_bits not in (8, 16, 32, 64) or not 0 < found.bits <= found.storage_bits - found.shift:
            raise ValueError(f"{text.strip()!r}: bits must fit into 8, 16, 32 or 64 stored ones")
        if found.repeat not in (1, 2, 4, 8, 16):  # the kernel aligns by powers of two
            raise ValueError(f"{text.strip()!r}: repeated {found.repeat} times; 1, 2, 4, 8 or 16 are known")
        return found

    @property
    def size(self) -> int:
        """Bytes of the element."""
        return self.storage_bits // 8 * self.repeat

    def numbers(self, data: Array) -> Array:
        """Integers, int64 (or uint64) (count, repeat), of the element's bytes, uint8 (count, size)."""
        width = self.storage_bits // 8
        stored = np.ascontiguousarray(data).view(f"{'>' if self.big_endian else '<'}u{width}").astype(np.uint64)
        up = np.uint64(64 - self.bits - self.shift)  # the valid bits to the top, then down again: that extends the sign
        down = np.uint64(64 - self.bits)
        moved = stored << up
        return moved.view(np.int64) >> down.astype(np.int64) if self.signed else moved >> down


@dataclass(frozen=True)
class ScanElement:
    """An element of a reading: a channel, or the time stamp.

    Attributes:
        name: such as ``in_accel_x``.
        index: its place among the elements.
        type: how it is stored.
    """

    name: str
    index: int
    type: ScanType


TIMESTAMP = "in_timestamp"


class Scan:
    """A reading in the buffer.

    Args:
        elements: that are enabled, in any order.
    """

    def __init__(self, elements: Sequence[ScanElement]) -> None:
        self.elements = sorted(elements, key=lambda element: element.index)
        self._starts: list[int] = []
        end = largest = 0
        for element in self.elements:
            size = element.type.size
            start = -(-end // size) * size
            self._starts.append(start)
            end, largest = start + size, max(largest, size)
        self.size = -(-end // largest) * largest

    def numbers(self, data: bytes) -> tuple[Array, Array | None]:
        """The readings in ``data``, which are whole.

        Returns:
            The channels in the order of their indices, float64 (count, numbers), and the time stamps, int64 (count,), if there are any.
        """
        readings = np.frombuffer(data, np.uint8).reshape(-1, self.size)
        columns: list[Array] = []
        times_ns = None
        for element, start in zip(self.elements, self._starts, strict=True):
            found = element.type.numbers(readings[:, start : start + element.type.size])
            if element.name == TIMESTAMP:
                times_ns = found[:, 0].astype(np.int64)
            else:
                columns.append(found.astype(np.float64))
        return np.concatenate(columns, axis=1), times_ns
