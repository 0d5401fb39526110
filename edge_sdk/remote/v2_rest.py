"""The Open Inference Protocol (v2) over REST: Triton, KServe, MLServer, OpenVINO Model Server and others."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.errors import RemoteError
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.connection import Bytes
from edge_sdk.remote.faults import shown
from edge_sdk.remote.http import Answer
from edge_sdk.remote.matching import names_on_server
from edge_sdk.remote.rest import RestClient, escaped, refused
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.remote.v2 import V2Codec, parsed_model, takes_binary
from edge_sdk.tensors import Array, TensorSpec

_JSON_LENGTH = "Inference-Header-Content-Length"


class V2RestClient(RestClient):
    """See the base class. The model's metadata are asked for before the first request, and again after an error."""

    def __init__(
        self, settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        super().__init__(settings, inputs, outputs)
        self._codec: V2Codec | None = None
        self._binary = False
        version = f"/versions/{escaped(settings.version)}" if settings.version else ""
        self._path = f"/v2/models/{escaped(settings.model)}{version}"

    def _infer(self, inputs: Sequence[Array], attempt: Attempt) -> tuple[Array, ...]:
        if self._codec is None:
            self._codec = self._learned(attempt)
        body = self._codec.request(inputs)
        answer = self._ask("POST", f"{self._path}/infer", attempt, body=body, head=self._fields(body))
        return self._codec.outputs(answer.body, _json_length(answer))

    def _check(self, attempt: Attempt) -> None:
        ready = self._http.request("GET", f"{self._path}/ready", attempt)
        if ready.status != 200:
            raise RemoteError(f"model {self.settings.model} is not ready: {refused(ready)}")
        self._codec = self._learned(attempt)

    def _forget(self) -> None:
        self._codec = None

    def _learned(self, attempt: Attempt) -> V2Codec:
        inputs, outputs = parsed_model(self._ask("GET", self._path, attempt).body)
        self._binary = self._takes_binary(attempt)
        return V2Codec(
            self.inputs,
            self.outputs,
            names_on_server("input", self.inputs, inputs),
            names_on_server("output", self.outputs, outputs),
            binary=self._binary,
        )

    def _takes_binary(self, attempt: Attempt) -> bool:
        if self.settings.tensors != "auto":
            return self.settings.tensors == "binary"
        answer = self._http.request("GET", "/v2", attempt)
        if answer.status == 404:  # KServe behind a gateway serves models only
            return False
        if answer.status != 200:
            raise RemoteError(refused(answer))
        return takes_binary(answer.body)

    def _fields(self, body: Sequence[Bytes]) -> dict[str, str]:
        if self._binary:
            return {"Content-Type": "application/octet-stream", _JSON_LENGTH: str(len(body[0]))}
        return {"Content-Type": "application/json"}


def _json_length(answer: Answer) -> int | None:
    stated = answer.head.get(_JSON_LENGTH)
    if stated is None:
        return None
    if not (stated.isascii() and stated.isdigit() and len(stated) < 20):
        raise RemoteError(f"the answer's {_JSON_LENGTH} is no number: {shown(stated)!r}")
    return int(stated)
