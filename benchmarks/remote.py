"""What a client of a server costs over the bare library, on loopback: an int8 image of 224x224 there, 1,000 scores back."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.blocks import back_to_back, interleave
from benchmarks.remote_server import INPUTS, OUTPUTS
from benchmarks.rows import Row
from edge_sdk.remote.clients import open_client
from edge_sdk.remote.settings import Protocol, ServerSettings

_IMAGE = np.random.default_rng(0).integers(-128, 128, INPUTS[0].shape, np.int8)


def run(quick: bool) -> list[Row]:
    """REST and gRPC; each with no model at all, and with MobileNetV2 run by LiteRT in the server."""
    rows = []
    for model, said, whole in (("none", "without a model", 3_000), ("mobilenet", "MobileNetV2 in it", 600)):
        rounds = whole // 5 if quick else whole
        rows.append(_row("rest", "v2-rest", "http.client", _http_client, model, said, rounds))
        rows.append(_row("grpc", "v2-grpc", "grpcio and protobuf", _grpcio, model, said, rounds))
    return rows


def _row(kind: str, protocol: Protocol, library: str, bare: Any, model: str, said: str, rounds: int) -> Row:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(_server(kind, model))
        settings = ServerSettings(url=url, protocol=protocol, model="m", timeout_ms=10_000)
        client = stack.enter_context(open_client(settings, INPUTS, OUTPUTS))
        step = stack.enter_context(bare(urlsplit(url)))
        assert np.array_equal(step(), client.infer([_IMAGE])[0])
        sides = {"client": back_to_back(lambda: client.infer([_IMAGE])), "bare": back_to_back(step)}
        found = interleave(sides, rounds=rounds, runs=1)  # by turns: what else runs here meets both alike
    ratio = found.ratio("client", "bare")
    times = f"p50 {found.ms('client'):.3f} ms against {found.ms('bare'):.3f} ms"
    return Row(f"client {protocol} / {library}, server {said}", times, "at most 1.1x", ratio, ratio <= 1.1)


@contextlib.contextmanager
def _server(kind: str, model: str) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.remote_server", kind, model]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextlib.contextmanager
def _http_client(url: Any) -> Iterator[Callable[[], Any]]:
    """The same request, as one writes it by hand; the head is made once."""
    image = {
        "name": "image",
        "datatype": "INT8",
        "shape": [1, 224, 224, 3],
        "parameters": {"binary_data_size": _IMAGE.nbytes},
    }
    scores = {"name": "scores", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [image], "outputs": [scores]}).encode()
    fields = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)

    def step() -> Any:
        connection.request("POST", "/v2/models/m/infer", head + _IMAGE.tobytes(), fields)
        response = connection.getresponse()
        body = response.read()
        length = int(response.headers["Inference-Header-Content-Length"])
        (output,) = json.loads(body[:length])["outputs"]
        return np.frombuffer(body[length:], np.int8).reshape(output["shape"])

    yield step
    connection.close()


@contextlib.contextmanager
def _grpcio(url: Any) -> Iterator[Callable[[], Any]]:
    """The same request by grpcio, its messages by protobuf."""
    import grpc

    from tests.inference_messages import v2

    channel = grpc.insecure_channel(url.netloc)
    call = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=v2.ModelInferRequest.SerializeToString,
        response_deserializer=v2.ModelInferResponse.FromString,
    )

    def step() -> Any:
        asked = v2.ModelInferRequest(model_name="m", raw_input_contents=[_IMAGE.tobytes()])
        asked.inputs.add(name="image", datatype="INT8", shape=_IMAGE.shape)
        asked.outputs.add(name="scores")
        answer = call(asked, timeout=10)
        return np.frombuffer(answer.raw_output_contents[0], np.int8).reshape(tuple(answer.outputs[0].shape))

    yield step
    channel.close()
