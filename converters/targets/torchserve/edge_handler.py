"""TorchServe's handler, which needs no torch: requests of the Open Inference Protocol v2 in, responses out.

``POST /predictions/MODEL`` takes a request as ``application/json``, or in one piece with its tensors' bytes (see ``edge_v2``) as
``application/octet-stream``, and answers in kind. What it refuses is answered by status 400 and a JSON object with ``error``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_v2 import join, read_tensors, split, wanted_outputs, write_tensors
from edge_variant import RequestError, Variant

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
        body = row.get("body", row.get("data"))  # TorchServe knows both
        binary = isinstance(body, (bytes, bytearray))
        header, raw = split(bytes(body)) if binary else (body, memoryview(b""))
        inputs = read_tensors(header, "inputs", raw)
        wanted = wanted_outputs(header, [each["name"] for each in variant.outputs])
        made = variant.run(inputs)
    except RequestError as exc:
        context.set_response_status(code=_BAD_REQUEST, phrase="Bad Request", idx=place)
        context.set_response_content_type(place, "application/json")
        return json.dumps({"error": str(exc)}).encode()
    described, raws = write_tensors({name: made[name] for name in wanted}, binary=binary)
    response = {"model_name": context.model_name, "outputs": described}
    context.set_response_content_type(place, "application/octet-stream" if binary else "application/json")
    answer: bytes = join(response, raws) if binary else json.dumps(response).encode()
    return answer
