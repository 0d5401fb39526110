"""What servers of models answer over REST, written down from the protocols' own pages and not from the clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_sdk.tensors import Array, TensorSpec

Model = Callable[[list[Array]], list[Array]]
DATATYPES = {"int8": "INT8", "uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32", "bool": "BOOL"}
TF_DTYPES = {"int8": "DT_INT8", "uint8": "DT_UINT8", "int32": "DT_INT32", "int64": "DT_INT64", "float32": "DT_FLOAT"}


@dataclass
class Request:
    method: str
    path: str
    head: dict[str, str]
    body: bytes


def http(status: str, body: bytes = b"", **fields: str) -> bytes:
    """An answer; ``Content_Type="..."`` becomes ``Content-Type: ...``."""
    named = {"Content-Length": str(len(body)), **{key.replace("_", "-"): value for key, value in fields.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{key}: {value}" for key, value in named.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


class RestAnswers:
    """What a server of one model answers, if nothing is wrong: v2, TensorFlow Serving's REST and TorchServe's, each on its own paths."""

    model: Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    name: str
    binary: bool
    token: str | None

    def answer(self, request: Request) -> bytes:
        if self.token is not None and request.head.get("authorization") != f"Bearer {self.token}":
            return http("401 Unauthorized", b'{"error": "who are you?"}')
        steps = request.path.strip("/").split("/")
        if steps[0] == "v2":
            return self._v2(request, steps[1:])
        if steps[0] == "v1":
            return self._tfserving(request, request.path)
        if request.path == "/ping":
            return http("200 OK", b'{"status": "Healthy"}')
        if steps[:2] == ["predictions", self.name]:
            return self._torchserve(request)
        return http("404 Not Found", b'{"code": 404, "type": "ModelNotFoundException", "message": "Model not found"}')

    def _v2(self, request: Request, steps: list[str]) -> bytes:
        if not steps:
            extensions = ["binary_tensor_data"] if self.binary else []
            return _json({"name": "test", "version": "1", "extensions": extensions})
        if steps[:2] != ["models", self.name]:
            return http("404 Not Found", json.dumps({"error": f"unknown model {steps[1:2]}"}).encode())
        if request.method == "GET":
            return http("200 OK") if steps[-1] == "ready" else _json(self.metadata())
        length = int(request.head.get("inference-header-content-length", len(request.body)))
        head, tensors = self.v2_infer(request.body[:length], request.body[length:])
        fields = {"Inference_Header_Content_Length": str(len(head))} if tensors else {}
        return http("200 OK", head + tensors, **fields)

    def _torchserve(self, request: Request) -> bytes:
        if request.head["content-type"] == "application/json":
            return http("200 OK", self.v2_infer(request.body, b"")[0])
        length = int.from_bytes(request.body[:4], "little")
        head, tensors = self.v2_infer(request.body[4 : 4 + length], request.body[4 + length :])
        return http("200 OK", len(head).to_bytes(4, "little") + head + tensors)

    def metadata(self) -> dict[str, object]:
        def listed(specs: tuple[TensorSpec, ...]) -> list[dict[str, object]]:
            return [{"name": s.name, "datatype": DATATYPES[s.dtype], "shape": [-1, *s.shape[1:]]} for s in specs]

        return {"name": self.name, "inputs": listed(self.inputs), "outputs": listed(self.outputs)}

    def v2_infer(self, head: bytes, tensors: bytes) -> tuple[bytes, bytes]:
        """JSON and bytes of an answer."""
        asked = json.loads(head)
        arrays = {}
        for each in asked["inputs"]:
            dtype = next(d for d, name in DATATYPES.items() if name == each["datatype"])
            size = each.get("parameters", {}).get("binary_data_size")
            if size is None:
                array = np.array(each["data"], dtype)
            else:
                array, tensors = np.frombuffer(tensors[:size], dtype), tensors[size:]
            arrays[each["name"]] = array.reshape(each["shape"])
        made = self.model([arrays[spec.name] for spec in self.inputs])
        by_name = {spec.name: array for spec, array in zip(self.outputs, made, strict=True)}
        outputs, content = [], b""
        for each in asked["outputs"]:
            array = by_name[each["name"]]
            said = {"name": each["name"], "datatype": DATATYPES[array.dtype.name], "shape": list(array.shape)}
            if each.get("parameters", {}).get("binary_data"):
                said["parameters"] = {"binary_data_size": array.nbytes}
                content += array.tobytes()
            else:
                said["data"] = array.ravel().tolist()
            outputs.append(said)
        return json.dumps({"model_name": self.name, "outputs": outputs}).encode(), content

    def _tfserving(self, request: Request, path: str) -> bytes:
        base = f"/v1/models/{self.name}"
        path = path.replace("/versions/1", "")
        if path == base:
            status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            return _json({"model_version_status": [status]})
        if path == f"{base}/metadata":
            sides = {"inputs": _tf_infos(self.inputs), "outputs": _tf_infos(self.outputs)}
            signatures = {"serving_default": {**sides, "method_name": "tensorflow/serving/predict"}}
            spec = {"name": self.name, "signature_name": "", "version": "1"}
            return _json({"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}})
        if path != f"{base}:predict":
            return http("404 Not Found", b'{"error": "Servable not found for request"}')
        asked = json.loads(request.body)["inputs"]
        made = self.model([np.array(asked[spec.name], spec.dtype) for spec in self.inputs])
        outputs = {spec.name: array.tolist() for spec, array in zip(self.outputs, made, strict=True)}
        return _json({"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs})


def _tf_infos(specs: tuple[TensorSpec, ...]) -> dict[str, object]:
    return {
        s.name: {
            "dtype": TF_DTYPES[s.dtype],
            "tensor_shape": {
                "dim": [{"size": str(n), "name": ""} for n in (-1, *s.shape[1:])],
                "unknown_rank": False,
            },
            "name": f"{s.name}:0",
        }
        for s in specs
    }


def _json(content: object) -> bytes:
    return http("200 OK", json.dumps(content).encode(), Content_Type="application/json")
