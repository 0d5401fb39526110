"""Looking up a host's numbers within a time limit: the system's resolver has none that a caller could set."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any

from edge_sdk.errors import RemoteError
from edge_sdk.remote.attempt import Attempt

_AddressInfo = tuple[int, Any]  # family, what connect takes
_lookups: dict[tuple[str, int], _Lookup] = {}
_lock = threading.Lock()


def look_up(host: str, port: int, attempt: Attempt) -> list[_AddressInfo]:
    """(family, address) of a host, in the order to be tried.

    A lookup that takes too long goes on in a thread; who asks for the same host meanwhile waits for the same one, so they never add up.

    Raises:
        RemoteError: if it has none, or the time is over.
    """
    if _is_number(host):
        return _numbers(host, port, socket.AI_NUMERICHOST)
    came = threading.Event()
    with _lock:
        lookup = _lookups.get((host, port))
        if lookup is None:
            lookup = _lookups[host, port] = _Lookup(host, port)
        lookup.waiting.append(came)
    with attempt.ended_by(came.set):
        came.wait(attempt.left_s())
    if lookup.found is None:
        attempt.left_s()
        raise RemoteError(f"looking up host {host} takes too long; check the network's DNS")
    if isinstance(lookup.found, RemoteError):
        raise RemoteError(str(lookup.found)) from lookup.found.__cause__
    return lookup.found


class _Lookup:
    def __init__(self, host: str, port: int) -> None:
        self.waiting: list[threading.Event] = []
        self.found: list[_AddressInfo] | RemoteError | None = None
        self._host, self._port = host, port
        threading.Thread(target=self._run, name=f"look up {host}", daemon=True).start()

    def _run(self) -> None:
        try:
            self.found = _numbers(self._host, self._port)
        except RemoteError as exc:
            self.found = exc
        with _lock:
            del _lookups[self._host, self._port]
        for came in self.waiting:
            came.set()


def _numbers(host: str, port: int, flags: int = 0) -> list[_AddressInfo]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        raise RemoteError(f"host {host} cannot be found: {why}; check its name, and the network's DNS") from exc
    return [(family, address) for family, _, _, _, address in found]


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
