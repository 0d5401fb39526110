"""TLS with real certificates: whoever cannot be trusted is refused, and the message says why and what to do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from edge_sdk.errors import RemoteError, RemoteTimeoutError
from tests.certificates import Certificates, authority
from tests.inference_faults import FAULTS, drip, stall
from tests.inference_servers import RestServer
from tests.remote_fixtures import Clients
from tests.remote_models import INPUTS, OUTPUTS, assert_right, rows, sample


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return authority(tmp_path_factory.mktemp("tls") / "theirs")


def server_of(tls: ssl.SSLContext | None, **more: object) -> RestServer:
    return RestServer(rows, INPUTS, OUTPUTS, tls=tls, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("protocol", ["v2-rest", "tfserving-rest", "torchserve"])
def test_outputs_are_right_over_tls(protocol: str, host: str, certificates: Certificates, clients: Clients) -> None:
    with server_of(certificates.server()) as server:
        client = clients(f"https://{host}:{server.port}", protocol, ca_file=certificates.ca)
        client.check()
        for seed in range(3):
            assert_right(client.infer(sample(seed)), sample(seed))
        assert server.connections == 1


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"name": "other", "names": "DNS:elsewhere.example"}, "not trusted: .*(mismatch|not valid for).*use the host's name in the url"),
        ({"name": "old", "from_days": -9, "days": -2}, r"certificate has expired; this device's clock says 20\d\d-\d\d-\d\d \d\d:\d\d UTC"),
        ({"name": "early", "from_days": 5, "days": 9}, "not yet valid; this device's clock says .*set it if it is wrong"),
    ],
)  # fmt: skip
def test_a_certificate_that_does_not_fit(
    made: dict[str, object], said: str, certificates: Certificates, clients: Clients
) -> None:
    with server_of(certificates.server(**made)) as server:  # type: ignore[arg-type]
        client = clients(server.url, ca_file=certificates.ca)
        with pytest.raises(RemoteError, match=said):
            client.infer(sample())
        assert not server.requests


def test_an_authority_that_nobody_named(certificates: Certificates, strangers: Certificates, clients: Clients) -> None:
    with server_of(certificates.server()) as server:
        for settings in ({}, {"ca_file": strangers.ca}):
            with pytest.raises(RemoteError, match=r"not trusted: .*give the certificate of its authority as ca_file"):
                clients(server.url, **settings).infer(sample())
        assert not server.requests


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_asks_for_our_certificate(
    newest: ssl.TLSVersion, certificates: Certificates, strangers: Certificates, clients: Clients
) -> None:
    context = certificates.server(asks_for_ours=True)
    context.maximum_version = newest
    ours, theirs = certificates.made("device"), strangers.made("stranger")
    with server_of(context) as server:
        refused = "asks for a certificate of ours|without an answer|broke off|refuses us"
        for settings in ({}, {"cert_file": theirs, "key_file": theirs.with_suffix(".key")}):
            with pytest.raises(RemoteError, match=refused):
                clients(server.url, ca_file=certificates.ca, **settings).infer(sample())
        assert not server.requests
        client = clients(server.url, ca_file=certificates.ca, cert_file=ours, key_file=ours.with_suffix(".key"))
        assert_right(client.infer(sample()), sample())


def test_tls_that_is_too_old(certificates: Certificates, clients: Clients) -> None:
    context = certificates.server()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with server_of(context) as server, pytest.raises(RemoteError, match=r"TLS failed: .*version"):
        clients(server.url, ca_file=certificates.ca).infer(sample())


def test_tls_where_there_is_none_and_the_reverse(certificates: Certificates, clients: Clients) -> None:
    with server_of(None) as plain, socket.create_server(("127.0.0.1", 0)) as ssh:
        banner = threading.Thread(target=_say_something, args=(ssh,))
        banner.start()
        with pytest.raises(RemoteError, match="does not speak TLS on this port"):
            clients(f"https://127.0.0.1:{ssh.getsockname()[1]}").infer(sample())
        banner.join()
        with pytest.raises(RemoteError, match=r"does not speak TLS|broke off|no connection within"):
            clients(f"https://127.0.0.1:{plain.port}", connect_ms=300).infer(sample())
    hint = r"if the server has TLS, the url begins with https|the server has TLS"
    with server_of(certificates.server()) as server, pytest.raises(RemoteError, match=hint):
        clients(f"http://127.0.0.1:{server.port}").infer(sample())


def _say_something(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                pass


def test_a_server_that_answers_plain_http_with_an_alert_has_tls(clients: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def alert() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=alert)
        thread.start()
        with pytest.raises(RemoteError, match="the server has TLS; let the url begin with https"):
            clients(f"http://127.0.0.1:{listener.getsockname()[1]}").infer(sample())
        thread.join()


def test_a_handshake_that_is_not_answered_is_given_up(certificates: Certificates, clients: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = clients(f"https://localhost:{silent.getsockname()[1]}", ca_file=certificates.ca, connect_ms=200)
        began = time.monotonic()
        with pytest.raises(RemoteTimeoutError, match="no connection within 200 ms"):
            client.infer(sample())
        assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("script", [stall, drip], ids=["stall", "drip"])
def test_the_time_limit_holds_over_tls(script: object, certificates: Certificates, clients: Clients) -> None:
    with server_of(certificates.server()) as server:
        client = clients(server.url, ca_file=certificates.ca, timeout_ms=200, connect_ms=200)
        client.check(timeout_s=5)
        server.script = script  # type: ignore[assignment]
        began = time.monotonic()
        with pytest.raises(RemoteTimeoutError, match="no answer within 200 ms"):
            client.infer(sample())
        assert time.monotonic() - began < 0.5


def test_cancel_ends_a_request_over_tls(certificates: Certificates, clients: Clients) -> None:
    with server_of(certificates.server()) as server:
        client = clients(server.url, ca_file=certificates.ca, timeout_ms=20_000)
        client.check()
        asked = threading.Event()
        server.script = lambda talk: (asked.set(), talk.until_gone())[1]
        canceller = threading.Thread(target=lambda: (asked.wait(10), client.cancel()))
        canceller.start()
        with pytest.raises(RemoteError, match="cancelled"):
            client.infer(sample())
        canceller.join()


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_after_any_fault_over_tls_the_next_request_is_right(
    name: str, certificates: Certificates, clients: Clients
) -> None:
    with server_of(certificates.server()) as server:
        client = clients(server.url, ca_file=certificates.ca, timeout_ms=300, connect_ms=300)
        client.check(timeout_s=5)
        server.script = FAULTS[name]
        for _ in range(2):
            with pytest.raises(RemoteError):
                client.infer(sample())
        server.script = None
        assert_right(client.infer(sample()), sample())


def test_a_restart_of_the_server_is_not_noticed(certificates: Certificates, clients: Clients) -> None:
    with server_of(certificates.server()) as server:
        client = clients(server.url, ca_file=certificates.ca)
        client.infer(sample())
        server.drop_connections()
        assert_right(client.infer(sample()), sample())


def test_certificates_are_read_again_when_they_are_renewed(
    tmp_path: Path, certificates: Certificates, strangers: Certificates, clients: Clients
) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(strangers.ca.read_bytes())
    with server_of(certificates.server()) as server:
        client = clients(server.url, ca_file=trusted)
        with pytest.raises(RemoteError, match="not trusted"):
            client.infer(sample())
        trusted.unlink()
        trusted.write_bytes(certificates.ca.read_bytes())
        assert_right(client.infer(sample()), sample())


def test_files_that_are_no_certificates(tmp_path: Path, certificates: Certificates, clients: Clients) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"\0garbage")
    device = certificates.made("device2")
    for settings, said in (
        ({"ca_file": garbage}, "ca_file .*garbage.pem cannot be used: .*give a PEM file"),
        ({"ca_file": tmp_path / "none.pem"}, "none.pem: No such file"),
        ({"cert_file": device}, "cert_file .*device2.pem and its key cannot be used"),
        ({"cert_file": device, "key_file": certificates.folder / "ca.key"}, "its key cannot be used: "),
        ({"cert_file": garbage}, "cannot be used"),
    ):
        with pytest.raises(RemoteError, match=said):
            clients("https://127.0.0.1:1", **settings).infer(sample())
