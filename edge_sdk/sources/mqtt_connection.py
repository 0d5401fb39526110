"""A connection to an MQTT broker that receives one topic, driven by the thread that reads, without one of its own."""

from __future__ import annotations

import select
import socket
import ssl
import struct
from dataclasses import dataclass
from time import monotonic, monotonic_ns
from typing import Any

from edge_sdk.errors import SourceError, SourceLostError, needs
from edge_sdk.sources.held import Held, Wake
from edge_sdk.sources.mqtt_broker import Broker, Tls, password_of, tls_of

ANSWER_S = 5.0  # a broker that needs longer for one step does not answer
_TURN_S = 1.0  # between two looks at the keep-alive
_MOST_MESSAGES, _MOST_BYTES = 1024, 8 << 20  # taken in one go
_SPARE_BYTES = 1 << 10  # of a packet, for all but the payload


@dataclass(frozen=True)
class Message:
    """What was published.

    Attributes:
        payload: its bytes.
        came_ns: when it came, by ``time.monotonic_ns``.
        broken: why it cannot be used, or "".
    """

    payload: bytes
    came_ns: int
    broken: str = ""


class MqttConnection:
    """One connection; made anew for each opening.

    Args:
        broker: where to.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._client: Any = None
        self._tls: Tls | None = None
        self._messages: list[Message] = []
        self._bytes = 0
        self._answers: dict[str, Any] = {}  # to CONNECT and SUBSCRIBE: the reason code
        self._farewell = ""
        self._wake = Wake()
        self._held = Held(self._release, self._wake)
        self.use = self._held.use
        self.give_up = self._held.give_up

    def open(self) -> None:
        """Connect and subscribe, within a bounded time.

        Raises:
            SourceError: if that fails, or the connection is given up meanwhile.
            MissingPackageError: if paho-mqtt is not installed.
        """
        try:
            with self.use() as is_held:
                if is_held:
                    self._connect()
        except BaseException:
            self.give_up()
            raise
        if self._held.given_up:
            raise self._closed()

    def _connect(self) -> None:
        broker = self._broker
        client = self._client = self._made()
        arguments: dict[str, Any] = {"keepalive": broker.keepalive_s}
        try:
            if broker.version == "5":
                arguments |= {"clean_start": True, "properties": self._properties()}
            client.connect(broker.host, broker.port, **arguments)
        except ssl.SSLCertVerificationError as exc:
            raise SourceError(
                f"{broker}: the broker's certificate is not trusted: {exc.verify_message}. Name the authority's: ca=FILE.crt"
            ) from exc
        except ssl.SSLError as exc:
            raise SourceError(
                f"{broker}: no TLS with this broker: {exc.reason or exc}. Is port {broker.port} its TLS port?"
            ) from exc
        except socket.gaierror as exc:
            raise SourceError(f"{broker}: {broker.host} is no known host: {exc.strerror}") from exc
        except (OSError, ValueError) as exc:  # ValueError: a host's name that is none
            reason = (isinstance(exc, OSError) and exc.strerror) or str(exc)
            raise SourceError(f"{broker}: no broker answers at {broker.host}, port {broker.port}: {reason}") from exc
        self._await("connect", "is its TLS port asked without tls=1, or is it no MQTT broker?")
        client.subscribe(broker.topic, **self._options())
        self._await("subscribe", "look into the broker's log")

    def take(self, gather_until_ns: int = 0, most: int = _MOST_MESSAGES) -> list[Message] | None:
        """The messages that have come, at least one, or None if it was given up; to be called in ``use``. Waits for them.

        Args:
            gather_until_ns: until when to wait for more, by ``time.monotonic_ns``.
            most: how many to take.

        Raises:
            SourceLostError: if the broker went away.
        """
        while True:
            gather_s = (gather_until_ns - monotonic_ns()) / 1e9
            if self._messages and (gather_s <= 0 or len(self._messages) >= most or self._bytes >= _MOST_BYTES):
                messages, self._messages = self._messages[:most], self._messages[most:]
                self._bytes = sum(len(message.payload) for message in self._messages)
                return messages
            if not self._turn(min(gather_s, _TURN_S) if self._messages else _TURN_S):
                return None

    @staticmethod
    def _pending(sock: Any) -> bool:
        """Whether bytes wait that TLS has taken from the socket already."""
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _turn(self, wait_s: float) -> bool:
        """Wait for the broker once, and take a packet; False if the connection was given up."""
        client = self._client
        sock = client.socket()
        if sock is None:
            raise self._lost("the connection was closed")
        events = select.POLLIN | (select.POLLOUT if client.want_write() else 0)
        ready = self._wake.wait(sock.fileno(), 0 if self._pending(sock) else wait_s, events)
        if ready is None:
            return False
        try:
            done = 0
            if ready & ~select.POLLOUT or self._pending(sock):
                done = client.loop_read()
            if client.want_write() and not done:
                done = client.loop_write()
            done = done or client.loop_misc()
        except (ValueError, IndexError, struct.error) as exc:  # how paho meets a packet that is none
            raise self._lost(f"it sent what is no MQTT: {exc}") from exc
        for step, answer in self._answers.items():
            if answer.is_failure:  # after which the broker closes the connection
                raise self._refused(step)
        if done:
            from paho.mqtt.client import error_string

            raise self._lost(self._farewell or error_string(done))
        return True

    def _await(self, step: str, hint: str) -> None:
        """Wait for the broker's answer to a step, and raise if it is no."""
        until = monotonic() + ANSWER_S
        while step not in self._answers:
            left_s = until - monotonic()
            if left_s <= 0:
                raise SourceError(f"{self._broker}: the broker did not answer to {step} within {ANSWER_S:g} s; {hint}")
            if not self._turn(left_s):
                raise self._closed()

    def _refused(self, step: str) -> SourceError:
        answer = str(self._answers[step])
        if "protocol" in answer:
            advice = "It is an older one: use version=3.1.1"
        elif step == "subscribe":
            advice = "Does its access control let this user read the topic?"
        else:
            advice = "Check user and password" if self._broker.user else "It may need user, and password_file"
        return SourceError(f"{self._broker}: the broker refuses to {step}: {answer}. {advice}")

    def _lost(self, reason: str) -> SourceLostError:
        return SourceLostError(f"{self._broker}: the broker went away: {reason}")

    def _closed(self) -> SourceError:
        return SourceError(f"{self._broker} was closed while it was being opened")

    def _made(self) -> Any:
        broker = self._broker
        with needs("paho", for_="receiving MQTT", extra="mqtt"):
            from paho.mqtt import client as mqtt
        protocol = mqtt.MQTTv5 if broker.version == "5" else mqtt.MQTTv311
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=broker.client_id, protocol=protocol)
        client.connect_timeout = ANSWER_S
        if broker.user is not None:
            client.username_pw_set(broker.user, password_of(broker))
        if broker.tls:
            self._tls = tls_of(broker)
            client.tls_set_context(self._tls)
        client.on_connect = lambda _c, _u, _flags, code, _properties: self._answers.setdefault("connect", code)
        client.on_subscribe = lambda _c, _u, _mid, codes, _properties: self._answers.setdefault("subscribe", codes[0])
        client.on_disconnect = lambda _c, _u, flags, code, _properties: self._disconnected(flags, code)
        client.on_message = lambda _c, _u, message: self._came(message)
        return client

    def _disconnected(self, flags: Any, code: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._farewell = str(code)

    def _properties(self) -> Any:
        """What is told on connecting: larger messages are not to be sent at all."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = self._broker.max_bytes + _SPARE_BYTES
        return properties

    def _options(self) -> dict[str, Any]:
        if self._broker.version != "5":
            return {"qos": self._broker.qos}
        from paho.mqtt.subscribeoptions import SubscribeOptions

        send_retained, none = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE, SubscribeOptions.RETAIN_DO_NOT_SEND
        return {
            "options": SubscribeOptions(
                self._broker.qos, retainHandling=send_retained if self._broker.retained else none
            )
        }

    def _came(self, message: Any) -> None:
        payload, broken = message.payload, ""
        if message.retain and not self._broker.retained:
            payload, broken = b"", "a retained message, which is of any age; retained=1 takes it"
        elif len(payload) > self._broker.max_bytes:
            payload, broken = (
                b"",
                f"a message of {len(payload)} bytes; max_bytes={self._broker.max_bytes} allows no more",
            )
        self._messages.append(Message(payload, monotonic_ns(), broken))
        self._bytes += len(payload)

    def _release(self) -> None:
        """Say good-bye, without waiting, and close the socket."""
        client, self._client = self._client, None
        try:
            if client is not None and client.socket() is not None:
                client.disconnect()
            if client is not None and (sock := client.socket()) is not None:
                sock.close()
            if self._tls is not None and self._tls.made is not None:
                self._tls.made.close()
        finally:
            self._wake.close()
