"""Connections of gRPC: servers that come, go, speak something else or cannot be trusted, and tokens."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

grpc = pytest.importorskip("grpc", reason="missing: pip install 'edge-device-sdk[remote]'")

from edge_sdk.errors import RemoteError  # noqa: E402
from tests.certificates import Certificates, authority  # noqa: E402
from tests.inference_grpc import GrpcServer  # noqa: E402
from tests.remote_fixtures import Clients  # noqa: E402
from tests.remote_models import INPUTS, OUTPUTS, assert_right, rows, sample  # noqa: E402

SECRET = "s3cr3t-t0ken"
PROTOCOLS = ["v2-grpc", "tfserving-grpc"]


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    with GrpcServer(rows, INPUTS, OUTPUTS) as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return authority(tmp_path_factory.mktemp("grpc") / "ours")


def test_a_server_that_is_not_there_comes_and_goes(server: GrpcServer, clients: Clients) -> None:
    client = clients(server.url, "v2-grpc")
    assert_right(client.infer(sample()), sample())
    server.halt()
    for _ in range(2):
        with pytest.raises(RemoteError, match="nothing listens there"):
            client.infer(sample())
    server.start()
    assert_right(client.infer(sample()), sample())  # at once: no back-off of an old connection
    server.halt()
    server.start()
    assert_right(client.infer(sample()), sample())  # over a new connection, not noticed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "UNAVAILABLE|closed the connection"),
        (b"garbage" * 20, "UNAVAILABLE|INTERNAL|closed the connection"),
        (b"", "closed the connection without an answer|UNAVAILABLE"),
    ],
)
def test_what_is_no_grpc_is_an_error(content: bytes, said: str, clients: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(content)

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            with pytest.raises(RemoteError, match=said):
                clients(f"grpc://127.0.0.1:{listener.getsockname()[1]}", "v2-grpc").infer(sample())
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_server_that_accepts_and_is_silent_is_given_up(clients: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = clients(f"grpc://127.0.0.1:{listener.getsockname()[1]}", "v2-grpc", timeout_ms=300)
        began = time.monotonic()
        with pytest.raises(RemoteError):
            client.infer(sample())
        assert time.monotonic() - began < 0.6


def test_the_token_is_shown_to_the_server_and_to_nobody_else(tmp_path: Path, clients: Clients) -> None:
    file = tmp_path / "token"
    file.write_text("wrong-one")
    with GrpcServer(rows, INPUTS, OUTPUTS, token=SECRET) as server:
        client = clients(server.url, "v2-grpc", token_file=file)
        with pytest.raises(
            RemoteError, match=r"UNAUTHENTICATED: who are you\? \(the token is missing or wrong"
        ) as caught:
            client.infer(sample())
        assert "wrong-one" not in str(caught.value) + repr(caught.value) + repr(vars(client))
        file.write_text(SECRET)
        assert_right(client.infer(sample()), sample())


@pytest.mark.parametrize(
    ("made", "settings", "said"),
    [
        ({}, {"ca_file": None}, "not trusted: .*give the certificate of its authority as ca_file"),
        ({"name": "other", "names": "DNS:elsewhere.example"}, {}, "use the host's name in the url"),
        ({"name": "old", "from_days": -9, "days": -2}, {}, "certificate has expired; this device's clock says"),
        ({"name": "early", "from_days": 5, "days": 9}, {}, "not yet valid; this device's clock says"),
    ],
)
def test_a_certificate_that_does_not_fit(
    made: dict[str, Any], settings: dict[str, Any], said: str, certificates: Certificates, clients: Clients
) -> None:
    certificate = certificates.made(**{"name": "server", **made})
    with GrpcServer(rows, INPUTS, OUTPUTS, tls=(certificate, None)) as server:
        with pytest.raises(RemoteError, match=said):
            clients(server.url, "v2-grpc", **{"ca_file": certificates.ca, **settings}).infer(sample())
        assert not server.requests


def test_tls_with_certificates_of_both_sides(certificates: Certificates, clients: Clients) -> None:
    certificate, ours = certificates.made("server"), certificates.made("device")
    with GrpcServer(rows, INPUTS, OUTPUTS, tls=(certificate, certificates.ca)) as server:
        with pytest.raises(RemoteError, match=r"asks for a certificate of ours|without an answer"):
            clients(server.url, "v2-grpc", ca_file=certificates.ca).infer(sample())
        pair = {"cert_file": ours, "key_file": ours.with_suffix(".key")}
        for protocol, host in zip(PROTOCOLS, ("localhost", "127.0.0.1"), strict=True):
            client = clients(f"grpcs://{host}:{server.port}", protocol, ca_file=certificates.ca, **pair)
            assert_right(client.infer(sample()), sample())
        with pytest.raises(RemoteError, match=r"if the server has TLS|UNAVAILABLE"):
            clients(f"grpc://127.0.0.1:{server.port}", "v2-grpc").infer(sample())
    with GrpcServer(rows, INPUTS, OUTPUTS) as plain, pytest.raises(RemoteError, match="does not speak TLS"):
        clients(f"grpcs://localhost:{plain.port}", "v2-grpc", ca_file=certificates.ca).infer(sample())


def test_grpc_prints_nothing_and_is_loaded_only_where_it_is_used(tmp_path: Path) -> None:
    code = """
import os, sys
import edge_sdk.remote.clients as clients
from edge_sdk.engines.remote import RemoteEngine
RemoteEngine.warm()
assert "grpc" not in sys.modules
from tests.remote_models import client_of, sample
try:
    client_of("grpcs://127.0.0.1:1", "v2-grpc").infer(sample())
except Exception as exc:
    assert "nothing listens" in str(exc), exc
assert "grpc" in sys.modules and "GRPC_VERBOSITY" not in os.environ
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
