"""Requests and answers of the Open Inference Protocol (v2) over REST, with binary tensors and without.

Binary: a head in JSON, behind it the tensors' bytes, as in Triton's binary tensor data extension.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_sdk.contract import describe_validation
from edge_sdk.errors import RemoteError
from edge_sdk.remote.connection import Bytes
from edge_sdk.remote.faults import shown
from edge_sdk.remote.matching import ServerTensor, listed
from edge_sdk.remote.numbers import check_shape, from_bytes, from_numbers, to_bytes
from edge_sdk.tensors import Array, TensorSpec

DATATYPES = {
    "bool": "BOOL",
    **{f"{sign.lower()}int{bits}": f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
_DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}


class _Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: Any = None


class _Answer(BaseModel):
    outputs: list[_Tensor]


class _MetadataTensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]


class _Metadata(BaseModel):
    inputs: list[_MetadataTensor] = []
    outputs: list[_MetadataTensor] = []


class _Server(BaseModel):
    extensions: list[str] = []


_Place = tuple[TensorSpec, _Tensor, "slice | None"]


class V2Codec:
    """Writes requests for these tensors, and reads the answers.

    Args:
        inputs, outputs: the tensors.
        input_names, output_names: what the server calls them.
        binary: whether tensors go and come as bytes.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        input_names: tuple[str, ...],
        output_names: tuple[str, ...],
        *,
        binary: bool,
    ) -> None:
        self._binary = binary
        self._outputs = dict(zip(output_names, outputs, strict=True))
        self._heads = [_head(name, spec) for name, spec in zip(input_names, inputs, strict=True)]
        self._wanted: list[dict[str, object]] = [{"name": name} for name in output_names]
        if binary:
            for head, spec in zip(self._heads, inputs, strict=True):
                head["parameters"] = {"binary_data_size": spec.size_bytes}
            for wanted in self._wanted:
                wanted["parameters"] = {"binary_data": True}
        self._last, self._places = (0, b""), list[_Place]()
        self._fixed = json.dumps({"inputs": self._heads, "outputs": self._wanted}).encode()

    def request(self, arrays: Sequence[Array]) -> list[Bytes]:
        """The parts of a request's body, the JSON first."""
        if self._binary:
            return [self._fixed, *map(to_bytes, arrays)]
        heads = [{**head, "data": array.reshape(-1).tolist()} for head, array in zip(self._heads, arrays, strict=True)]
        return [json.dumps({"inputs": heads, "outputs": self._wanted}).encode()]

    def outputs(self, body: bytearray, json_bytes: int | None) -> tuple[Array, ...]:
        """The outputs in an answer's body.

        Args:
            body: of the answer.
            json_bytes: the length of its JSON, where tensors follow as bytes.

        Raises:
            RemoteError: if it is damaged, or other tensors are in it.
        """
        end = len(body) if json_bytes is None else json_bytes
        if not 0 <= end <= len(body):
            raise RemoteError(f"the answer is damaged: it states {end} bytes of JSON, and has {len(body)} in all")
        view = memoryview(body)
        if end == len(body):
            return tuple(from_numbers(tensor.data, spec) for spec, tensor, _ in self._described(view, 0))
        answer = len(body), bytes(view[:end])
        if answer != self._last:  # the JSON before tensors as bytes is mostly the same
            self._places = self._described(view[:end], len(body) - end)
            self._last = answer
        return tuple(
            from_numbers(tensor.data, spec) if place is None else from_bytes(view[end:][place], spec)
            for spec, tensor, place in self._places
        )

    def _described(self, head: Bytes, rest_bytes: int) -> list[_Place]:
        """Each output, in our order, and where its bytes stand behind the JSON."""
        tensors = parsed(_Answer, head).outputs
        if sorted(tensor.name for tensor in tensors) != sorted(self._outputs):
            raise RemoteError(
                f"the answer has other outputs than were asked for: found {listed([shown(t.name) for t in tensors])}; "
                f"asked for {listed(list(self._outputs))}"
            )
        places: dict[str, _Place] = {}
        end = 0
        for tensor in tensors:
            spec = self._outputs[tensor.name]
            if tensor.datatype != DATATYPES[spec.dtype]:
                raise RemoteError(f"output {spec} came as {shown(tensor.datatype)}")
            check_shape(spec, tuple(tensor.shape))
            size = (tensor.parameters or {}).get("binary_data_size")
            if size is None:
                places[tensor.name] = spec, tensor, None
                continue
            if not isinstance(size, int) or not 0 <= size <= rest_bytes - end:
                raise RemoteError(f"the answer is damaged: output {spec} ends beyond it")
            places[tensor.name] = spec, tensor, slice(end, end + size)
            end += size
        if end != rest_bytes:
            raise RemoteError(f"the answer is damaged: it has {rest_bytes - end} bytes that belong to no output")
        return [places[name] for name in self._outputs]


def parsed_model(body: Bytes) -> tuple[list[ServerTensor], list[ServerTensor]]:
    """Inputs and outputs in a model's metadata.

    Raises:
        RemoteError: if it is none.
    """
    found = parsed(_Metadata, body)
    return [_server_tensor(each) for each in found.inputs], [_server_tensor(each) for each in found.outputs]


def takes_binary(body: Bytes) -> bool:
    """Whether a server's metadata names the binary extension."""
    return "binary_tensor_data" in parsed(_Server, body).extensions


def parsed(model: Any, body: Bytes) -> Any:
    """The JSON in ``body``, of the form of a pydantic model.

    Raises:
        RemoteError: if it has another.
    """
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as exc:
        begins = shown(bytes(body[:60]).decode(errors="replace"))
        why = shown(describe_validation(exc, "it"))
        raise RemoteError(f"the answer is not of this protocol: {why}; it begins with {begins!r}") from exc


def dtype_of(datatype: str) -> str:
    """NumPy's name for a datatype of the protocol; itself where NumPy has none."""
    return _DTYPES.get(datatype, datatype)


def _server_tensor(tensor: _MetadataTensor) -> ServerTensor:
    return ServerTensor(tensor.name, dtype_of(tensor.datatype), tuple(tensor.shape))


def _head(name: str, spec: TensorSpec) -> dict[str, object]:
    return {"name": name, "datatype": DATATYPES[spec.dtype], "shape": list(spec.shape)}
