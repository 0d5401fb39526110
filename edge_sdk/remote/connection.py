"""A TCP connection, with TLS or without, on which every wait is bounded by the request in work."""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from edge_sdk.errors import RemoteError, RemoteTimeoutError
from edge_sdk.remote.address import Address
from edge_sdk.remote.attempt import Attempt
from edge_sdk.remote.faults import fault_of_connecting
from edge_sdk.remote.lookup import look_up

Bytes = bytes | bytearray | memoryview
_JOINED_BYTES = 64 << 10  # TLS: up to so many are joined, and sent as few records; longer ones are sent as they lie


class Connection:
    """Made by ``connect``; the request that uses it at present is ``attempt``.

    Attributes:
        sent, received: bytes, without those of TLS itself.
    """

    def __init__(self, sock: socket.socket, attempt: Attempt) -> None:
        self._socket = sock
        self.attempt = attempt
        self.sent = self.received = 0
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)

    def send(self, parts: Sequence[Bytes]) -> None:
        """All bytes of all parts.

        Raises:
            RemoteTimeoutError: if there is no time left.
            OSError: as of a socket.
        """
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        if isinstance(self._socket, ssl.SSLSocket):
            if sum(map(len, views)) <= _JOINED_BYTES:
                views = [memoryview(b"".join(views))]
            while views:
                views = _without(views, self._do(self._socket.send, views[0]))
            return
        while views:
            views = _without(views, self._do(self._socket.sendmsg, views))

    def readinto(self, buffer: memoryview) -> int:
        """How many bytes came; 0 where the server has closed. For errors see ``send``."""
        count: int = self._do(self._socket.recv_into, buffer)
        self.received += count
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        """What ``http.client`` reads an answer from."""
        return io.BufferedReader(_Raw(self))

    def is_stale(self) -> bool:
        """Whether it was closed by the server since the last answer, or speaks out of turn, so that it cannot be used again."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(self._readable.poll(0))

    def abort(self) -> None:
        """From any thread: whoever waits for it is woken."""
        _abort(self._socket)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def _do(self, call: Callable[..., int], what: Any) -> int:
        self._socket.settimeout(self.attempt.left_s())
        try:
            count = call(what)
        except TimeoutError:
            self.attempt.left_s()
            raise RemoteTimeoutError("the time is over") from None  # the two clocks differ by less than their tick
        if call != self._socket.recv_into:
            self.sent += count
        return count


def connect(address: Address, tls: Callable[[], ssl.SSLContext], attempt: Attempt) -> Connection:
    """A new connection, its TLS set up.

    Args:
        address: where to.
        tls: makes the context, where the address asks for one.
        attempt: the time that it may take.

    Raises:
        RemoteError: if there is none; the message says why.
        RemoteTimeoutError: if it took too long.
    """
    context = tls() if address.tls else None
    found = look_up(address.host, address.port, attempt)
    for place, (family, number) in enumerate(found):
        last = place == len(found) - 1
        step = attempt if last else attempt.part(attempt.left_s() / 2, "no connection")
        try:
            return _connected(family, number, address, context, step)
        except RemoteError:
            attempt.left_s()
            if last:
                raise
    raise RemoteError(f"host {address.host} has no number")


def _connected(
    family: int, number: Any, address: Address, context: ssl.SSLContext | None, attempt: Attempt
) -> Connection:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        with attempt.ended_by(lambda: _abort(sock)):
            sock.settimeout(attempt.left_s())
            sock.connect(number)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=address.host, do_handshake_on_connect=False)
            with attempt.ended_by(lambda: _abort(sock)):
                sock.settimeout(attempt.left_s())
                sock.do_handshake()
        return Connection(sock, attempt)
    except BaseException as exc:
        sock.close()
        if isinstance(exc, TimeoutError):
            attempt.left_s()
            raise RemoteTimeoutError("no connection in time") from None
        if isinstance(exc, OSError):
            attempt.left_s()  # it was cancelled, perhaps
            raise RemoteError(fault_of_connecting(exc)) from exc
        raise


class _Raw(io.RawIOBase):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._connection.readinto(buffer)


def _without(views: list[memoryview], count: int) -> list[memoryview]:
    """What is left when ``count`` bytes are gone."""
    for place, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[place + 1 :]]
        count -= len(view)
    return []


def _abort(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed meanwhile
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of TLS too: its own would change what the other thread uses
