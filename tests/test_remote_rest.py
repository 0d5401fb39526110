"""Clients over REST against real sockets: what they promise, and the time that they take."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge_sdk.errors import ContractError, RemoteError, RemoteTimeoutError
from edge_sdk.remote.client import Client
from edge_sdk.tensors import TensorSpec
from tests.inference_faults import (
    FAULTS,
    Script,
    Talk,
    chunked,
    cut,
    drip,
    gzipped,
    hang_up,
    late,
    reset,
    stall,
    without_length,
)
from tests.inference_servers import RestServer
from tests.processes import open_descriptors
from tests.remote_fixtures import Clients
from tests.remote_models import INPUTS, OUTPUTS, assert_right, rows, sample

WAYS = [
    ("v2-rest", "auto", True),
    ("v2-rest", "auto", False),
    ("v2-rest", "json", True),
    ("tfserving-rest", "auto", True),
    ("torchserve", "auto", True),
    ("torchserve", "json", True),
]


@pytest.fixture
def server() -> Iterator[RestServer]:
    with RestServer(rows, INPUTS, OUTPUTS) as server:
        yield server


@pytest.fixture
def client(server: RestServer, clients: Clients) -> Client:
    return clients(server.url, timeout_ms=1_000)


@pytest.mark.parametrize(("protocol", "tensors", "binary"), WAYS)
def test_outputs_are_exact(protocol: str, tensors: str, binary: bool, clients: Clients) -> None:
    with RestServer(rows, INPUTS, OUTPUTS, binary=binary) as server:
        client = clients(server.url, protocol, tensors=tensors)
        client.check()
        for seed in range(20):
            assert_right(client.infer(sample(seed)), sample(seed))
        assert server.connections == 1
        asked = server.requests[-1]
        is_json = asked.head["content-type"] == "application/json"
        assert is_json == (tensors == "json" or not binary or protocol == "tfserving-rest")
        assert client.sent_bytes > 20 * len(asked.body) and client.received_bytes > 20 * 10


@pytest.mark.parametrize(("protocol", "tensors", "binary"), WAYS)
def test_what_is_not_finite_passes(protocol: str, tensors: str, binary: bool, clients: Clients) -> None:
    with RestServer(rows, INPUTS, OUTPUTS, binary=binary) as server:
        client = clients(server.url, protocol, tensors=tensors)
        for gain in (np.nan, np.inf, -np.inf):
            inputs = [sample()[0], np.array([[gain]], np.float32)]
            assert_right(client.infer(inputs), inputs)


def test_outputs_stay_as_they_are(client: Client) -> None:
    first = client.infer(sample(1))
    kept = [array.copy() for array in first]
    client.infer(sample(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))
    assert all(array.flags.aligned and array.flags.writeable for array in first)


def test_a_single_tensor_may_have_another_name(server: RestServer, clients: Clients) -> None:
    server.inputs, server.outputs, server.model = INPUTS[:1], OUTPUTS[1:], lambda inputs: [inputs[0][:, -1]]
    for protocol in ("v2-rest", "tfserving-rest"):
        ours = [TensorSpec("other name", spec.shape, spec.dtype) for spec in (INPUTS[0], OUTPUTS[1])]
        client = clients(server.url, protocol, inputs=(ours[0],), outputs=(ours[1],))
        assert np.array_equal(client.infer(sample()[:1])[0], sample()[0][:, -1])


def test_inputs_of_another_form_never_leave(client: Client, server: RestServer) -> None:
    with pytest.raises(ContractError, match="does not take float64 1x2x3"):
        client.infer([sample()[0].astype(float), sample()[1]])
    assert not server.requests


@pytest.mark.parametrize("timeout_ms", [150, 400])
@pytest.mark.parametrize("script", [stall, drip, late(30)], ids=["stall", "drip", "late"])
def test_the_whole_answer_is_there_in_time_or_given_up(
    script: Script, timeout_ms: int, server: RestServer, clients: Clients
) -> None:
    client = clients(server.url, timeout_ms=timeout_ms)
    client.check()
    server.script = script
    began = time.monotonic()
    with pytest.raises(RemoteTimeoutError, match=f"no answer within {timeout_ms} ms"):
        client.infer(sample())
    took_ms = (time.monotonic() - began) * 1000
    assert timeout_ms <= took_ms < timeout_ms + 150
    server.script = None
    assert_right(client.infer(sample()), sample())  # over a new connection: nothing of the late answer is in it


def test_a_server_that_reads_nothing_is_given_up(server: RestServer, clients: Clients) -> None:
    """The kernel takes what fits into its buffers, then the sending waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        spec = TensorSpec("x", (64 << 20,), "int8")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = clients(url, "torchserve", inputs=(spec,), timeout_ms=200)
        with pytest.raises(RemoteTimeoutError, match=r"no answer within 200 ms; \d+ of 6\d+ bytes were sent"):
            client.infer([np.zeros(spec.shape, np.int8)])


def test_a_shorter_time_may_be_asked_for(client: Client, server: RestServer) -> None:
    server.script = stall
    began = time.monotonic()
    with pytest.raises(RemoteTimeoutError, match="within 100 ms"):
        client.infer(sample(), timeout_s=0.1)
    assert time.monotonic() - began < 0.5


def test_cancel_ends_a_request_in_work_from_another_thread(client: Client, server: RestServer) -> None:
    asked = threading.Event()

    def script(talk: Talk) -> None:
        asked.set()
        talk.until_gone()

    server.script = script
    canceller = threading.Thread(target=lambda: (asked.wait(10), client.cancel()))
    canceller.start()
    began = time.monotonic()
    with pytest.raises(RemoteError, match="cancelled"):
        client.infer(sample())
    assert time.monotonic() - began < 0.8
    canceller.join()
    server.script = None
    client.cancel()  # nothing is in work: the next one is not cancelled
    assert_right(client.infer(sample()), sample())


def test_cancel_ends_the_wait_for_a_connection(clients: Clients) -> None:
    """A listener whose queue is full takes no connection: the kernel drops what would be one more."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        client = clients(f"http://127.0.0.1:{full.getsockname()[1]}", timeout_ms=5_000, connect_ms=300)
        with pytest.raises(RemoteTimeoutError, match="no connection within 300 ms"):
            client.infer(sample())
        patient = clients(f"http://127.0.0.1:{full.getsockname()[1]}", timeout_ms=20_000, connect_ms=20_000)
        timer = threading.Timer(0.2, patient.cancel)
        timer.start()
        began = time.monotonic()
        with pytest.raises(RemoteError, match="cancelled"):
            patient.infer(sample())
        assert time.monotonic() - began < 2
        timer.join()
        for each in waiting:
            each.close()


def test_names_and_versions_are_escaped(server: RestServer, clients: Clients) -> None:
    client = clients(server.url, model="../a b?c", version="2/3")
    with pytest.raises(RemoteError, match="404"):
        client.infer(sample())
    assert server.requests[0].path == "/v2/models/..%2Fa%20b%3Fc/versions/2%2F3"


@pytest.mark.parametrize("script", [hang_up, reset, cut], ids=["hang up", "reset", "cut"])
def test_a_fresh_connection_that_breaks_is_an_error(script: Script, server: RestServer, clients: Clients) -> None:
    server.script = script
    client = clients(server.url, "torchserve")
    with pytest.raises(RemoteError, match=r"closed the connection without an answer|cut off"):
        client.infer(sample())
    assert len(server.requests) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(client: Client, server: RestServer) -> None:
    client.infer(sample())
    server.drop_connections()
    assert_right(client.infer(sample()), sample())
    assert server.connections == 2


def test_a_connection_that_closes_as_it_is_used_again_is_tried_once_more(client: Client, server: RestServer) -> None:
    """The server's time-out and our request cross on the way."""
    client.infer(sample())
    failed = []

    def script(talk: Talk) -> None:
        if failed:
            talk.send(talk.answer())
        else:
            failed.append(1)
            talk.close()

    server.script = script
    assert_right(client.infer(sample()), sample())
    assert server.connections == 2
    server.script = hang_up
    asked = len(server.requests)
    with pytest.raises(RemoteError, match="closed the connection without an answer"):
        client.infer(sample())
    assert len(server.requests) == asked + 2  # once more, not for ever


def test_what_a_server_says_out_of_turn_is_not_taken_for_an_answer(client: Client, server: RestServer) -> None:
    def script(talk: Talk) -> None:
        right = talk.answer()
        talk.send(right, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    client.infer(sample())
    server.script = script
    assert_right(client.infer(sample(1)), sample(1))
    server.script = None
    assert_right(client.infer(sample(2)), sample(2))


@pytest.mark.parametrize(
    "form", [chunked, gzipped, without_length, lambda answer: b"HTTP/1.1 100 Continue\r\n\r\n" + answer]
)
def test_every_form_of_an_answer_is_read(form: object, client: Client, server: RestServer) -> None:
    def script(talk: Talk) -> None:
        answer = form(talk.answer())  # type: ignore[operator]
        talk.send(answer)
        talk.keep = b"Connection: close" not in answer

    server.script = script
    for seed in range(3):
        assert_right(client.infer(sample(seed)), sample(seed))
    client.check()


def test_nothing_is_left_open(server: RestServer, clients: Clients) -> None:
    client = clients(server.url, timeout_ms=100)
    client.check()
    client.close()
    server.drop_connections()
    before = open_descriptors()
    for script in [*FAULTS.values(), None] * 2:
        server.script = script
        with contextlib.suppress(RemoteError):
            client.infer(sample())
        client.close()
        server.drop_connections()
    assert open_descriptors() == before
