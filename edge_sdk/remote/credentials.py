"""What a client shows a server, and whom it trusts: certificates and the bearer token, read again when their files change."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from edge_sdk.errors import RemoteError
from edge_sdk.inputs import read_plain_file
from edge_sdk.refusal import refusal
from edge_sdk.remote.settings import ServerSettings

MAX_TOKEN_BYTES = 16 << 10
MAX_PEM_BYTES = 4 << 20
_State = tuple[tuple[int, int, int], ...]


class Credentials:
    """Of one server.

    Args:
        settings: where certificates and token stand.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._tls: tuple[_State, ssl.SSLContext] | None = None
        self._token: tuple[_State, str] | None = None

    def tls(self) -> ssl.SSLContext:
        """At least TLS 1.2; the server's certificate and name are checked.

        Raises:
            RemoteError: if a file of it cannot be used.
        """
        state = _state(self._settings.ca_file, self._settings.cert_file, self._settings.key_file)
        if self._tls is None or self._tls[0] != state:
            self._tls = state, self._read_tls()
        return self._tls[1]

    def pem(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """The content of ca_file, key_file and cert_file; the key may stand with the certificate.

        Raises:
            RemoteError: if one cannot be read.
        """
        settings = self._settings
        key = settings.key_file or settings.cert_file
        return tuple(  # type: ignore[return-value]
            None if path is None else read_plain_file(path, RemoteError, give="a PEM file", most_bytes=MAX_PEM_BYTES)
            for path in (settings.ca_file, key, settings.cert_file)
        )

    def token(self) -> str | None:
        """The bearer token, or None if there is none to show.

        Raises:
            RemoteError: if it is not where the settings say, or is none; the message does not hold it.
        """
        settings = self._settings
        if settings.token_env is not None:
            token = os.environ.get(settings.token_env)
            if token is None:
                raise RemoteError(f"the environment has no {settings.token_env}, which is to hold the token")
            return _checked(token, f"environment variable {settings.token_env}")
        if settings.token_file is None:
            return None
        state = _state(settings.token_file)
        if self._token is None or self._token[0] != state:
            self._token = state, _read_token(settings.token_file)
        return self._token[1]

    def _read_tls(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if settings.ca_file is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(settings.ca_file)
        except (OSError, ValueError) as exc:
            raise RemoteError(f"ca_file {settings.ca_file} cannot be used: {_why(exc)}; give a PEM file") from exc
        try:
            if settings.cert_file is not None:
                context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except (OSError, ValueError) as exc:
            raise RemoteError(
                f"cert_file {settings.cert_file} and its key cannot be used: {_why(exc)}; give PEM files, the key without a password"
            ) from exc
        return context


def _read_token(path: Path) -> str:
    content = read_plain_file(path, RemoteError, give="a file that holds the token", most_bytes=MAX_TOKEN_BYTES)
    return _checked(content.decode("latin-1"), f"token_file {path}")


def _checked(token: str, where: str) -> str:
    token = token.strip()
    if not token or not all("!" <= c <= "~" for c in token):
        raise RemoteError(f"{where} holds no token: one word of printable ASCII is needed")
    return token


def _state(*paths: Path | None) -> _State:
    """Changes when a file does."""
    try:
        found = [path.stat() for path in paths if path is not None]
    except OSError as exc:
        raise RemoteError(f"{refusal(exc)}; give a file that can be read") from exc
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


def _why(exc: OSError | ValueError) -> str:
    return getattr(exc, "reason", None) or getattr(exc, "strerror", None) or str(exc)
