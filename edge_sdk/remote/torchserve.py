"""TorchServe, for models that were packed by this project's exporter: its handler speaks what stands here.

A request is POST /predictions/MODEL, or /predictions/MODEL/VERSION. Its body, and the answer's, is in one of two forms:

- Binary, of Content-Type application/octet-stream, which the handler gets as bytes and answers with bytes:

      4 bytes      length N of the JSON, an unsigned integer, little-endian
      N bytes      JSON, as of an inference request or response of the Open Inference Protocol with its binary tensor data extension
      the rest     the tensors' bytes, little-endian, in the order of ``inputs`` or ``outputs``, without padding

  so that nothing hangs on header fields, which a handler cannot rely on. The JSON of a request and of an answer:

      {"inputs": [{"name": "image", "datatype": "INT8", "shape": [1, 224, 224, 3], "parameters": {"binary_data_size": 150528}}],
       "outputs": [{"name": "scores", "parameters": {"binary_data": true}}]}
      {"model_name": "m", "outputs": [{"name": "scores", "datatype": "INT8", "shape": [1, 1000],
                                       "parameters": {"binary_data_size": 1000}}]}

- JSON (the setting ``tensors = "json"``), of Content-Type application/json, which the handler gets as a dict: the same without parameters,
  each tensor with its numbers in ``data``, flat. TorchServe's own envelope for KServe v2 speaks it too.

Outputs that are asked for by name come under that name, no others. What the handler refuses it says by an answer of another status than
200, with a JSON object whose ``message`` (TorchServe's own key) or ``error`` is the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_sdk.errors import RemoteError
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.rest import RestClient, escaped, refused
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.remote.v2 import V2Codec
from edge_sdk.tensors import Array, TensorSpec

_LENGTH_BYTES = 4


class TorchServeClient(RestClient):
    """See the base class; TorchServe tells no tensors to those who may only ask for predictions, so ``check`` asks for one, of zeros."""

    def __init__(
        self, settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        super().__init__(settings, inputs, outputs)
        version = f"/{escaped(settings.version)}" if settings.version else ""
        self._path = f"/predictions/{escaped(settings.model)}{version}"
        self._binary = settings.tensors != "json"
        names = tuple(s.name for s in inputs), tuple(s.name for s in outputs)
        self._codec = V2Codec(inputs, outputs, *names, binary=self._binary)

    def _infer(self, inputs: Sequence[Array], attempt: Attempt) -> tuple[Array, ...]:
        body = self._codec.request(inputs)
        kind = "json"
        if self._binary:
            body, kind = [len(body[0]).to_bytes(_LENGTH_BYTES, "little"), *body], "octet-stream"
        head = {"Content-Type": f"application/{kind}"}
        found = self._ask("POST", self._path, attempt, body=body, head=head).body
        if not self._binary:
            return self._codec.outputs(found, None)
        json_bytes = int.from_bytes(found[:_LENGTH_BYTES], "little")
        if len(found) < _LENGTH_BYTES or json_bytes > len(found) - _LENGTH_BYTES:
            raise RemoteError("the answer is not of this protocol; is the model packed by edge-sdk's exporter?")
        return self._codec.outputs(found[_LENGTH_BYTES:], json_bytes)

    def _check(self, attempt: Attempt) -> None:
        healthy = self._http.request("GET", "/ping", attempt)
        if healthy.status != 200:
            raise RemoteError(f"TorchServe is not ready: {refused(healthy)}")
        self._infer([np.zeros(spec.shape, spec.dtype) for spec in self.inputs], attempt)

    def _forget(self) -> None:
        """Nothing was learned."""
