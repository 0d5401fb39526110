"""TorchServe's handler: inference requests of the Open Inference Protocol v2 in, responses out. It needs no torch.

``POST /predictions/MODEL`` takes the JSON of a request as ``application/octet-stream`` (or ``application/json``), or its binary form
with the header ``Inference-Header-Content-Length``, and answers in kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_v2 import read_request, write_response
from edge_variant import RequestError, Variant

_LENGTH = "Inference-Header-Content-Length"
_BAD_REQUEST = 400
_loaded: dict[str, Variant] = {}


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[bytes] | None:
    """One response for each request of the batch; a bad request has an error of its own, and the others their answers.

    Args:
        data: one dictionary a request; None when the worker starts.
        context: TorchServe's.
    """
    folder = context.system_properties["model_dir"]
    if folder not in _loaded:
        _loaded[folder] = Variant(Path(folder))
    if data is None:
        return None
    return [_answer(_loaded[folder], row, context, place) for place, row in enumerate(data)]


def _answer(variant: Variant, row: Mapping[str, Any], context: Any, place: int) -> bytes:
    try:
        inputs, binary = read_request(_body(row), _header_bytes(context, place))
        body, length = write_response(context.model_name, variant.run(inputs), binary=binary)
    except RequestError as exc:
        context.set_response_status(code=_BAD_REQUEST, phrase="Bad Request", idx=place)
        context.set_response_content_type(place, "application/json")
        return json.dumps({"error": str(exc)}).encode()
    context.set_response_content_type(place, "application/json" if length is None else "application/octet-stream")
    if length is not None:
        context.set_response_header(place, _LENGTH, str(length))
    answer: bytes = body
    return answer


def _body(row: Mapping[str, Any]) -> bytes:
    """TorchServe calls it ``body`` or ``data``; of ``application/json`` it has read the JSON already."""
    body = row.get("body", row.get("data"))
    if isinstance(body, (dict, list)):
        return json.dumps(body).encode()
    if isinstance(body, str):
        return body.encode()
    if not isinstance(body, (bytes, bytearray)):
        raise RequestError("the request has no body")
    return bytes(body)


def _header_bytes(context: Any, place: int) -> int | None:
    found = {name.lower(): value for name, value in (context.get_all_request_header(place) or {}).items()}
    value = found.get(_LENGTH.lower())
    if value is None:
        return None
    if not (isinstance(value, str) and value.isascii() and value.isdigit()):
        raise RequestError(f"{_LENGTH} is a number of bytes; found {value!r}")
    return int(value)
