"""The Open Inference Protocol (v2) over gRPC; field numbers are those of its grpc_predict_v2.proto."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
    numbers,
    text,
)
from edge_sdk.remote.v2 import DATATYPES, dtype_of
from edge_sdk.tensors import Array, TensorSpec

_SERVICE = "/inference.GRPCInferenceService"
_CONTENTS: dict[int, Callable[[Value], Array]] = {  # of InferTensorContents; 8 are texts
    1: lambda value: as_integers(value) != 0,
    **dict.fromkeys((2, 3, 4), as_integers),
    5: lambda value: as_integers(value).view(np.uint64),
    6: lambda value: as_fractions(value, "<f4"),
    7: lambda value: as_fractions(value, "<f8"),
}


@dataclass
class _Output:
    name: str = ""
    datatype: str = ""
    shape: tuple[int, ...] = ()
    numbers: list[Array] = field(default_factory=list)


class V2GrpcClient(GrpcClient):
    """See the base class. The model's metadata are asked for before the first request, and again after an error."""

    def _infer(self, inputs: Sequence[Array], attempt: Attempt) -> tuple[Array, ...]:
        if self._names is None:
            self._names = self._learned(attempt)
        into, out = self._names
        request: list[Bytes] = [self._model(1, 2)]
        for name, spec in zip(into, self.inputs, strict=True):
            request += message(5, text(1, name), text(2, DATATYPES[spec.dtype]), numbers(3, spec.shape))
        for name in out:
            request += message(6, text(1, name))
        for array in inputs:
            request += message(7, to_bytes(array))
        return self._outputs(self._channel.call(f"{_SERVICE}/ModelInfer", request, attempt), out)

    def _outputs(self, answer: bytes, names: tuple[str, ...]) -> tuple[Array, ...]:
        outputs, raw = [], []
        for number, value in fields(answer):
            if number == 5:
                outputs.append(_output(as_bytes(value)))
            elif number == 6:
                raw.append(as_bytes(value))
        found = [output.name for output in outputs]
        if sorted(found) != sorted(names) or (raw and len(raw) != len(outputs)):
            raise RemoteError(
                f"the answer has other outputs than were asked for: found {listed([shown(name) for name in found])}, "
                f"{len(raw)} of them as bytes; asked for {listed(names)}"
            )
        specs = dict(zip(names, self.outputs, strict=True))
        made = {}
        for place, output in enumerate(outputs):
            made[output.name] = _array(output, raw[place] if raw else None, specs[output.name])
        return tuple(made[name] for name in names)

    def _check(self, attempt: Attempt) -> None:
        answer = self._channel.call(f"{_SERVICE}/ModelReady", [self._model(1, 2)], attempt)
        if not any(number == 1 and as_int(value) for number, value in fields(answer)):
            raise RemoteError(f"model {self.settings.model} is not ready")
        self._names = self._learned(attempt)

    def _learned(self, attempt: Attempt) -> tuple[tuple[str, ...], tuple[str, ...]]:
        answer = self._channel.call(f"{_SERVICE}/ModelMetadata", [self._model(1, 2)], attempt)
        tensors: dict[int, list[ServerTensor]] = {4: [], 5: []}
        for number, value in fields(answer):
            if number in tensors:
                found = _output(as_bytes(value))  # its first fields are the same
                tensors[number].append(ServerTensor(found.name, dtype_of(found.datatype), found.shape))
        return names_on_server("input", self.inputs, tensors[4]), names_on_server("output", self.outputs, tensors[5])

    def _model(self, name: int, version: int) -> bytes:
        return text(name, self.settings.model) + (
            text(version, self.settings.version) if self.settings.version else b""
        )


def _output(content: memoryview) -> _Output:
    found = _Output()
    for number, value in fields(content):
        if number == 1:
            found.name = as_text(value)
        elif number == 2:
            found.datatype = as_text(value)
        elif number == 3:
            found.shape += tuple(int(n) for n in as_integers(value)[:64])
        elif number == 5:
            found.numbers += [_CONTENTS[kind](each) for kind, each in fields(as_bytes(value)) if kind in _CONTENTS]
    return found


def _array(output: _Output, raw: memoryview | None, spec: TensorSpec) -> Array:
    if output.datatype != DATATYPES[spec.dtype]:
        raise RemoteError(f"output {spec} came as {shown(output.datatype)}")
    check_shape(spec, output.shape)
    if raw is not None:
        return from_bytes(raw, spec)
    return from_numbers(np.concatenate(output.numbers) if output.numbers else [], spec)
