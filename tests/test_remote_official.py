"""Requests and answers against the official packages of the protocols' messages, where they are installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.client import Client
from tests.remote_fixtures import Clients
from tests.remote_models import INPUTS, OUTPUTS, assert_right, rows, sample

pytest.importorskip("grpc", reason="missing: pip install 'edge-device-sdk[remote]'")


class Asked:
    """In the place of a channel: answers by the official messages."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def call(self, method: str, request: list[bytes], attempt: Attempt) -> bytes:
        return self._answer(method.rpartition("/")[2], b"".join(request)).SerializeToString()  # type: ignore[no-any-return]

    def close(self) -> None: ...


def answered(client: Client, answer: Any) -> None:
    client._channel = Asked(answer)  # type: ignore[attr-defined]
    client.check()
    for seed in range(3):
        assert_right(client.infer(sample(seed)), sample(seed))


@pytest.mark.slow
@pytest.mark.parametrize("as_bytes", [True, False])
def test_tensorflow_servings_own_messages(as_bytes: bool, clients: Clients) -> None:
    for package in ("tensorflow", "tensorflow_serving"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install tensorflow-serving-api")
    import tensorflow as tf
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        predict_pb2,
    )

    def info(name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
        made = tf.compat.v1.saved_model.build_tensor_info(
            tf.compat.v1.placeholder(dtype, (None, *shape[1:]), name=name)
        )
        return made

    with tf.Graph().as_default():
        infos = {s.name: info(s.name, s.dtype, s.shape) for s in (*INPUTS, *OUTPUTS)}

    def answer(method: str, request: bytes) -> Any:
        if method == "GetModelStatus":
            asked = get_model_status_pb2.GetModelStatusRequest.FromString(request)
            assert asked.model_spec.name == "m" and asked.model_spec.version.value == 7
            said = get_model_status_pb2.GetModelStatusResponse()
            said.model_version_status.add(version=7, state="AVAILABLE")
            return said
        if method == "GetModelMetadata":
            asked = get_model_metadata_pb2.GetModelMetadataRequest.FromString(request)
            assert list(asked.metadata_field) == ["signature_def"]
            signatures = get_model_metadata_pb2.SignatureDefMap()
            signature = signatures.signature_def["serving_default"]
            for spec in INPUTS:
                signature.inputs[spec.name].CopyFrom(infos[spec.name])
            for spec in OUTPUTS:
                signature.outputs[spec.name].CopyFrom(infos[spec.name])
            said = get_model_metadata_pb2.GetModelMetadataResponse()
            said.metadata["signature_def"].Pack(signatures)
            return said
        asked = predict_pb2.PredictRequest.FromString(request)
        assert asked.model_spec.signature_name == "serving_default"
        given = [tf.make_ndarray(asked.inputs[spec.name]) for spec in INPUTS]
        assert [array.dtype.name for array in given] == [spec.dtype for spec in INPUTS]
        said = predict_pb2.PredictResponse()
        for spec, array in zip(OUTPUTS, rows(given), strict=True):
            proto = tf.make_tensor_proto(array)
            if not as_bytes and array.dtype == np.float32:
                proto = tf.make_tensor_proto(array)
                proto.ClearField("tensor_content")
                proto.float_val.extend(array.ravel().tolist())
            said.outputs[spec.name].CopyFrom(proto)
        return said

    answered(clients("grpc://127.0.0.1:1", "tfserving-grpc", version="7"), answer)


@pytest.mark.slow
def test_tritons_own_messages(clients: Clients) -> None:
    if importlib.util.find_spec("tritonclient") is None:
        pytest.skip("tritonclient is not installed: pip install 'tritonclient[grpc]'")
    from tritonclient.grpc import service_pb2 as pb
    from tritonclient.utils import triton_to_np_dtype

    from edge_sdk.remote.v2 import DATATYPES

    def answer(method: str, request: bytes) -> Any:
        if method == "ModelReady":
            assert pb.ModelReadyRequest.FromString(request).name == "m"
            return pb.ModelReadyResponse(ready=True)
        if method == "ModelMetadata":
            said = pb.ModelMetadataResponse(name="m")
            for spec in INPUTS:
                said.inputs.add(name=spec.name, datatype=DATATYPES[spec.dtype], shape=[-1, *spec.shape[1:]])
            for spec in OUTPUTS:
                said.outputs.add(name=spec.name, datatype=DATATYPES[spec.dtype], shape=[-1, *spec.shape[1:]])
            return said
        asked = pb.ModelInferRequest.FromString(request)
        assert asked.model_name == "m" and [output.name for output in asked.outputs] == [s.name for s in OUTPUTS]
        given = [
            np.frombuffer(content, triton_to_np_dtype(tensor.datatype)).reshape(tuple(tensor.shape))
            for tensor, content in zip(asked.inputs, asked.raw_input_contents, strict=True)
        ]
        said = pb.ModelInferResponse(model_name="m", id="1")
        for spec, array in zip(OUTPUTS, rows(given), strict=True):
            said.outputs.add(name=spec.name, datatype=DATATYPES[spec.dtype], shape=array.shape)
            said.raw_output_contents.append(array.tobytes())
        return said

    answered(clients("grpc://127.0.0.1:1", "v2-grpc"), answer)
