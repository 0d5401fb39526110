"""Triton's Python backend for a variant; the folder of this file has the model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import triton_python_backend_utils as backend

sys.path.insert(0, str(Path(__file__).parent))
from edge_variant import RequestError, Variant


class TritonPythonModel:
    """What the backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the model; ``args`` are Triton's."""
        self._variant = Variant(Path(__file__).parent)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            outputs = self._variant.run({tensor.name(): tensor.as_numpy() for tensor in request.inputs()})
        except RequestError as exc:
            return backend.InferenceResponse(error=backend.TritonError(str(exc), backend.TritonError.INVALID_ARG))
        return backend.InferenceResponse([backend.Tensor(name, array) for name, array in outputs.items()])
