"""Tensors as bytes and as numbers of JSON, and back, exact; what comes from a server is not believed."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from edge_sdk.errors import RemoteError
from edge_sdk.remote.connection import Bytes
from edge_sdk.tensors import Array, TensorSpec

_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "fiu"}  # of NumPy's dtypes: what may be read as what


def to_bytes(array: Array) -> memoryview:
    """Its numbers, little-endian, outermost axis first, without padding."""
    little = np.ascontiguousarray(array, _little(array.dtype))
    return little.reshape(-1).view(np.uint8).data


def from_bytes(content: Bytes, spec: TensorSpec) -> Array:
    """The array that ``to_bytes`` had, in memory of its own.

    Raises:
        RemoteError: if there are more or fewer bytes.
    """
    dtype = _little(spec.dtype)
    if len(content) != math.prod(spec.shape) * dtype.itemsize:
        raise RemoteError(f"output {spec} came with {len(content)} bytes; it has {spec.size_bytes}")
    return np.frombuffer(content, dtype).astype(spec.dtype).reshape(spec.shape)


def from_numbers(numbers: Any, spec: TensorSpec) -> Array:
    """The array of numbers in lists, flat or nested.

    Raises:
        RemoteError: if they are not as many, not numbers, or not of the tensor's range.
    """
    try:
        found = np.array(numbers)
    except (ValueError, OverflowError, RecursionError) as exc:
        raise RemoteError(f"output {spec} came as lists of different lengths, or of what are no numbers") from exc
    dtype = np.dtype(spec.dtype)
    if dtype == np.uint64 and found.dtype.kind == "f":  # what NumPy makes of integers on both sides of 2**63
        found = _large(np.array(numbers, object), found)
    if found.dtype.kind not in _KINDS[dtype.kind]:
        raise RemoteError(f"output {spec} came as {_kind(found)}")
    if found.size != math.prod(spec.shape):
        raise RemoteError(f"output {spec} came with {found.size} numbers; it has {math.prod(spec.shape)}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(found.min()) < limits.min or int(found.max()) > limits.max:
            raise RemoteError(
                f"output {spec} came with numbers from {found.min()} to {found.max()}; it holds {limits.min} to {limits.max}"
            )
    with np.errstate(over="ignore"):  # beyond float32 is infinite, as it is for the server
        return found.astype(dtype).reshape(spec.shape)


def shape_of(numbers: Any) -> tuple[int, ...]:
    """The shape that nested lists have by their first items; ``from_numbers`` finds out if others differ."""
    shape = []
    while isinstance(numbers, list):
        shape.append(len(numbers))
        numbers = numbers[0] if numbers else None
    return tuple(shape)


def check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    """Raise RemoteError if an answer's tensor has another shape."""
    if shape != spec.shape:
        raise RemoteError(f"output {spec} came in shape {'x'.join(map(str, shape[:32])) or 'scalar'}")


def _large(numbers: Array, otherwise: Array) -> Array:
    whole = all(type(each) is int and 0 <= each < 1 << 64 for each in numbers.flat)
    return numbers.astype(np.uint64) if whole else otherwise


@lru_cache
def _little(dtype: str | np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def _kind(found: Array) -> str:
    names = {"U": "text", "S": "text", "O": "what are no numbers", "f": "fractions", "b": "true and false"}
    return names.get(found.dtype.kind, str(found.dtype))
