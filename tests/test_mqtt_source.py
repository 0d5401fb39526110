"""MQTT topics of a real broker, which is killed, frozen, silent, strict or encrypted."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed; it comes with the extra mqtt")

from paho.mqtt import client as paho

import edge_sdk.sources.mqtt_connection
from edge_sdk import Event, Loop
from edge_sdk.errors import ConfigError, SourceError, SourceLostError
from edge_sdk.sources import Source, source_from
from edge_sdk.sources.packets import Fields, Layout
from edge_sdk.sources.payloads import BytesDecoder, JsonDecoder
from tests.mqtt_broker import SECRET, Mosquitto
from tests.small_bundles import null_bundle
from tests.source_contract import SourceContract, open_files

MS = 1_000_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("secure"), secure=True)
    yield broker
    broker.stop()


@contextmanager
def publisher(broker: Mosquitto) -> Iterator[Callable[..., None]]:
    """A function that publishes, and returns when the broker has it."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if broker.secure:
        client.username_pw_set("me", SECRET)
        client.tls_set(str(broker.folder / "ca.crt"))
    client.connect("localhost" if broker.secure else "127.0.0.1", broker.port)
    client.loop_start()

    def publish(payload: bytes | str, topic: str = "open/x", **more: object) -> None:
        client.publish(topic, payload, qos=1, **more).wait_for_publish(10)

    yield publish
    client.disconnect()
    client.loop_stop()
    client._reset_sockets()  # which it would keep as long as it lives


def opened(broker: Mosquitto, settings: str = "", topic: str = "open/x") -> Source:
    source = source_from(f"mqtt://127.0.0.1:{broker.port}/{topic}?qos=1{settings}")
    source.open()
    return source


class TestSignal(SourceContract):
    count = None

    @pytest.fixture
    def make(self, broker: Mosquitto) -> Iterator[Callable[[], Source]]:
        ends = threading.Event()

        def publish_all() -> None:
            number = 0
            with publisher(broker) as publish:
                while not ends.wait(0.003):
                    publish(json.dumps([number, -number]), "open/contract")
                    number += 1

        thread = threading.Thread(target=publish_all)
        thread.start()
        yield lambda: source_from(f"mqtt://127.0.0.1:{broker.port}/open/contract")
        ends.set()
        thread.join()

    def test_nothing_is_lost_or_changed(self, make: Callable[[], Source]) -> None:
        with make() as source:
            samples = [source.read() for _ in range(6)]
        data = np.concatenate([sample.data for sample in samples])
        np.testing.assert_array_equal(data[:, 0], data[0, 0] + np.arange(len(data)))
        np.testing.assert_array_equal(data[:, 1], -data[:, 0])
        assert source.channels == ("0", "1")
        assert all(np.all(np.diff(sample.times_ns) > 0) for sample in samples)


class TestImages(SourceContract):
    count = None

    @pytest.fixture
    def make(self, broker: Mosquitto) -> Iterator[Callable[[], Source]]:
        ends = threading.Event()
        image = cv2.imencode(".jpg", np.full((8, 16, 3), 77, np.uint8))[1].tobytes()

        def publish_all() -> None:
            with publisher(broker) as publish:
                while not ends.wait(0.003):
                    publish(image, "open/images")

        thread = threading.Thread(target=publish_all)
        thread.start()
        yield lambda: source_from(f"mqtt://127.0.0.1:{broker.port}/open/images?payload=image")
        ends.set()
        thread.join()

    def test_are_decoded(self, make: Callable[[], Source]) -> None:
        with make() as source:
            sample = source.read()
        assert sample.data.shape == (8, 16, 3) and np.all(sample.data == 77) and sample.times_ns is None
        assert source.live and source.backlog == 1

    def test_none_is_lost_where_several_come_at_once(self, broker: Mosquitto) -> None:
        """Of QoS 2 the client takes as many packets in one go as it has begun messages."""
        image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        with closing(source_from(f"mqtt://127.0.0.1:{broker.port}/open/images?payload=image&qos=2")) as source:
            source.open()
            for _ in range(20):
                client.publish("open/images", image, qos=2)
            client.loop_start()
            for _ in range(20):
                assert source.read() is not None
        client.disconnect()
        client.loop_stop()
        client._reset_sockets()


@pytest.mark.parametrize(
    ("settings", "payload", "data", "steps_ms"),
    [
        ("", "1.5", [[1.5]], []),
        ("", "[1, -2, 3e3]", [[1, -2, 3000]], []),
        ("&rate_hz=100", "[[1, 2], [3, NaN]]", [[1, 2], [3, np.nan]], [10]),
        (
            "&keys=a.x,b&time=t",
            '[{"a": {"x": 1}, "b": 2, "t": 5}, {"a": {"x": 3}, "b": 4, "t": 8}]',
            [[1, 2], [3, 4]],
            [3],
        ),
        ("&payload=csv&time=0&columns=2", "0,9,1\r\n20,9,2", [[1], [2]], [20]),
        ("&payload=binary&format=<Ih&time=0&time_unit=us", struct.pack("<Ih", 7, -1), [[-1]], []),
        ("&payload=binary&format=>3h&rate_hz=1000", struct.pack(">6h", *range(6)), [[0, 1, 2], [3, 4, 5]], [1]),
    ],
)
def test_payloads_of_every_form(
    broker: Mosquitto, settings: str, payload: bytes | str, data: list[object], steps_ms: list[int]
) -> None:
    with closing(opened(broker, settings)) as source, publisher(broker) as publish:
        publish(payload)
        sample = source.read()
    np.testing.assert_array_equal(sample.data, data)
    assert (np.diff(sample.times_ns) / MS).tolist() == steps_ms and sample.captured_ns <= time.monotonic_ns()


@pytest.mark.parametrize(
    ("settings", "payload", "message"),
    [
        ("", "21 C", r"mqtt://127.0.0.1:\d+/open/x: '21 C' is no JSON"),
        ("", b"\xff\xd8\x00", "is no JSON"),
        ("", "[" * 100_000, "is no JSON"),
        ("", "", "'' is no JSON"),
        ("", "null", "None is no number"),
        ("", "true", "True is no number"),
        ("", '["1"]', "'1' is no number"),
        ("", "1" + "0" * 400, "too large"),
        ("&channels=a,b", "[1, 2, 3]", "3 numbers, not 2"),
        ("", '{"x": 1, "y": 2}', "an object; say which keys are the channels by keys=, of x, y"),
        ("&keys=a.b", '{"a": 1}', "there is no a.b"),
        ("&keys=a&time=t", '{"a": 1, "t": NaN}', "t is nan"),
        ("&payload=csv", "a,b", "1 of 1 lines hold no reading, such as 'a,b': 'a' is no number"),
        ("&payload=binary&format=<3h", b"12345", "5 bytes, where a reading has 6"),
        ("&max_bytes=10&version=3.1.1", "[1, 2, 3, 4]", "a message of 12 bytes; max_bytes=10 allows no more"),
    ],
)
def test_a_broken_message_is_told_and_the_next_one_read(
    broker: Mosquitto, settings: str, payload: bytes | str, message: str
) -> None:
    good = {"&keys=a.b": '{"a": {"b": 1}}', "&keys=a&time=t": '{"a": 1, "t": 1}', "&channels=a,b": "[1, 2]"}
    with closing(opened(broker, settings)) as source, publisher(broker) as publish:
        publish(payload)
        with pytest.raises(SourceError, match=message) as caught:
            source.read()
        assert not isinstance(caught.value, SourceLostError)
        publish(b"123456" if "binary" in settings else good.get(settings, "1"))
        assert source.read().data.size


def test_several_broken_messages_are_told_together(broker: Mosquitto) -> None:
    with closing(opened(broker, "&rate_hz=1000")) as source, publisher(broker) as publish:
        publish("1")
        source.read()
        for payload in ("[2]", "no", "[3]", "no", "4"):
            publish(payload)
        found: list[object] = []
        while len(found) < 5:
            try:
                found += source.read().data[:, 0].tolist()
            except SourceError as exc:
                found += ["broken"] * (int(str(exc).split(": ")[1].split()[0]) if "messages" in str(exc) else 1)
        assert sorted(map(str, found)) == ["2.0", "3.0", "4.0", "broken", "broken"]


def test_larger_messages_are_not_even_sent(broker: Mosquitto) -> None:
    with closing(opened(broker, "&max_bytes=1000")) as source, publisher(broker) as publish:
        publish("[" + "1," * 4000 + "1]")
        publish("2")
        assert source.read().data.tolist() == [[2]]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_retained_message_is_old_unless_it_is_wanted(broker: Mosquitto, version: str) -> None:
    topic = f"open/retained/{version}"
    with publisher(broker) as publish:
        publish("1", topic, retain=True)
        with closing(opened(broker, f"&retained=1&version={version}", topic)) as source:
            assert source.read().data.tolist() == [[1]]
        with closing(opened(broker, f"&version={version}", topic)) as source:
            publish("2", topic)
            if version == "3.1.1":
                with pytest.raises(SourceError, match="a retained message, which is of any age; retained=1 takes it"):
                    source.read()
            assert source.read().data.tolist() == [[2]]


def test_an_image_that_is_none_is_told(broker: Mosquitto) -> None:
    with closing(opened(broker, "&payload=image")) as source, publisher(broker) as publish:
        for payload in (b"", b"no image", cv2.imencode(".png", np.zeros((2, 3)))[1].tobytes()):
            publish(payload)
        for _ in range(2):
            with pytest.raises(SourceError, match="a message that is no image that OpenCV can decode"):
                source.read()
        assert source.read().data.shape == (2, 3, 3)


def test_closing_ends_a_wait_and_leaves_nothing(broker: Mosquitto) -> None:
    before = open_files()
    source = opened(broker)
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(source.read()))
    waiting.start()
    source.close()
    waiting.join(5)
    assert got == [None] and open_files() == before
    assert [thread.name for thread in threading.enumerate() if "paho" in thread.name] == []


# TLS, users and their rights


def secured(secure: Mosquitto, settings: str, host: str = "localhost", topic: str = "open/x") -> Source:
    return source_from(f"mqtt://{host}:{secure.port}/{topic}?tls=1&ca={secure.folder}/ca.crt{settings}")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text(SECRET + "\n")
    return tmp_path / "password"


def test_an_encrypted_broker_with_a_password(
    secure: Mosquitto, password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", SECRET)
    with publisher(secure) as publish:
        for settings in (f"password_file={password_file}", "password_env=BROKER_PASSWORD"):
            with secured(secure, f"&user=me&{settings}") as source:
                for number in range(3):
                    publish(f"[{number}]" + " " * 30_000)  # longer than a record of TLS
                    assert source.read().data.tolist() == [[number]]


@pytest.mark.parametrize(
    ("settings", "host", "topic", "message"),
    [
        ("", "localhost", "open/x", "refuses to connect: Not authorized. It may need user"),
        (
            "&user=me&password_env=WRONG",
            "localhost",
            "open/x",
            "refuses to connect: Not authorized. Check user and password",
        ),
        ("&user=me&password_env=MISSING", "localhost", "open/x", "the environment has no MISSING"),
        (
            "&user=me&password_file=/none",
            "localhost",
            "open/x",
            "/none does not exist; give a file that holds the password",
        ),
        ("", "127.0.0.1", "open/x", "certificate is not trusted: .*mismatch"),
    ],
)
def test_what_an_encrypted_broker_refuses(
    secure: Mosquitto, monkeypatch: pytest.MonkeyPatch, settings: str, host: str, topic: str, message: str
) -> None:
    monkeypatch.setenv("WRONG", "hunter2")
    before = open_files()
    with pytest.raises(SourceError, match=message) as caught:
        secured(secure, settings, host, topic).open()
    assert "hunter2" not in str(caught.value) and open_files() == before


def test_a_certificate_of_somebody_else_is_not_trusted(secure: Mosquitto) -> None:
    with pytest.raises(SourceError, match=r"not trusted: .*Name the authority's: ca=FILE.crt"):
        source_from(f"mqtt://localhost:{secure.port}/x?tls=1").open()
    with pytest.raises(SourceError, match="ca, certificate or key cannot be used: No such file"):
        source_from(f"mqtt://localhost:{secure.port}/x?tls=1&ca=/none").open()


# Brokers that are away


def test_no_broker_says_so(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match=r"no broker answers at 127.0.0.1, port \d+: Connection refused"):
            source_from(f"mqtt://127.0.0.1:{taken.getsockname()[1]}/x").open()
    with pytest.raises(SourceError, match=r"no.such.host.invalid is no known host"):
        source_from("mqtt://no.such.host.invalid/x").open()
    monkeypatch.setattr(edge_sdk.sources.mqtt_connection, "ANSWER_S", 0.3)
    with pytest.raises(SourceError, match=r"no TLS with this broker|no broker answers"):
        source_from(f"mqtt://127.0.0.1:{broker.port}/x?tls=1").open()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "the broker did not answer to connect within 0.3 s; is its TLS port"),
        (b"\x20\x02\x00\x01", "use version=3.1.1|went away"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "went away|did not answer"),
        (b"\x20\x00", "went away|did not answer"),
        (b"\x20\x03\x00\x00\x00", "the broker did not answer to subscribe within 0.3 s"),
        (
            b"\x20\x03\x00\x00\x00\x90\x04\x00\x01\x00\x87",
            "refuses to subscribe: Not authorized. Does its access control",
        ),
        (b"\x20\x03\x00\x00\x00\x30\xff\xff\xff\xff\xff", "went away|did not answer"),
    ],
)
def test_a_broker_that_is_slow_or_none_is_told_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, message: str
) -> None:
    monkeypatch.setattr(edge_sdk.sources.mqtt_connection, "ANSWER_S", 0.3)
    before = open_files()
    with socket.create_server(("127.0.0.1", 0)) as server:
        talking: list[socket.socket] = []

        def serve() -> None:
            connection, _ = server.accept()
            talking.append(connection)
            connection.recv(1000)
            connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        with pytest.raises(SourceError, match=message):
            source_from(f"mqtt://127.0.0.1:{server.getsockname()[1]}/x").open()
        assert time.monotonic() - began < 3
        thread.join()
        talking[0].close()
    assert open_files() == before


def test_a_broker_that_is_down_for_long_costs_nothing() -> None:
    """As many openings as in half an hour; each of them fails."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = source_from(f"mqtt://127.0.0.1:{taken.getsockname()[1]}/x")
        before, threads = open_files(), threading.active_count()
        for _ in range(400):
            with pytest.raises(SourceError, match="no broker answers"):
                source.open()
            source.close()
        assert open_files() == before and threading.active_count() == threads


def test_an_opening_is_given_up_when_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = source_from(f"mqtt://127.0.0.1:{server.getsockname()[1]}/x")
        failures: list[Exception] = []

        def open_() -> None:
            try:
                source.open()
            except SourceError as exc:
                failures.append(exc)

        thread = threading.Thread(target=open_)
        thread.start()
        connection, _ = server.accept()
        connection.recv(1000)  # it waits for the answer now
        source.close()
        thread.join(2)
        connection.close()
        assert len(failures) == 1 and "was closed while it was being opened" in str(failures[0])


def test_a_frozen_broker_is_missed_by_its_keep_alive(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    try:
        with closing(opened(broker, "&keepalive_s=1")) as source:
            broker.freeze()
            with pytest.raises(SourceLostError, match="the broker went away"):
                source.read()
    finally:
        broker.stop()


def test_a_broker_that_is_killed_and_comes_back_is_survived(tmp_path: Path) -> None:
    """By the loop: the outage is one event, the readings go on, and neither threads nor sockets are left."""
    before, threads = open_files(), threading.active_count()
    broker = Mosquitto(tmp_path)
    bundle = null_bundle(tmp_path / "null.edge")
    seen: list[Event] = []
    away, back = threading.Event(), threading.Event()

    def on_event(event: Event) -> None:
        seen.append(event)
        {"source_lost": away, "source_back": back}.get(event.kind, threading.Event()).set()

    source = source_from(f"mqtt://127.0.0.1:{broker.port}/open/x?payload=json")
    try:
        with Loop(
            bundle, source, deadline_ms=5_000, engine="null", isolation="none", reopen_s=60, on_event=on_event
        ) as loop:
            results = iter(loop)
            with publisher(broker) as publish:
                publish("[1, 2, 3, 4]")
                assert next(results).sample.data.tolist() == [[1, 2, 3, 4]]
            broker.stop()
            assert away.wait(10)
            with socket.socket() as probe:  # some tries fail meanwhile
                assert probe.connect_ex(("127.0.0.1", broker.port))
            time.sleep(0.5)
            broker.start()
            assert back.wait(10)
            with publisher(broker) as publish:
                publish("[5, 6, 7, 8]")
                result = next(results)
                assert result.sample.data.tolist() == [[5, 6, 7, 8]] and result.sequence == 1
        assert [event.kind for event in seen if "source" in event.kind] == ["source_lost", "source_back"]
    finally:
        broker.stop()
    assert open_files() == before and threading.active_count() == threads


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mqtt:host/topic", "an address is //host/topic"),
        ("mqtt://host", "an address is //host/topic"),
        ("mqtt://host:0/x", "an address is //host/topic"),
        ("mqtt://host:1883x/x", "an address is //host/topic"),
        ("mqtt://me:hunter2@host/x", "a user and a password do not belong into an address"),
        ("mqtt://host/a/+/b", "a topic has no wildcards"),
        ("mqtt://host/a/#", "a topic has no wildcards"),
        ("mqtt://host/x?qos=3", "qos"),
        ("mqtt://host/x?payload=binary", "payload=binary needs a format"),
        ("mqtt://host/x?format=<h", "payload=binary needs a format"),
        ("mqtt://host/x?payload=csv&keys=a", "keys are of payload=json"),
        ("mqtt://host/x?payload=csv&time=t", "is named by its position"),
        ("mqtt://host/x?time=t", "the time of JSON stands in an object"),
        ("mqtt://host/x?payload=binary&format=<2h&time=2", "there is no number 2; a reading has 2"),
        ("mqtt://host/x?user=me&password_env=A&password_file=b", "give password_file or password_env"),
        ("mqtt://host/x?password_env=A", "a password needs a user"),
        ("mqtt://host/x?ca=ca.crt", "are of tls=1"),
        ("mqtt://host/x?password=hunter2", "password: no such key"),
    ],
)
def test_settings_that_do_not_fit(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        source_from(text)
    assert "hunter2" not in str(caught.value)


def test_an_address_of_numbers() -> None:
    broker = source_from("mqtt://[::1]:1884/a/b?tls=1").settings.broker()
    assert (broker.host, broker.port, broker.topic, str(broker)) == ("::1", 1884, "a/b", "mqtt://[::1]:1884/a/b")
    assert source_from("mqtt://h/x?tls=1").settings.broker().port == 8883


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abt"), inner, max_size=3),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_payload_is_readings_or_broken(payload: bytes) -> None:
    for decoder in (
        JsonDecoder(),
        JsonDecoder(("a.b",), time="t", time_ns=1_000_000),
        BytesDecoder(Layout("<hd"), Fields(2, None, 1, 10**9)),
    ):
        parsed = decoder.feed(payload)
        assert len(parsed.data) == len(parsed.places) and (parsed.count > len(parsed.data)) == bool(parsed.broken)
        assert parsed.times_ns is None or len(parsed.times_ns) == len(parsed.data)
        assert parsed.broken.isprintable()
