"""An MQTT topic: readings, or images, that somebody publishes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError
from edge_sdk.kinds import Names, Positions, Settings
from edge_sdk.sources import Source
from edge_sdk.sources.capture import opencv
from edge_sdk.sources.lines import SEPARATORS, LineDecoder, Separator
from edge_sdk.sources.mqtt_broker import Broker
from edge_sdk.sources.mqtt_connection import Message, MqttConnection
from edge_sdk.sources.packets import Fields, Format, Layout
from edge_sdk.sources.parsed import UNIT_NS, Decoder, Parsed, ParsedSource, TimeUnit
from edge_sdk.sources.payloads import BytesDecoder, JsonDecoder, TextDecoder, joined, nothing
from edge_sdk.sources.stamps import PIECE_NS
from edge_sdk.tensors import Array

_ADDRESS = re.compile(
    r"//(?P<host>\[[0-9a-fA-F:.%a-z]+\]|[^/:@\[\]\s]+)(:(?P<port>[0-9]{1,5}))?/(?P<topic>.+)", re.DOTALL
)


class MqttSettings(Settings):
    """``mqtt://broker.local/machine/accel?keys=x,y,z`` or ``mqtt://broker:8883/cam?payload=image&tls=1&user=me&password_file=secret``.

    Attributes:
        address: ``//host/topic`` or ``//host:port/topic``; the port is 1883, with TLS 8883. One topic, without wildcards.
        payload: ``json``: a number, a list of numbers, or an object, or a list of lists or objects; ``csv``: lines; ``binary``: numbers in
            bytes, one reading after the other; ``image``: a JPEG, PNG or another that OpenCV decodes.
        keys: of JSON objects: the channels; ``accel.x`` is the key x of the object at accel.
        format: of binary readings: numbers as in Python's module ``struct``.
        separator: of CSV: ``comma``, ``semicolon``, ``tab`` or ``space``.
        columns: of CSV or binary readings, which are the channels (positions from 0); without it, all but the time.
        channels: their names; without them, their positions. Those of objects are the keys.
        time: the key, or position, of the time, by the publisher's clock, which may count from any moment.
        time_unit: of it: ``s``, ``ms``, ``us`` or ``ns``.
        rate_hz: readings a second, where that is known: without a ``time``, they are then taken to be evenly spaced.
        qos: 0, 1 or 2. What is published while the broker is away is lost with each of them: it would be old.
        retained: take the message that the broker has kept, of any age, too.
        max_bytes: of a payload; brokers of version 5 do not send larger ones.
        version: of the protocol: ``5`` or ``3.1.1``.
        tls: encrypt, and check the broker's certificate.
        ca: the authority's certificate (PEM); without it, those of the system.
        certificate, key: the client's own (PEM), where the broker wants one.
        user: its name.
        password_file: a file that holds the password.
        password_env: the variable of the environment that does.
        client_id: the client's; without it, the broker gives one.
        keepalive_s: how soon a broker that is silently gone is missed: within twice that.
    """

    location: ClassVar[str | None] = "address"

    address: str
    payload: Literal["json", "csv", "binary", "image"] = "json"
    keys: Names = ()
    format: Format | None = None
    separator: Separator = "comma"
    columns: Positions | None = None
    channels: Names = ()
    time: str | None = None
    time_unit: TimeUnit = "ms"
    rate_hz: float | None = Field(default=None, ge=1e-6, le=1e6)
    qos: int = Field(default=0, ge=0, le=2)
    retained: bool = False
    max_bytes: int = Field(default=4 << 20, ge=1, le=256 << 20)
    version: Literal["5", "3.1.1"] = "5"
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    password_env: str | None = None
    client_id: str = Field(default="", max_length=256)
    keepalive_s: int = Field(default=15, ge=1, le=3600)

    @field_validator("address")
    @classmethod
    def _form(cls, address: str) -> str:
        match = _ADDRESS.fullmatch(address)
        if "@" in address.partition("/")[2].lstrip("/").partition("/")[0]:
            raise ValueError(
                "a user and a password do not belong into an address, which is shown; use user and password_file"
            )
        if match is None or not 0 < int(match["port"] or 1) < 65536:
            raise ValueError("an address is //host/topic or //host:port/topic")
        if set(match["topic"]) & set("+#\0") or len(match["topic"].encode(errors="replace")) > 65535:
            raise ValueError("a topic has no wildcards (+, #): the readings of several publishers would mix; name one")
        return address

    @model_validator(mode="after")
    def _fit(self) -> MqttSettings:
        if (self.format is not None) != (self.payload == "binary"):
            raise ValueError("payload=binary needs a format, such as format=<3h, and nothing else does")
        if self.keys and self.payload != "json":
            raise ValueError("keys are of payload=json")
        if self.keys and self.channels:
            raise ValueError("give keys or channels: the channels of objects are their keys")
        if self.payload in ("csv", "binary") and self.time is not None and not self.time.isdecimal():
            raise ValueError(f"time={self.time}: the time of {self.payload} is named by its position, from 0")
        if self.payload == "json" and self.time is not None and not self.keys:
            raise ValueError("the time of JSON stands in an object; name its channels by keys")
        if self.time is not None and self.rate_hz is not None:
            raise ValueError("give the time or rate_hz: readings with times need no rate")
        self._fit_access()
        if self.payload != "image":
            self.decoder()
        return self

    def _fit_access(self) -> None:
        if self.password_file is not None and self.password_env is not None:
            raise ValueError("give password_file or password_env")
        if (self.password_file or self.password_env) and self.user is None:
            raise ValueError("a password needs a user")
        if (self.ca or self.certificate or self.key) and not self.tls:
            raise ValueError("ca, certificate and key are of tls=1")
        if self.key is not None and self.certificate is None:
            raise ValueError("a key needs its certificate")

    def broker(self) -> Broker:
        """Where the topic is, and how it is reached."""
        match = _ADDRESS.fullmatch(self.address)
        assert match is not None  # noqa: S101 - checked above
        port = int(match["port"] or (8883 if self.tls else 1883))
        same = {name: getattr(self, name) for name in Broker.__dataclass_fields__ if name in MqttSettings.model_fields}
        return Broker(host=match["host"].strip("[]"), port=port, topic=match["topic"], **same)

    def decoder(self) -> Decoder:
        """A new one for the payloads."""
        unit_ns = UNIT_NS[self.time_unit]
        if self.payload == "json":
            return JsonDecoder(self.keys, self.time, unit_ns, self.channels)
        time = None if self.time is None else int(self.time)
        if self.format is None:
            separator = SEPARATORS[self.separator]
            return TextDecoder(LineDecoder(separator, self.columns, time, unit_ns, self.channels, whole=True))
        layout = Layout(self.format)
        return BytesDecoder(layout, Fields(layout.count, self.columns, time, unit_ns), self.channels)


class Mqtt:
    """The source of these settings."""

    settings_class = MqttSettings

    def __call__(self, settings: MqttSettings) -> Source:
        """Images, or a signal."""
        return MqttImages(settings) if settings.payload == "image" else MqttSignal(settings)


mqtt = Mqtt()


class MqttSignal(ParsedSource):
    """Readings, float64 (count, channels), in pieces of 20 ms where there are so many. A broker that goes away is a lost source."""

    settings_class = MqttSettings

    def __init__(self, settings: MqttSettings) -> None:
        self.settings = settings
        self.rate_hz = settings.rate_hz
        self.period_s = 0.0 if settings.rate_hz is None else 1 / settings.rate_hz
        self._connection: MqttConnection | None = None

    def _open(self) -> None:
        self._close()
        self._decoder = self.settings.decoder()
        self.channels = self._decoder.channels
        self._read_ns = 0
        broker = self.settings.broker()
        self.begin(str(broker), self.settings.rate_hz)
        self._connection = MqttConnection(broker)
        self._connection.open()

    def _arrived(self) -> tuple[Parsed, int, int] | None:
        connection = self._connection
        if connection is None:
            return None
        with connection.use() as is_held:
            messages = connection.take(self._read_ns + PIECE_NS) if is_held else None
        if messages is None:
            return None
        self._read_ns = messages[-1].came_ns
        parts = [self._parsed(message) for message in messages]
        self._came_ns = np.repeat([message.came_ns for message in messages], [len(part.data) for part in parts])
        self.channels = self._decoder.channels
        return joined(parts), messages[0].came_ns, self._read_ns

    def _times(self, parsed: Parsed, began_ns: int, read_ns: int) -> Array:
        known = parsed.times_ns is not None or self.rate_hz is not None
        return super()._times(parsed, began_ns, read_ns) if known else self._came_ns

    def _parsed(self, message: Message) -> Parsed:
        return nothing(message.broken) if message.broken else self._decoder.feed(message.payload)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.give_up()


class MqttImages(Source):
    """Images, BGR uint8 (height, width, 3). One that cannot be decoded is a broken sample; reading goes on behind it."""

    settings_class = MqttSettings
    live = True

    def __init__(self, settings: MqttSettings) -> None:
        self.settings = settings
        self.period_s = 0.0 if settings.rate_hz is None else 1 / settings.rate_hz
        self._connection: MqttConnection | None = None

    def _open(self) -> None:
        self._close()
        opencv("decoding images")
        self._connection = MqttConnection(self.settings.broker())
        self._connection.open()

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        connection = self._connection
        if connection is None:
            return None
        with connection.use() as is_held:
            messages = connection.take(most=1) if is_held else None
        return None if messages is None else (self._decoded(messages[0]), "bgr", "", messages[0].came_ns)

    def _decoded(self, message: Message) -> Array:
        cv2 = opencv("decoding images")
        broken, image = message.broken, None
        if not broken:
            try:
                content = np.frombuffer(message.payload, np.uint8)
                image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
            except cv2.error as exc:  # larger than OpenCV's limit of pixels
                broken = str(exc)
        if image is None:
            raise SourceError(
                f"{self.settings.broker()}: {broken or 'a message that is no image that OpenCV can decode'}"
            )
        return image  # type: ignore[no-any-return]

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.give_up()
