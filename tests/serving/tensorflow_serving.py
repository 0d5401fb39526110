"""In the place of TensorFlow Serving, whose binary is in no package index: REST and gRPC for a real SavedModel, computed by TensorFlow.

The gRPC messages and services are the official ones of ``tensorflow-serving-api``; the REST answers follow the documentation
(https://www.tensorflow.org/tfx/serving/api_rest). Before it serves it replays the warm-up requests, as TensorFlow Serving does, and stops
where one fails. ``python -m tests.serving.tensorflow_serving MODELS HTTP_PORT GRPC_PORT [CERTIFICATE KEY]``
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

AVAILABLE = 30  # ModelVersionStatus.State


class NotFound(Exception):
    pass


class Invalid(Exception):
    pass


class Model:
    """The newest version of one model."""

    def __init__(self, folder: Path) -> None:
        self.version = max(int(each.name) for each in folder.iterdir() if each.name.isdigit())
        path = folder / str(self.version)
        self._loaded = tf.saved_model.load(str(path))
        meta = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]
        self.signatures = dict(meta.signature_def)
        for record in tf.data.TFRecordDataset(str(path / "assets.extra/tf_serving_warmup_requests")):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            self.predict_message(log.predict_log.request)

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        stated = self._signature(signature)
        if sorted(inputs) != sorted(stated.inputs):
            raise Invalid(f"input must be {sorted(stated.inputs)}, found {sorted(inputs)}")
        given = {}
        for name, array in inputs.items():
            info = stated.inputs[name]
            shape = [dim.size for dim in info.tensor_shape.dim]
            if list(array.shape) != shape or tf.as_dtype(info.dtype).as_numpy_dtype != array.dtype:
                raise Invalid(
                    f"input {name} is {tf.as_dtype(info.dtype).name} {shape}, found {array.dtype} {array.shape}"
                )
            given[name] = tf.constant(array)
        return {name: made.numpy() for name, made in self._loaded.signatures[signature](**given).items()}

    def predict_message(self, request: Any) -> predict_pb2.PredictResponse:
        signature = request.model_spec.signature_name or "serving_default"
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = signature
        response.model_spec.version.value = self.version
        for name, array in self.predict(signature, inputs).items():
            if not request.output_filter or name in request.output_filter:
                response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    def from_json(self, signature: str, columns: dict[str, Any]) -> dict[str, np.ndarray]:
        stated = self._signature(signature).inputs
        try:
            return {
                name: np.array(values, tf.as_dtype(stated[name].dtype).as_numpy_dtype)
                for name, values in columns.items()
            }
        except (KeyError, ValueError, OverflowError) as exc:
            raise Invalid(str(exc)) from exc

    def _signature(self, name: str) -> Any:
        if name not in self.signatures:
            raise Invalid(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]


class Models:
    def __init__(self, folder: Path) -> None:
        self._models = {each.name: Model(each) for each in folder.iterdir() if each.is_dir()}

    def find(self, name: str, version: int = 0) -> Model:
        model = self._models.get(name)
        if model is None or version not in (0, model.version):
            raise NotFound(
                f"Servable not found for request: {f'Specific({name}, {version})' if version else f'Latest({name})'}"
            )
        return model


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, models: Models) -> None:
        self._models = models

    def Predict(self, request: Any, context: Any) -> Any:
        return self._answer(lambda model: model.predict_message(request), request, context)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        def metadata(model: Model) -> Any:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name, response.model_spec.version.value = request.model_spec.name, model.version
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, each in model.signatures.items():
                signatures.signature_def[name].CopyFrom(each)
            response.metadata["signature_def"].Pack(signatures)
            return response

        return self._answer(metadata, request, context)

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        def status(model: Model) -> Any:
            response = get_model_status_pb2.GetModelStatusResponse()
            response.model_version_status.add(version=model.version, state=AVAILABLE)
            return response

        return self._answer(status, request, context)

    def _answer(self, made: Any, request: Any, context: Any) -> Any:
        try:
            return made(self._models.find(request.model_spec.name, request.model_spec.version.value))
        except NotFound as exc:
            context.abort(grpc.StatusCode.NOT_FOUND, str(exc))
        except Invalid as exc:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))


class Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models: Models

    def do_GET(self) -> None:
        self._reply(lambda model, verb: self._metadata(model) if verb == "metadata" else self._status(model))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(lambda model, verb: self._predict(model, body))

    def log_message(self, *_: Any) -> None: ...

    def _reply(self, made: Any) -> None:
        try:
            path, _, verb = self.path.removeprefix("/v1/models/").partition(":")
            parts = path.split("/")
            verb = "metadata" if parts[-1] == "metadata" else verb
            version = int(parts[2]) if parts[1:2] == ["versions"] else 0
            status, told = 200, made(self.models.find(parts[0], version), verb)
        except NotFound as exc:
            status, told = 404, {"error": str(exc)}
        except (Invalid, ValueError, KeyError, TypeError) as exc:
            status, told = 400, {"error": str(exc)}
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _status(self, model: Model) -> dict[str, Any]:
        state = {
            "version": str(model.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return {"model_version_status": [state]}

    def _metadata(self, model: Model) -> dict[str, Any]:
        signatures = {
            name: MessageToDict(each, preserving_proto_field_name=True) for name, each in model.signatures.items()
        }
        spec = {"name": self.path.split("/")[3], "signature_name": "", "version": str(model.version)}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}

    def _predict(self, model: Model, body: bytes) -> dict[str, Any]:
        """Columns, in which one tensor alone has no name, or rows."""
        asked = json.loads(body)
        signature = asked.get("signature_name", "serving_default")
        stated = model.signatures[signature].inputs
        if "inputs" in asked:
            columns = asked["inputs"] if isinstance(asked["inputs"], dict) else {next(iter(stated)): asked["inputs"]}
        else:
            rows = [row if isinstance(row, dict) else {next(iter(stated)): row} for row in asked["instances"]]
            columns = {name: [row[name] for row in rows] for name in rows[0]}
        made = {
            name: each.tolist() for name, each in model.predict(signature, model.from_json(signature, columns)).items()
        }
        if "inputs" in asked:
            return {"outputs": next(iter(made.values())) if len(made) == 1 else made}
        rows = [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]
        return {"predictions": [next(iter(row.values())) for row in rows] if len(made) == 1 else rows}


def main() -> None:
    folder, http_port, grpc_port, *keys = sys.argv[1:]
    models = Models(Path(folder))
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    service = Prediction(models)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    address = f"127.0.0.1:{grpc_port}"
    if keys:
        certificate, key = (Path(each).read_bytes() for each in keys)
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    Rest.models = models
    ThreadingHTTPServer(("127.0.0.1", int(http_port)), Rest).serve_forever()


if __name__ == "__main__":
    main()
