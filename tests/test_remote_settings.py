"""Servers that are not there, settings that cannot be, and tokens, which nobody but the server gets to see."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_sdk.errors import RemoteError
from edge_sdk.remote import lookup
from edge_sdk.remote.settings import ServerSettings
from tests.inference_faults import (
    http,
)
from tests.inference_servers import RestServer
from tests.remote_fixtures import Clients
from tests.remote_models import INPUTS, OUTPUTS, rows, sample

SECRET = "s3cr3t-t0ken"


@pytest.fixture
def server() -> Iterator[RestServer]:
    with RestServer(rows, INPUTS, OUTPUTS) as server:
        yield server


def test_a_name_server_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, clients: Clients
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(lookup, "_numbers", lambda *_: answered.wait(20) and [])
    client = clients("http://slow.example:80", connect_ms=200)
    try:
        for _ in range(3):  # one lookup for all, so that threads do not add up
            began = time.monotonic()
            with pytest.raises(RemoteError, match=r"no connection|looking up|takes too long"):
                client.infer(sample())
            assert time.monotonic() - began < 0.5
        assert sum(t.name == "look up slow.example" for t in threading.enumerate()) == 1
    finally:
        answered.set()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://no-such-host.invalid:80", "host no-such-host.invalid cannot be found"),
        ("http://127.0.0.1:{free}", "nothing listens there"),
        ("http://[::1]:{free}", "nothing listens there|cannot be reached"),
    ],
)
def test_a_server_that_is_not_there(url: str, said: str, clients: Clients) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RemoteError, match=said):
        clients(url.format(free=port)).infer(sample())


def test_the_token_is_shown_to_the_server_and_to_nobody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, clients: Clients
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "token"
    file.write_text("wrong-one\n")
    with RestServer(rows, INPUTS, OUTPUTS, token=SECRET) as server:
        client = clients(server.url, token_file=file)
        with pytest.raises(
            RemoteError, match=r"401 Unauthorized: who are you\? \(the token is missing or wrong"
        ) as caught:
            client.infer(sample())
        file.write_text(f"{SECRET}\n")  # it was renewed
        client.infer(sample())
        server.script = lambda talk: talk.send(http("500 No", json.dumps({"error": "bad"}).encode()))
        with pytest.raises(RemoteError) as failed:
            client.infer(sample())
        monkeypatch.setenv("MY_TOKEN", SECRET)
        server.script = None
        clients(server.url, token_env="MY_TOKEN").infer(sample())
        said = [caplog.text, repr(client), client.description, repr(vars(client)), repr(client.settings)]
        for error in (caught.value, failed.value):
            said += [str(error), repr(error), str(error.__cause__), str(error.__context__)]
        assert not any(token in text for text in said for token in (SECRET, "wrong-one"))


@pytest.mark.parametrize("content", ["", "two words", "new\nline\r\nX: y", "caf\u00e9", "\x00"])
def test_what_is_no_token_is_never_sent_nor_said(
    content: str, tmp_path: Path, server: RestServer, clients: Clients
) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(RemoteError, match=r"token_file .* holds no token") as caught:
        clients(server.url, token_file=file).infer(sample())
    assert not server.requests and (not content or content not in str(caught.value))


def test_a_token_that_is_not_where_the_settings_say(tmp_path: Path, server: RestServer, clients: Clients) -> None:
    with pytest.raises(RemoteError, match="No such file"):
        clients(server.url, token_file=tmp_path / "none").infer(sample())
    with pytest.raises(RemoteError, match="the environment has no NO_SUCH_TOKEN"):
        clients(server.url, token_env="NO_SUCH_TOKEN").infer(sample())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "ftp://host"}, "begins with http://, https://"),
        ({"url": "http://me:s3cr3t@host"}, "has no user, password"),
        ({"url": "http://host/?token=s3cr3t"}, "has no user, password, query"),
        ({"url": "http://host:99999"}, "a port up to 65535"),
        ({"url": "http://host:s3cr3t"}, "a port up to 65535"),
        ({"url": "http://me:s3cr3t@ho\u2100st"}, "names a host"),
        ({"url": "http://"}, "names a host"),
        ({"url": "http://ho st"}, "no blanks"),
        ({"url": "http://host\r\nX: s3cr3t"}, "no blanks"),
        ({"url": "grpc://host"}, "protocol v2-rest needs a url that begins with http://"),
        ({"url": "http://host", "protocol": "v2-grpc"}, "needs a url that begins with grpc://"),
        ({"url": "http://host", "key_file": "k"}, "key_file needs cert_file"),
        ({"url": "http://host", "ca_file": "k"}, "are for TLS"),
        ({"url": "https://host", "token_file": "a", "token_env": "b"}, "not in both"),
        ({"url": "http://host", "token_env": "b"}, "unencrypted"),
        ({"url": "http://host", "timeout_ms": 0}, "greater than 0"),
        ({"url": "http://host", "token": "s3cr3t"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_refused_without_their_secrets(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        ServerSettings.model_validate({"protocol": "v2-rest", "model": "m", **settings})
    assert "s3cr3t" not in str(caught.value)
