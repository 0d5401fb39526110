"""Clients over gRPC against real servers: exact, in time, and with an error that says what was found whenever something is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

grpc = pytest.importorskip("grpc", reason="missing: pip install 'edge-device-sdk[remote]'")

from edge_sdk.errors import RemoteError, RemoteTimeoutError  # noqa: E402
from edge_sdk.remote.client import Client  # noqa: E402
from edge_sdk.tensors import TensorSpec  # noqa: E402
from tests.inference_grpc import GrpcServer  # noqa: E402
from tests.inference_messages import tf, v2  # noqa: E402
from tests.remote_fixtures import Clients  # noqa: E402
from tests.remote_models import INPUTS, OUTPUTS, assert_right, rows, sample  # noqa: E402

SECRET = "s3cr3t-t0ken"
PROTOCOLS = ["v2-grpc", "tfserving-grpc"]


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    with GrpcServer(rows, INPUTS, OUTPUTS) as server:
        yield server


@pytest.fixture(params=PROTOCOLS)
def client(server: GrpcServer, clients: Clients, request: pytest.FixtureRequest) -> Client:
    return clients(server.url, request.param)


@pytest.mark.parametrize("raw", [True, False], ids=["bytes", "numbers"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_outputs_are_exact(protocol: str, raw: bool, clients: Clients) -> None:
    with GrpcServer(rows, INPUTS, OUTPUTS, raw=raw) as server:
        client = clients(server.url, protocol)
        client.check()
        for seed in range(10):
            assert_right(client.infer(sample(seed)), sample(seed))
        for gain in (np.nan, np.inf, -np.inf):
            inputs = [sample()[0], np.array([[gain]], np.float32)]
            assert_right(client.infer(inputs), inputs)
        assert client.sent_bytes > 0 and client.received_bytes > 0


def stall(server: GrpcServer, method: str, request: bytes, context: Any) -> bytes:
    while context.is_active() and not server.ended.wait(0.01):
        pass
    return b""


def test_an_answer_that_does_not_come_is_given_up(client: Client, server: GrpcServer) -> None:
    client.check()
    server.script = stall
    began = time.monotonic()
    with pytest.raises(RemoteTimeoutError, match="no answer in time"):
        client.infer(sample(), timeout_s=0.2)
    assert 0.2 <= time.monotonic() - began < 0.5
    server.script = None
    assert_right(client.infer(sample()), sample())


def test_cancel_ends_a_request_in_work_from_another_thread(client: Client, server: GrpcServer) -> None:
    client.check()
    asked = threading.Event()

    def script(server: GrpcServer, method: str, request: bytes, context: Any) -> bytes:
        asked.set()
        return stall(server, method, request, context)

    server.script = script
    canceller = threading.Thread(target=lambda: (asked.wait(10), client.cancel()))
    canceller.start()
    began = time.monotonic()
    with pytest.raises(RemoteError, match="cancelled"):
        client.infer(sample())
    assert time.monotonic() - began < 1
    canceller.join()
    server.script = None
    assert_right(client.infer(sample()), sample())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("INVALID_ARGUMENT", "INVALID_ARGUMENT: because .*larger than the server takes"),
        ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED: because"),
        ("PERMISSION_DENIED", "the token is not allowed"),
        ("UNAVAILABLE", r"UNAVAILABLE: because \(it, or the model, is not ready\)"),
        ("INTERNAL", "the server answers INTERNAL: because$"),
    ],
)
def test_a_status_is_told_with_what_the_server_says(code: str, said: str, client: Client, server: GrpcServer) -> None:
    server.script = lambda s, m, r, context: context.abort(getattr(grpc.StatusCode, code), "because\x1b[31m")
    said = said.replace("because", "because\N{REPLACEMENT CHARACTER}\\[31m")
    with pytest.raises(RemoteError, match=said) as caught:
        client.infer(sample())
    assert str(caught.value).isprintable()
    server.script = None
    assert_right(client.infer(sample()), sample())


def test_another_model_or_method_is_not_found(server: GrpcServer, clients: Clients) -> None:
    for protocol in PROTOCOLS:
        with pytest.raises(RemoteError, match=r"NOT_FOUND: unknown model other .*check model and version"):
            clients(server.url, protocol, model="other").check()
    with pytest.raises(RemoteError, match="no signature 'other'; it has serving_default"):
        clients(server.url, "tfserving-grpc", signature="other").infer(sample())
    server.ready = False
    for protocol, said in zip(PROTOCOLS, ("model m is not ready", "not ready: version 1 is LOADING"), strict=True):
        with pytest.raises(RemoteError, match=said):
            clients(server.url, protocol).check()


def test_another_form_than_stated_is_found_before_it_is_asked(server: GrpcServer, clients: Clients) -> None:
    server.inputs = (TensorSpec("image", (1, 2, 3), "uint8"), INPUTS[1])
    for protocol in PROTOCOLS:
        with pytest.raises(RemoteError, match=r"input 'image' uint8 \?x2x3 there; the variant states 'image' int8"):
            clients(server.url, protocol).infer(sample())
    assert not any(method.endswith(("/ModelInfer", "/Predict")) for method, _, _ in server.requests)


def _v2_answer(**changes: Any) -> bytes:
    answer = v2.ModelInferResponse()
    answer.outputs.add(**{"name": "sums", "datatype": "FP32", "shape": [1, 2], **changes.get("sums", {})})
    if changes.get("last", True):
        answer.outputs.add(name="last", datatype="INT8", shape=[1, 3])
    answer.raw_output_contents.extend(changes.get("raw", [bytes(8), bytes(3)]))
    return answer.SerializeToString()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_v2_answer(sums={"shape": [2, 1]}), "output 'sums' float32 1x2 came in shape 2x1"),
        (_v2_answer(sums={"datatype": "FP64"}), "came as FP64"),
        (_v2_answer(sums={"name": "other"}), "other outputs than were asked for: found other and last"),
        (_v2_answer(last=False), "found sums, 2 of them as bytes; asked for sums and last"),
        (_v2_answer(raw=[bytes(7), bytes(3)]), "came with 7 bytes; it has 8"),
        (_v2_answer(raw=[bytes(8)]), "1 of them as bytes"),
        (_v2_answer(raw=[]), "came with 0 numbers; it has 2"),
        (b"", "other outputs than were asked for: found none"),
        (b"\xff" * 50, "no message of this protocol"),
        (b"\x2a\xff\xff\xff\xff\x0f", "no message of this protocol"),
        (b"\x18\x01" * 30_000, "more than 20000 fields"),
    ],
)
def test_another_tensor_than_stated_is_refused_by_v2(
    answer: bytes, said: str, server: GrpcServer, clients: Clients
) -> None:
    server.script = lambda *_: answer
    with pytest.raises(RemoteError, match=said):
        clients(server.url, "v2-grpc").infer(sample())


def _tf_answer(**changes: Any) -> bytes:
    answer = tf.PredictResponse()
    sums, last = answer.outputs["sums"], answer.outputs["last"]
    for tensor, dtype, shape in ((sums, 1, (1, 2)), (last, 6, (1, 3))):
        tensor.dtype = dtype
        for axis in shape:
            tensor.tensor_shape.dim.add(size=axis)
    sums.tensor_content, last.tensor_content = bytes(8), bytes(3)
    for name, value in changes.items():
        if name == "shape":
            sums.tensor_shape.dim[0].size = value
        elif name == "without":
            del answer.outputs[value]
        elif name == "more":
            answer.outputs[value].CopyFrom(sums)
        elif name == "numbers":
            sums.tensor_content = b""
            sums.float_val.extend(value)
        else:
            setattr(sums, name, value)
    return answer.SerializeToString()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_tf_answer(shape=5), "came in shape 5x2"),
        (_tf_answer(dtype=2), "came as float64"),
        (_tf_answer(dtype=99), "came as dtype number 99"),
        (_tf_answer(tensor_content=bytes(9)), "came with 9 bytes; it has 8"),
        (_tf_answer(without="sums"), "other outputs than were asked for: found last"),
        (_tf_answer(more="third"), "other outputs than were asked for"),
        (_tf_answer(numbers=[1, 2, 3]), "came with 3 numbers; it has 2"),
        (b"\x0a\x7f", "no message of this protocol"),
    ],
)
def test_another_tensor_than_stated_is_refused_by_tensorflow_serving(
    answer: bytes, said: str, server: GrpcServer, clients: Clients
) -> None:
    server.script = lambda *_: answer
    with pytest.raises(RemoteError, match=said):
        clients(server.url, "tfserving-grpc").infer(sample())


def test_one_number_stands_for_all_that_follow(server: GrpcServer, clients: Clients) -> None:
    """TensorFlow shortens a tensor whose last numbers are equal."""
    server.script = lambda *_: _tf_answer(numbers=[2.5])
    assert clients(server.url, "tfserving-grpc").infer(sample())[0].tolist() == [[2.5, 2.5]]


def test_an_answer_that_is_too_long_is_refused(client: Client, server: GrpcServer, clients: Clients) -> None:
    server.script = lambda *_: bytes(200_000)
    short = clients(server.url, client.settings.protocol, max_response_bytes=100_000)
    with pytest.raises(RemoteError, match=r"RESOURCE_EXHAUSTED: .*200000 vs\. 100000.*max_response_bytes"):
        short.infer(sample())
