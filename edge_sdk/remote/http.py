"""HTTP/1.1 to one server, a request at a time, on a connection that is kept.

``http.client`` reads the answers. It, urllib3 and requests bound the wait for each piece of an answer, not the answer: a server that drips
a byte a second would never be given up. So the requests are written here, on a connection that knows when they must be over.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from socket import socket
from typing import Any, cast

from edge_sdk import __version__
from edge_sdk.errors import RemoteError, RemoteTimeoutError
from edge_sdk.remote.address import Address
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.connection import Bytes, Connection, connect
from edge_sdk.remote.credentials import Credentials
from edge_sdk.remote.faults import fault_of_exchange, shown
from edge_sdk.remote.settings import ServerSettings

_PIECE_BYTES = 64 << 10
_CLOSED = (RemoteDisconnected, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True)
class Answer:
    """What a server said: its status, head and body."""

    status: int
    reason: str
    head: Message
    body: bytearray


class HttpConnection:
    """One server. Not thread-safe.

    Args:
        settings: which, and how large its answers may be.

    Attributes:
        sent_bytes, received_bytes: so far, without those of TLS itself.
        connections: made so far.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.address = Address.parse(settings.url)
        self._credentials = Credentials(settings)
        self._connect_s, self._most = settings.connect_ms / 1000, settings.max_response_bytes
        self._fixed = (
            f"Host: {self.address.netloc}",
            f"User-Agent: edge-sdk/{__version__}",
            "Accept-Encoding: identity",
        )
        self._connection: Connection | None = None
        self.sent_bytes = self.received_bytes = self.connections = 0

    def request(
        self,
        method: str,
        path: str,
        attempt: Attempt,
        *,
        body: Sequence[Bytes] = (),
        head: dict[str, str] | None = None,
    ) -> Answer:
        """The answer to a request, whatever its status.

        Args:
            method: such as ``"POST"``.
            path: below the address's own, escaped.
            attempt: the time that it may take.
            body: its parts, one behind the other.
            head: further header fields.

        Raises:
            RemoteTimeoutError: if it was not there in time.
            RemoteError: if there is none, or a damaged one, or it is too long.
        """
        parts = [self._head(method, path, sum(map(len, body)), head or {}), *body]
        kept, self._connection = self._connection, None
        if kept is not None and not kept.is_stale():
            try:
                return self._exchange(kept, method, parts, attempt)
            except _CLOSED as exc:  # between two requests: this one was not processed
                if kept.received:
                    raise self._fault(exc, kept.received) from exc
        elif kept is not None:
            kept.close()
        step = attempt.part(self._connect_s, f"no connection within {self._connect_s * 1000:g} ms")
        fresh = connect(self.address, self._credentials.tls, step)
        self.connections += 1
        try:
            return self._exchange(fresh, method, parts, attempt)
        except _CLOSED as exc:
            raise self._fault(exc, fresh.received) from exc

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, connection: Connection, method: str, parts: Sequence[Bytes], attempt: Attempt) -> Answer:
        """Keeps the connection if it can be used again, else closes it."""
        connection.attempt, connection.sent, connection.received = attempt, 0, 0
        keep = False
        try:
            with attempt.ended_by(connection.abort):
                answer, keep = self._answer(connection, method, parts)
        except RemoteTimeoutError as exc:
            total = sum(map(len, parts))
            sent = "" if connection.sent == total else f"; {connection.sent} of {total} bytes were sent"
            raise RemoteTimeoutError(f"{exc}{sent}; {connection.received} bytes of the answer came") from None
        except (OSError, HTTPException, ValueError) as exc:  # ValueError: http.client's, of sizes that are no numbers
            attempt.left_s()
            if isinstance(exc, _CLOSED) and not connection.received:
                raise
            raise self._fault(exc, connection.received) from exc
        finally:
            self.sent_bytes += connection.sent
            self.received_bytes += connection.received
            if keep:
                self._connection = connection
            else:
                connection.close()
        return answer

    def _answer(self, connection: Connection, method: str, parts: Sequence[Bytes]) -> tuple[Answer, bool]:
        try:
            connection.send(parts)
        except ConnectionError:  # it may have answered before it had read all
            response = _begun(connection, method)
        else:
            response = _begun(connection, method)
        body = _unpacked(response, _body(response, self._most), self._most)
        whole = connection.sent == sum(map(len, parts)) and response.status >= 200  # behind 1xx comes the answer itself
        keep = whole and not response.will_close
        return Answer(response.status, response.reason, response.headers, body), keep

    def _head(self, method: str, path: str, body_bytes: int, more: dict[str, str]) -> bytes:
        fields = {"Content-Length": str(body_bytes), **more}
        token = self._credentials.token()
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        lines = [
            f"{method} {self.address.path}{path} HTTP/1.1",
            *self._fixed,
            *(f"{k}: {v}" for k, v in fields.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _fault(self, exc: Exception, received: int) -> RemoteError:
        return RemoteError(fault_of_exchange(exc, tls=self.address.tls, received=received))


def _begun(connection: Connection, method: str) -> HTTPResponse:
    """The answer up to its body; http.client passes over 100 (Continue)."""
    response = HTTPResponse(cast(socket, connection), method=method)  # it needs no more of a socket than makefile
    response.begin()
    return response


def _body(response: HTTPResponse, most: int) -> bytearray:
    stated = response.headers.get("Content-Length")
    if stated is not None and not (stated.isascii() and stated.isdigit()):
        raise RemoteError(f"the answer's Content-Length is no number: {shown(stated)!r}")
    if response.length is None:
        return _body_to_its_end(response, most)
    if response.length > most:
        raise _too_long(most)
    body = bytearray(response.length)
    view = memoryview(body)
    filled = 0
    while filled < len(body):
        count = response.readinto(view[filled:])
        if not count:
            raise RemoteError(
                f"the answer is cut off: its Content-Length says {len(body)} bytes, {filled} came before the end"
            )
        filled += count
    return body


def _body_to_its_end(response: HTTPResponse, most: int) -> bytearray:
    """Of a body in chunks, or one that ends with the connection."""
    body = bytearray()
    while piece := response.read(_PIECE_BYTES):
        body += piece
        if len(body) > most:
            raise _too_long(most)
    return body


def _unpacked(response: HTTPResponse, body: bytearray, most: int) -> bytearray:
    """Some servers compress though they were asked not to."""
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise RemoteError(f"the answer is encoded as {shown(coding)!r}; allowed are identity, gzip and deflate")
    unpacker: Any = zlib.decompressobj(zlib.MAX_WBITS | 32)  # finds out which of the two it is
    try:
        unpacked = bytearray(unpacker.decompress(body, most + 1))
    except zlib.error as exc:
        raise RemoteError(f"the answer is damaged: {exc}") from exc
    if len(unpacked) > most:
        raise _too_long(most)
    if not unpacker.eof:
        raise RemoteError("the answer is damaged: its compressed body is cut off")
    return unpacked


def _too_long(most: int) -> RemoteError:
    return RemoteError(
        f"the answer is longer than {most} bytes, which max_response_bytes allows; check the model, or allow more"
    )
