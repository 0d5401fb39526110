"""A gRPC server of one model on loopback that a test can drive; speaks v2 and TensorFlow Serving's protocol by protobuf's own messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from edge_sdk.tensors import Array, TensorSpec
from tests.inference_answers import DATATYPES, Model
from tests.inference_messages import tf, v2

V2_SERVICE, TF_SERVICE, TF_MODELS = (
    "/inference.GRPCInferenceService/",
    "/tensorflow.serving.PredictionService/",
    "/tensorflow.serving.ModelService/",
)
TF_NUMBERS = {"float32": 1, "int32": 3, "uint8": 4, "int8": 6, "int64": 9, "bool": 10}
_CONTENTS = {"int8": "int_contents", "float32": "fp32_contents", "int32": "int_contents"}
_VALUES = {"int8": "int_val", "float32": "float_val", "int32": "int_val"}
Script = Callable[["GrpcServer", str, bytes, Any], bytes]


class GrpcServer(grpc.GenericRpcHandler):
    """Attributes:
    script: makes the answer to a prediction (method, request, context) in place of the right one.
    raw: tensors of answers are bytes; else lists of numbers.
    requests: (method, bytes, metadata) of those that came.
    """

    def __init__(
        self,
        model: Model,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        name: str = "m",
        raw: bool = True,
        tls: tuple[Path, Path | None] | None = None,
        token: str | None = None,
    ) -> None:
        self.model, self.inputs, self.outputs, self.name, self.raw, self.token = (
            model,
            inputs,
            outputs,
            name,
            raw,
            token,
        )
        self.script: Script | None = None
        self.ready = True
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []
        self.ended = threading.Event()
        self._tls = tls
        self.port = 0
        self.start()

    def start(self) -> None:
        """Also again, on the same port."""
        self._server = grpc.server(
            ThreadPoolExecutor(8), [self], options=[("grpc.max_receive_message_length", 100 << 20)]
        )
        where = f"127.0.0.1:{self.port}"
        if self._tls is None:
            self.port = self._server.add_insecure_port(where)
        else:
            certificate, client_ca = self._tls
            pair = (certificate.with_suffix(".key").read_bytes(), certificate.read_bytes())
            roots = None if client_ca is None else client_ca.read_bytes()
            credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=client_ca is not None)
            self.port = self._server.add_secure_port(where, credentials)
        self._server.start()

    def halt(self) -> None:
        """Stop at once; ``start`` starts it again."""
        self._server.stop(0).wait(10)

    @property
    def url(self) -> str:
        return f"{'grpcs://localhost' if self._tls else 'grpc://127.0.0.1'}:{self.port}"

    def __enter__(self) -> GrpcServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.halt()

    def service(self, details: Any) -> Any:
        metadata = {pair.key: pair.value for pair in details.invocation_metadata}

        def answer(request: bytes, context: Any) -> bytes:
            self.requests.append((details.method, request, metadata))
            if self.token is not None and metadata.get("authorization") != f"Bearer {self.token}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
            if self.script is not None and details.method.endswith(("/ModelInfer", "/Predict")):
                return self.script(self, details.method, request, context)
            return self.answer(details.method, request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def answer(self, method: str, request: bytes, context: Any) -> bytes:
        """The right one."""
        handlers = {
            f"{V2_SERVICE}ModelReady": (v2.ModelReadyRequest, self._v2_ready),
            f"{V2_SERVICE}ModelMetadata": (v2.ModelMetadataRequest, self._v2_metadata),
            f"{V2_SERVICE}ModelInfer": (v2.ModelInferRequest, self._v2_infer),
            f"{TF_SERVICE}Predict": (tf.PredictRequest, self._tf_predict),
            f"{TF_SERVICE}GetModelMetadata": (tf.GetModelMetadataRequest, self._tf_metadata),
            f"{TF_MODELS}GetModelStatus": (tf.GetModelStatusRequest, self._tf_status),
        }
        if method not in handlers:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        kind, handle = handlers[method]
        asked = kind.FromString(request)
        named = getattr(asked, "model_name", None) or getattr(asked, "name", None) or asked.model_spec.name
        if named != self.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model {named}")
        return handle(asked).SerializeToString()  # type: ignore[no-any-return]

    def _v2_ready(self, _: Any) -> Any:
        return v2.ModelReadyResponse(ready=self.ready)

    def _v2_metadata(self, _: Any) -> Any:
        def listed(specs: tuple[TensorSpec, ...]) -> list[Any]:
            return [
                v2.TensorMetadata(name=s.name, datatype=DATATYPES[s.dtype], shape=[-1, *s.shape[1:]]) for s in specs
            ]

        return v2.ModelMetadataResponse(name=self.name, inputs=listed(self.inputs), outputs=listed(self.outputs))

    def _v2_infer(self, asked: Any) -> Any:
        given = {}
        for tensor, content in zip(asked.inputs, asked.raw_input_contents, strict=True):
            dtype = next(d for d, name in DATATYPES.items() if name == tensor.datatype)
            given[tensor.name] = np.frombuffer(content, dtype).reshape(tuple(tensor.shape))
        made = self._made(given)
        answer = v2.ModelInferResponse(model_name=self.name)
        for wanted in reversed(asked.outputs):  # in any order
            array = made[wanted.name]
            output = answer.outputs.add(name=wanted.name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
            if self.raw:
                answer.raw_output_contents.append(array.tobytes())
            else:
                getattr(output.contents, _CONTENTS[array.dtype.name]).extend(array.ravel().tolist())
        return answer

    def _tf_predict(self, asked: Any) -> Any:
        given = {}
        for name, tensor in asked.inputs.items():
            dtype = next(d for d, number in TF_NUMBERS.items() if number == tensor.dtype)
            shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
            given[name] = np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
        answer = tf.PredictResponse()
        for name, array in self._made(given).items():
            if name in asked.output_filter:
                self.fill(answer.outputs[name], array)
        return answer

    def fill(self, tensor: Any, array: Array) -> None:
        """An array as a TensorProto."""
        tensor.dtype = TF_NUMBERS[array.dtype.name]
        for axis in array.shape:
            tensor.tensor_shape.dim.add(size=axis)
        if self.raw:
            tensor.tensor_content = array.tobytes()
        else:
            getattr(tensor, _VALUES[array.dtype.name]).extend(array.ravel().tolist())

    def _tf_metadata(self, asked: Any) -> Any:
        assert list(asked.metadata_field) == ["signature_def"]
        signatures = tf.SignatureDefMap()
        signature = signatures.signature_def["serving_default"]
        for specs, infos in ((self.inputs, signature.inputs), (self.outputs, signature.outputs)):
            for spec in specs:
                infos[spec.name].name = f"{spec.name}:0"
                infos[spec.name].dtype = TF_NUMBERS[spec.dtype]
                for axis in (-1, *spec.shape[1:]):
                    infos[spec.name].tensor_shape.dim.add(size=axis)
        answer = tf.GetModelMetadataResponse()
        answer.metadata["signature_def"].value = signatures.SerializeToString()
        return answer

    def _tf_status(self, _: Any) -> Any:
        answer = tf.GetModelStatusResponse()
        answer.model_version_status.add(version=1, state=30 if self.ready else 20)
        return answer

    def _made(self, given: dict[str, Array]) -> dict[str, Array]:
        arrays = self.model([given[spec.name] for spec in self.inputs])
        return {spec.name: array for spec, array in zip(self.outputs, arrays, strict=True)}
