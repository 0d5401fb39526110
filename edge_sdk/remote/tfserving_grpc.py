"""TensorFlow Serving over gRPC.

Field numbers are those of tensorflow_serving/apis/{predict,model,get_model_metadata,get_model_status}.proto and of TensorFlow's
tensor.proto, tensor_shape.proto and meta_graph.proto. The official package of these messages brings TensorFlow, 2 GB, with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edge_sdk.errors import RemoteError
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.connection import Bytes
from edge_sdk.remote.faults import shown
from edge_sdk.remote.grpc_client import GrpcClient
from edge_sdk.remote.matching import ServerTensor, listed, names_on_server
from edge_sdk.remote.numbers import check_shape, from_bytes, from_numbers, to_bytes
from edge_sdk.remote.protobuf import (
    Value,
    as_bytes,
    as_fractions,
    as_int,
    as_integers,
    as_text,
    fields,
    message,
    number,
    text,
)
from edge_sdk.remote.tfserving import NUMBERS, check_available
from edge_sdk.tensors import Array, TensorSpec

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
_DTYPES = {number_: dtype for dtype, number_ in NUMBERS.items()}
_STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_VALUES: dict[int, Callable[[Value], Array]] = {  # of TensorProto, for numbers that did not come as bytes
    5: lambda value: as_fractions(value, "<f4"),
    6: lambda value: as_fractions(value, "<f8"),
    **dict.fromkeys((7, 10, 16), as_integers),
    11: lambda value: as_integers(value) != 0,
    17: lambda value: as_integers(value).view(np.uint64),
    13: lambda value: as_integers(value).astype(np.uint16).view(np.float16),
}


class TfServingGrpcClient(GrpcClient):
    """See the base class. The signature is asked for before the first request, and again after an error."""

    def _infer(self, inputs: Sequence[Array], attempt: Attempt) -> tuple[Array, ...]:
        if self._names is None:
            self._names = self._learned(attempt)
        into, out = self._names
        request = self._model(signature=True)
        for name, spec, array in zip(into, self.inputs, inputs, strict=True):
            request += message(2, text(1, name), *message(2, *_tensor(spec, array)))
        for name in out:
            request.append(text(3, name))
        answer = self._channel.call(_PREDICT, request, attempt)
        found = dict(_entry(value) for field, value in fields(answer) if field == 1)
        if sorted(found) != sorted(out):
            had = listed([shown(name) for name in found])
            raise RemoteError(f"the answer has other outputs than were asked for: found {had}; asked for {listed(out)}")
        return tuple(_array(found[name], spec) for name, spec in zip(out, self.outputs, strict=True))

    def _check(self, attempt: Attempt) -> None:
        answer = self._channel.call(_STATUS, self._model(), attempt)
        check_available([_version(as_bytes(value)) for field, value in fields(answer) if field == 1])
        self._names = self._learned(attempt)

    def _learned(self, attempt: Attempt) -> tuple[tuple[str, ...], tuple[str, ...]]:
        answer = self._channel.call(_METADATA, [*self._model(), text(2, "signature_def")], attempt)
        parts = dict(_entry(value) for field, value in fields(answer) if field == 2)
        packed = [
            value for field, value in fields(parts.get("signature_def", b"")) if field == 2
        ]  # of an Any: 1 is its type
        signatures = dict(
            _entry(value) for field, value in fields(as_bytes(packed[0]) if packed else b"") if field == 1
        )
        name = self.settings.signature
        if name not in signatures:
            raise RemoteError(
                f"the model has no signature {name!r}; it has {listed([shown(each) for each in signatures])}"
            )
        tensors: dict[int, list[ServerTensor]] = {1: [], 2: []}
        for field, value in fields(signatures[name]):
            if field in tensors:
                tensors[field].append(_server_tensor(*_entry(value)))
        return names_on_server("input", self.inputs, tensors[1]), names_on_server("output", self.outputs, tensors[2])

    def _model(self, *, signature: bool = False) -> list[Bytes]:
        """Field 1 of every request: the ModelSpec."""
        settings = self.settings
        parts: list[Bytes] = [text(1, settings.model)]
        if settings.version is not None:
            if settings.version.isascii() and settings.version.isdigit():
                parts += message(2, number(1, int(settings.version)))
            else:
                parts.append(text(4, settings.version))
        if signature:
            parts.append(text(3, settings.signature))
        return message(1, *parts)


def _tensor(spec: TensorSpec, array: Array) -> list[Bytes]:
    shape = [part for axis in spec.shape for part in message(2, number(1, axis))]
    return [number(1, NUMBERS[spec.dtype]), *message(2, *shape), *message(4, to_bytes(array))]


def _entry(value: Value) -> tuple[str, memoryview]:
    """Key and value of an entry of a map of messages."""
    name, content = "", memoryview(b"")
    for field, each in fields(as_bytes(value)):
        if field == 1:
            name = as_text(each)
        elif field == 2:
            content = as_bytes(each)
    return name, content


def _shape(content: memoryview) -> tuple[int, ...] | None:
    dims: list[int] = []
    for field, value in fields(content):
        if field == 3 and as_int(value):
            return None
        if field == 2:
            sizes = [as_int(size) for each, size in fields(as_bytes(value)) if each == 1]
            dims.append(sizes[-1] if sizes else 0)
    return tuple(dims)


def _server_tensor(name: str, info: memoryview) -> ServerTensor:
    dtype, shape = "of no dtype", None
    for field, value in fields(info):
        if field == 2:
            dtype = _DTYPES.get(as_int(value), f"dtype number {as_int(value)}")
        elif field == 3:
            shape = _shape(as_bytes(value))
    return ServerTensor(name, dtype, shape)


def _version(content: memoryview) -> tuple[str, str, str]:
    """Number, state, and the message of an error."""
    found, state, why = 0, 0, ""
    for field, value in fields(content):
        if field == 1:
            found = as_int(value)
        elif field == 2:
            state = as_int(value)
        elif field == 3:
            why = "".join(as_text(each) for kind, each in fields(as_bytes(value)) if kind == 2)
    return str(found), _STATES.get(state, "UNKNOWN"), why


def _array(content: memoryview, spec: TensorSpec) -> Array:
    dtype, shape, raw, pieces = 0, None, None, []
    for field, value in fields(content):
        if field == 1:
            dtype = as_int(value)
        elif field == 2:
            shape = _shape(as_bytes(value))
        elif field == 4:
            raw = as_bytes(value)
        elif field in _VALUES:
            pieces.append(_VALUES[field](value))
    if dtype != NUMBERS[spec.dtype]:
        raise RemoteError(f"output {spec} came as {_DTYPES.get(dtype, f'dtype number {dtype}')}")
    check_shape(spec, shape or ())
    if raw is not None and len(raw):
        return from_bytes(raw, spec)
    numbers = np.concatenate(pieces) if pieces else np.zeros(1, np.dtype(spec.dtype))
    missing = math.prod(spec.shape) - numbers.size
    if (
        numbers.size and missing > 0
    ):  # the last stands for all that follow (tensor.proto, of TensorFlow's own shortening)
        numbers = np.concatenate([numbers, np.repeat(numbers[-1:], missing)])
    return from_numbers(numbers, spec)
