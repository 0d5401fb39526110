"""Whatever a server or the network answers wrongly over REST is an error that says what was found."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edge_sdk.errors import RemoteError, RemoteTimeoutError
from edge_sdk.remote.client import Client
from edge_sdk.tensors import TensorSpec
from tests.inference_faults import (
    FAULTS,
    Talk,
    chunked,
    http,
    says,
    without_length,
)
from tests.inference_servers import RestServer
from tests.remote_fixtures import Clients
from tests.remote_models import INPUTS, OUTPUTS, assert_right, rows, sample


@pytest.fixture
def server() -> Iterator[RestServer]:
    with RestServer(rows, INPUTS, OUTPUTS) as server:
        yield server


@pytest.fixture
def client(server: RestServer, clients: Clients) -> Client:
    return clients(server.url, timeout_ms=1_000)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http("500 Oh", b'{"error": "out of memory"}'), r"the server answers 500 Oh: out of memory$"),
        (http("400 Bad", b'{"error": "batch-size must be <= 8"}'), "batch-size must be <= 8.*larger than the server takes"),
        (http("503 Busy", b'{"code": 503, "message": "no worker"}'), r"no worker \(it, or the model, is not ready\)"),
        (http("404 Not Found", b'{"detail": "no version 7"}'), "no version 7.*no such model, version or path"),
        (http("403 Forbidden", b"<html>page</html>"), r"403 Forbidden \(the token is not allowed"),
        (http("413 Too Large"), "the request is larger than it takes"),
        (http("500 \x1b[31mred", b'{"error": "\\u001b[31m' + b"x" * 3000 + b'"}'), "\N{REPLACEMENT CHARACTER}"),
        (http("302 Found", Location="http://user:pw1@evil/"), r"redirects to http://user:\*\*\*@evil/ .*not followed"),
        (http("204 No Content"), "204"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + http("200 OK", b"{}"), "the server answers 103 Early Hints"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the server answers 101"),
        (http("200 OK", b"<html>"), "not of this protocol: .*begins with '<html>'"),
        (http("200 OK", b'{"outputs": 3}'), "not of this protocol: it: outputs"),
        (http("200 OK", b"[" * 100_000), "not of this protocol"),
        (http("200 OK", b'{"outputs": []}'), "has other outputs than were asked for: found none"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is no HTTP: it begins with 'SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "Content-Length is no number: '-5'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n", "Content-Length is no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "cut off: its Content-Length says 100 bytes, 3 came"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", "longer than 67108864 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "damaged HTTP: got more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "damaged HTTP: got more than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke off|damaged"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "broke off in the middle"),
        (b"HTTP/1.1 200", "not of this protocol"),
        (b"HTTP/1.1 99999 OK\r\n\r\n", "no HTTP"),
        (http("200 OK", b"x", Content_Encoding="br"), "encoded as 'br'; allowed are identity, gzip"),
        (http("200 OK", b"xxxxxx", Content_Encoding="gzip"), "damaged"),
        (http("200 OK", gzip.compress(b"{}" * 99)[:-20], Content_Encoding="gzip"), "cut off"),
        (http("200 OK", b"{}", Inference_Header_Content_Length="7"), "states 7 bytes of JSON, and has 2"),
        (http("200 OK", b"{}", Inference_Header_Content_Length="x"), "Inference-Header-Content-Length is no number: 'x'"),
    ],
)  # fmt: skip
def test_answers_that_are_none(answer: bytes, said: str, client: Client, server: RestServer) -> None:
    server.script = says(answer)
    with pytest.raises(RemoteError, match=said) as caught:
        client.infer(sample())
    assert not isinstance(caught.value, RemoteTimeoutError)
    assert str(caught.value).startswith(f"v2-rest {server.url}, model m: ")
    assert len(str(caught.value)) < 900 and "pw1" not in str(caught.value) and str(caught.value).isprintable()
    server.script = None
    assert_right(client.infer(sample()), sample())


def changed(**fields: object) -> dict[str, object]:
    return {"name": "sums", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5], **fields}


LAST = {"name": "last", "datatype": "INT8", "shape": [1, 3], "data": [1, 2, 3]}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([changed(shape=[2, 1]), LAST], "output 'sums' float32 1x2 came in shape 2x1"),
        ([changed(shape=[1, -2]), LAST], "came in shape 1x-2"),
        ([changed(shape=[1, 3], data=[1, 2, 3]), LAST], "came in shape 1x3"),
        ([changed(datatype="FP64"), LAST], "came as FP64"),
        ([changed(data=[1.5]), LAST], "came with 1 numbers; it has 2"),
        ([changed(data=[[1.5, 2], [3]]), LAST], "lists of different lengths"),
        ([changed(data=["1.5", "2"]), LAST], "came as text"),
        ([changed(data=[None, 1]), LAST], "what are no numbers"),
        ([changed(data=None), LAST], "what are no numbers"),
        ([changed(), {**LAST, "data": [1, 2, 300]}], "numbers from 1 to 300; it holds -128 to 127"),
        ([changed(), {**LAST, "data": [1, 2, 2.5]}], "came as fractions"),
        ([changed(), {**LAST, "data": [1, 2, 10**30]}], "what are no numbers"),
        ([changed(), {**LAST, "data": [True, False, True]}], "came as true and false"),
        ([changed()], "other outputs than were asked for: found sums; asked for sums and last"),
        ([changed(), LAST, changed(name="more")], "found sums and last and more"),
        ([changed(), LAST, LAST], "other outputs"),
        ([changed(), changed()], "other outputs"),
        ([changed(parameters={"binary_data_size": 8}), LAST], "ends beyond it"),
        ([changed(parameters={"binary_data_size": -8}), LAST], "ends beyond it"),
        ([changed(parameters={"binary_data_size": "8"}), LAST], "ends beyond it"),
    ],
)
def test_another_tensor_than_stated_is_refused(
    outputs: list[object], said: str, client: Client, server: RestServer
) -> None:
    server.script = says(http("200 OK", json.dumps({"outputs": outputs}).encode()))
    with pytest.raises(RemoteError, match=said):
        client.infer(sample())


def test_bytes_behind_the_last_tensor_are_refused(client: Client, server: RestServer) -> None:
    body = json.dumps({"outputs": [changed(parameters={"binary_data_size": 8}, data=None), LAST]}).encode()
    server.script = says(http("200 OK", body + bytes(9), Inference_Header_Content_Length=str(len(body))))
    with pytest.raises(RemoteError, match="1 bytes that belong to no output"):
        client.infer(sample())


IMAGE, GAIN = INPUTS


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([GAIN, IMAGE, TensorSpec("more", (1,), "int8")], "other inputs: found 'gain' float32"),
        ([GAIN], "other inputs: found 'gain' float32"),
        ([TensorSpec("picture", (1, 2, 3), "int8"), GAIN], "other inputs: found 'picture' int8"),
        ([TensorSpec("image", (1, 2, 3), "uint8"), GAIN], r"form: input 'image' uint8 \?x2x3 there; the variant states 'image' int8 1x2x3"),
        ([TensorSpec("image", (1, 2, 4), "int8"), GAIN], r"form: input 'image' int8 \?x2x4 there"),
        ([TensorSpec("image", (1, 2), "int8"), GAIN], r"form: input 'image' int8 \?x2 there"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", ["v2-rest", "tfserving-rest"])
def test_another_model_than_stated_is_found_before_it_is_asked(
    there: list[TensorSpec], said: str, protocol: str, server: RestServer, clients: Clients
) -> None:
    server.inputs = tuple(there)
    with pytest.raises(RemoteError, match=said):
        clients(server.url, protocol).check()
    with pytest.raises(RemoteError, match=said):
        clients(server.url, protocol).infer(sample())
    assert not any(request.method == "POST" for request in server.requests)


def test_a_model_that_is_not_there_or_not_ready(server: RestServer, clients: Clients) -> None:
    for protocol, said in (
        ("v2-rest", "unknown model .*no such model"),
        ("tfserving-rest", "Servable not found"),
        ("torchserve", "Model not found"),
    ):
        client = clients(server.url, protocol, model="other")
        with pytest.raises(RemoteError, match=said):
            client.check()
        with pytest.raises(RemoteError, match=said):
            client.infer(sample())
    client = clients(server.url, "tfserving-rest", signature="other")
    with pytest.raises(RemoteError, match="no signature 'other'; it has serving_default"):
        client.infer(sample())


@pytest.mark.parametrize("form", [chunked, without_length])
def test_an_answer_without_a_length_is_bounded_too(form: object, server: RestServer, clients: Clients) -> None:
    server.script = says(form(http("200 OK", b"x" * 5_000)))  # type: ignore[operator]
    client = clients(server.url, "torchserve", max_response_bytes=4_000)
    with pytest.raises(RemoteError, match="longer than 4000 bytes"):
        client.infer(sample())


def test_a_compressed_answer_is_bounded_by_what_it_becomes(server: RestServer, clients: Clients) -> None:
    server.script = says(http("200 OK", gzip.compress(bytes(50 << 20)), Content_Encoding="gzip"))
    client = clients(server.url, "torchserve", max_response_bytes=1 << 20)
    with pytest.raises(RemoteError, match="longer than 1048576 bytes"):
        client.infer(sample())


def test_continue_for_ever_is_given_up(client: Client, server: RestServer) -> None:
    def script(talk: Talk) -> None:
        while True:
            talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            talk.pause(0.01)

    client.check()
    server.script = script
    with pytest.raises(RemoteTimeoutError):
        client.infer(sample(), timeout_s=0.2)


def test_an_early_refusal_of_a_large_request_is_heard(server: RestServer, clients: Clients) -> None:
    """A proxy answers 413 before it has read the body, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(http("413 Content Too Large"))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        spec = TensorSpec("x", (8 << 20,), "int8")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = clients(url, "torchserve", inputs=(spec,), timeout_ms=5_000)
        with pytest.raises(RemoteError, match=r"413 Content Too Large .the request is larger than it takes"):
            client.infer([np.zeros(spec.shape, np.int8)])
        client.close()
        thread.join()


@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.parametrize("protocol", ["v2-rest", "tfserving-rest", "torchserve"])
def test_after_any_fault_the_next_request_is_right(
    name: str, protocol: str, server: RestServer, clients: Clients
) -> None:
    client = clients(server.url, protocol, timeout_ms=200)
    client.check()
    server.script = FAULTS[name]
    for _ in range(2):
        with pytest.raises(RemoteError):
            client.infer(sample())
    server.script = None
    assert_right(client.infer(sample(), timeout_s=5), sample())
