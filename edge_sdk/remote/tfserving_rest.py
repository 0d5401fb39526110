"""TensorFlow Serving over REST, in its columnar form: ``{"inputs": {name: numbers}}``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edge_sdk.errors import RemoteError
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.faults import shown
from edge_sdk.remote.matching import ServerTensor, listed, names_on_server
from edge_sdk.remote.numbers import check_shape, from_numbers, shape_of
from edge_sdk.remote.rest import RestClient, escaped
from edge_sdk.remote.settings import ServerSettings
from edge_sdk.remote.tfserving import DTYPES, check_available
from edge_sdk.remote.v2 import parsed
from edge_sdk.tensors import Array, TensorSpec


class _Dim(BaseModel):
    size: int


class _Shape(BaseModel):
    dim: list[_Dim] = []
    unknown_rank: bool = False


class _Info(BaseModel):
    dtype: str
    tensor_shape: _Shape = Field(default_factory=_Shape)


class _Signature(BaseModel):
    inputs: dict[str, _Info] = {}
    outputs: dict[str, _Info] = {}


class _SignatureDef(BaseModel):
    signature_def: dict[str, _Signature]


class _Parts(BaseModel):
    signature_def: _SignatureDef


class _Metadata(BaseModel):
    metadata: _Parts


class _Version(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    version: str
    state: str
    status: dict[str, Any] = {}


class _Status(BaseModel):
    model_version_status: list[_Version]


class _Answer(BaseModel):
    outputs: Any


class TfServingRestClient(RestClient):
    """See the base class. The signature is asked for before the first request, and again after an error.

    JSON carries float32 and integers exactly, at several times their size; for large inputs take gRPC.
    """

    def __init__(
        self, settings: ServerSettings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        super().__init__(settings, inputs, outputs)
        self._names: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] | None = None
        version = f"/versions/{escaped(settings.version)}" if settings.version else ""
        self._path = f"/v1/models/{escaped(settings.model)}{version}"

    def _infer(self, inputs: Sequence[Array], attempt: Attempt) -> tuple[Array, ...]:
        if self._names is None:
            self._names = self._learned(attempt)
        into, out, on_server = self._names
        columns = {name: array.tolist() for name, array in zip(into, inputs, strict=True)}
        body = json.dumps({"signature_name": self.settings.signature, "inputs": columns}).encode()
        head = {"Content-Type": "application/json"}
        found = parsed(
            _Answer, self._ask("POST", f"{self._path}:predict", attempt, body=[body], head=head).body
        ).outputs
        if len(on_server) == 1:  # then it stands there without its name
            found = {on_server[0]: found}
        if not isinstance(found, dict) or sorted(found) != sorted(on_server):
            had = listed([shown(str(name)) for name in found]) if isinstance(found, dict) else "one without a name"
            raise RemoteError(
                f"the answer has other outputs than the signature: found {had}; it states {listed(on_server)}"
            )
        return tuple(_output(found[name], spec) for name, spec in zip(out, self.outputs, strict=True))

    def _check(self, attempt: Attempt) -> None:
        status = parsed(_Status, self._ask("GET", self._path, attempt).body)
        versions = [(v.version, v.state, str(v.status.get("error_message", ""))) for v in status.model_version_status]
        check_available(versions)
        self._names = self._learned(attempt)

    def _forget(self) -> None:
        self._names = None

    def _learned(self, attempt: Attempt) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        answer = self._ask("GET", f"{self._path}/metadata", attempt)
        signatures = parsed(_Metadata, answer.body).metadata.signature_def.signature_def
        signature = signatures.get(self.settings.signature)
        if signature is None:
            known = listed([shown(name) for name in signatures])
            raise RemoteError(f"the model has no signature {self.settings.signature!r}; it has {known}")
        inputs = [_server_tensor(name, info) for name, info in signature.inputs.items()]
        outputs = [_server_tensor(name, info) for name, info in signature.outputs.items()]
        return (
            names_on_server("input", self.inputs, inputs),
            names_on_server("output", self.outputs, outputs),
            tuple(signature.outputs) or tuple(spec.name for spec in self.outputs),
        )


def _output(numbers: Any, spec: TensorSpec) -> Array:
    check_shape(spec, shape_of(numbers))
    return from_numbers(numbers, spec)


def _server_tensor(name: str, info: _Info) -> ServerTensor:
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return ServerTensor(name, DTYPES.get(info.dtype, info.dtype), shape)
