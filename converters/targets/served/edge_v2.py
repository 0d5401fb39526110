"""Requests and responses of the Open Inference Protocol (v2), as JSON, or in one piece with their tensors' bytes.

In one piece they are: 4 bytes with the length of the JSON, unsigned, little-endian; the JSON, each tensor of it with its
``binary_data_size``; the tensors' bytes, little-endian, in the same order, without padding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from edge_variant import DATATYPES, RequestError

_DTYPES = {datatype: np.dtype(dtype) for dtype, datatype in DATATYPES.items()}
_LENGTH_BYTES = 4
_MOST_VALUES = 1 << 28
_MOST_AXES = 32
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


def split(body: bytes) -> tuple[dict[str, Any], memoryview]:
    """The JSON of a message in one piece, and its tensors' bytes.

    Raises:
        RequestError: if it is none.
    """
    end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    if not _LENGTH_BYTES < end <= len(body):
        raise RequestError(f"the body is {len(body)} bytes, and none that begins with the length of its JSON")
    try:
        header = json.loads(body[_LENGTH_BYTES:end])
    except _BROKEN as exc:
        raise RequestError(f"the body's JSON cannot be read: {exc}") from exc
    return header, memoryview(body)[end:]


def join(header: Mapping[str, Any], raws: list[bytes]) -> bytes:
    """The message in one piece."""
    told = json.dumps(header).encode()
    return b"".join((len(told).to_bytes(_LENGTH_BYTES, "little"), told, *raws))


def read_tensors(header: Any, side: str, raw: memoryview) -> dict[str, Any]:
    """The tensors of a message by name.

    Args:
        header: its JSON.
        side: ``"inputs"`` or ``"outputs"``.
        raw: their bytes, as far as they have a ``binary_data_size``; the others have ``data``.

    Raises:
        RequestError: if they are not whole.
    """
    tensors = {}
    try:
        for each in header[side]:
            size = each.get("parameters", {}).get("binary_data_size")
            if size is None:
                tensors[each["name"]] = _of_json(each)
            else:
                tensors[each["name"]] = _of_bytes(each, raw[: int(size)])
                raw = raw[int(size) :]
    except RequestError:
        raise
    except _BROKEN as exc:
        raise RequestError(f"this is no message of the Open Inference Protocol v2: {exc!r}") from exc
    if raw:
        raise RequestError(f"{len(raw)} bytes stand behind the last tensor")
    return tensors


def wanted_outputs(header: Mapping[str, Any], names: list[str]) -> list[str]:
    """The outputs that a request asks for: those it names, else all.

    Raises:
        RequestError: if there is no such output.
    """
    try:
        wanted = [each["name"] for each in header.get("outputs") or ()] or names
        unknown = [str(name) for name in wanted if name not in names]
    except _BROKEN as exc:
        raise RequestError(f"this is no message of the Open Inference Protocol v2: {exc!r}") from exc
    if unknown:
        raise RequestError(f"the model's outputs are {', '.join(names)}; it has no {', '.join(unknown)}")
    return wanted


def write_tensors(tensors: Mapping[str, Any], *, binary: bool) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Tensors as a message's JSON has them, and their bytes if they are not in it."""
    described: list[dict[str, Any]] = []
    raws: list[bytes] = []
    for name, array in tensors.items():
        one: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name]}
        if binary:
            raws.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
            one["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            one["data"] = array.ravel().tolist()
        described.append(one)
    return described, raws


def _form(each: Mapping[str, Any]) -> tuple[str, Any, tuple[int, ...]]:
    name, shape = each["name"], tuple(int(n) for n in each["shape"])
    if each["datatype"] not in _DTYPES:
        raise RequestError(f"tensor {name} has datatype {each['datatype']}; allowed are {', '.join(_DTYPES)}")
    if len(shape) > _MOST_AXES or any(n < 0 for n in shape) or math.prod(shape) > _MOST_VALUES:
        raise RequestError(f"tensor {name} has shape {list(shape)}, which is none, or too large")
    return name, _DTYPES[each["datatype"]], shape


def _of_bytes(each: Mapping[str, Any], raw: memoryview) -> Any:
    name, dtype, shape = _form(each)
    needed = math.prod(shape) * dtype.itemsize
    if len(raw) != needed:
        raise RequestError(f"tensor {name} has {len(raw)} bytes; its shape {list(shape)} needs {needed}")
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _of_json(each: Mapping[str, Any]) -> Any:
    """Numbers of JSON, flat or nested."""
    name, dtype, shape = _form(each)
    values = np.asarray(each["data"])
    if values.size != math.prod(shape) or values.dtype.kind not in "biuf":
        raise RequestError(
            f"tensor {name} has {values.size} values; shape {list(shape)} needs {math.prod(shape)} numbers"
        )
    made = values.astype(dtype)
    if dtype.kind in "biu" and not np.array_equal(values, made):
        raise RequestError(f"tensor {name} holds numbers that {dtype.name} cannot")
    return made.reshape(shape)
