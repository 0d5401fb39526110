"""Where an MQTT topic is, and how its broker is reached: password and certificates."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sdk.errors import SourceError
from edge_sdk.inputs import read_plain_file


@dataclass(frozen=True)
class Broker:
    """Where a topic is, and how it is reached; for the meaning see ``MqttSettings``."""

    host: str
    port: int
    topic: str
    qos: int
    version: str
    tls: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None
    user: str | None
    password_file: Path | None
    password_env: str | None
    client_id: str
    keepalive_s: int
    retained: bool
    max_bytes: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}/{self.topic}"


def password_of(broker: Broker) -> str | None:
    """Its user's password, or None.

    Raises:
        SourceError: if it is not where the settings say.
    """
    if broker.password_env is not None:
        if broker.password_env not in os.environ:
            raise SourceError(f"{broker}: the environment has no {broker.password_env}, which is to hold the password")
        return os.environ[broker.password_env]
    if broker.password_file is None:
        return None
    content = read_plain_file(broker.password_file, SourceError, give="a file that holds the password", most_bytes=4096)
    try:
        return content.decode().rstrip("\r\n")
    except ValueError as exc:
        raise SourceError(f"{broker.password_file} is no text; give a file that holds the password") from exc


class Tls(ssl.SSLContext):
    """At least TLS 1.2, the broker's certificate and name checked; keeps its socket, which paho forgets to close where it fails."""

    made: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """See the base class."""
        self.made = super().wrap_socket(*args, **options)
        return self.made


def tls_of(broker: Broker) -> Tls:
    """What encrypts the connection.

    Raises:
        SourceError: if a file of it cannot be used.
    """
    context = Tls(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if broker.ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(broker.ca)
        if broker.certificate is not None:
            context.load_cert_chain(broker.certificate, broker.key, password="")
    except (OSError, ValueError) as exc:
        raise SourceError(
            f"{broker}: ca, certificate or key cannot be used: {getattr(exc, 'strerror', None) or exc}. PEM files are needed"
        ) from exc
    return context
