"""Requests and responses of the Open Inference Protocol (v2 REST), with its binary extension: numbers behind the JSON header."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from edge_variant import DATATYPES, RequestError

_DTYPES = {datatype: np.dtype(dtype) for dtype, datatype in DATATYPES.items()}
_MOST_VALUES = 1 << 28
_MOST_AXES = 32


def read_request(body: bytes, header_bytes: int | None) -> tuple[dict[str, Any], bool]:
    """The inputs of a request by name, and whether binary outputs are asked for.

    Args:
        body: the request's body.
        header_bytes: how much of it is JSON (``Inference-Header-Content-Length``); None for all of it.

    Raises:
        RequestError: if it is no such request.
    """
    end = len(body) if header_bytes is None else header_bytes
    if not 0 < end <= len(body):
        raise RequestError(f"Inference-Header-Content-Length is {end}; the body has {len(body)} bytes")
    try:
        header = json.loads(body[:end])
        binary = bool(header.get("parameters", {}).get("binary_data_output", False))
        inputs, rest = {}, memoryview(body)[end:]
        for each in header["inputs"]:
            size = each.get("parameters", {}).get("binary_data_size")
            inputs[each["name"]] = _numbers(each, None if size is None else rest[: int(size)])
            rest = rest[int(size or 0) :]
    except RequestError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as exc:
        raise RequestError(f"this is no inference request of the Open Inference Protocol v2: {exc!r}") from exc
    if rest:
        raise RequestError(f"{len(rest)} bytes stand behind the last input")
    return inputs, binary


def _numbers(each: Mapping[str, Any], raw: memoryview | None) -> Any:
    name, shape = each["name"], tuple(int(n) for n in each["shape"])
    if each["datatype"] not in _DTYPES:
        raise RequestError(f"input {name} has datatype {each['datatype']}; allowed are {', '.join(_DTYPES)}")
    dtype = _DTYPES[each["datatype"]]
    if len(shape) > _MOST_AXES or any(n < 0 for n in shape) or math.prod(shape) > _MOST_VALUES:
        raise RequestError(f"input {name} has shape {list(shape)}, which is none, or too large")
    if raw is None:
        return _listed(name, each["data"], dtype, shape)
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise RequestError(
            f"input {name} has {len(raw)} bytes; its shape {list(shape)} needs {math.prod(shape) * dtype.itemsize}"
        )
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _listed(name: str, data: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Numbers of JSON, flat or nested."""
    values = np.asarray(data)
    if values.size != math.prod(shape) or values.dtype.kind not in "biuf":
        raise RequestError(
            f"input {name} has {values.size} values; its shape {list(shape)} needs {math.prod(shape)} numbers"
        )
    made = values.astype(dtype)
    if dtype.kind in "biu" and not np.array_equal(values, made):
        raise RequestError(f"input {name} holds numbers that {dtype.name} cannot")
    return made.reshape(shape)


def write_response(model: str, outputs: Mapping[str, Any], *, binary: bool) -> tuple[bytes, int | None]:
    """The body of a response, and how much of it is JSON (None: all of it)."""
    described, raws = _described(outputs, binary=binary)
    header = json.dumps({"model_name": model, "outputs": described}).encode()
    return b"".join((header, *raws)), len(header) if binary else None


def write_request(inputs: Mapping[str, Any]) -> tuple[bytes, int]:
    """The body of a request for binary outputs, and how much of it is JSON: what a client sends, for tests."""
    described, raws = _described(inputs, binary=True)
    header = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
    return b"".join((header, *raws)), len(header)


def read_response(body: bytes, header_bytes: int) -> dict[str, Any]:
    """The outputs of a binary response by name: what a client reads, for tests."""
    rest, outputs = memoryview(body)[header_bytes:], {}
    for each in json.loads(body[:header_bytes])["outputs"]:
        size = each["parameters"]["binary_data_size"]
        outputs[each["name"]] = _numbers(each, rest[:size])
        rest = rest[size:]
    return outputs


def _described(arrays: Mapping[str, Any], *, binary: bool) -> tuple[list[dict[str, Any]], list[bytes]]:
    described: list[dict[str, Any]] = []
    raws: list[bytes] = []
    for name, array in arrays.items():
        one: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name]}
        if binary:
            raws.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
            one["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            one["data"] = array.ravel().tolist()
        described.append(one)
    return described, raws
