"""What the application, the fork server and the engine's child say to each other: one JSON object a packet, file descriptors beside it.

application ── server socket ──▶ fork server ── fork ──▶ child
     └──────────── control socket, two eventfds, shared tensors ──────────┘
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
from dataclasses import asdict

import numpy as np

from edge_sdk.tensors import Array, TensorSpec

MAX_PACKET_BYTES = 1 << 20
MAX_FDS = 8
_ALIGN = 64  # a cache line: no two tensors share one
_STATUS_BYTES, _TEXT_AT = 4096, 8
RESET, REOPEN = 1, 2  # orders


def above_standard(fd: int) -> int:
    """The same file at a descriptor that is no standard stream's: where one of those is closed, the next file opened takes its place, and
    whatever a library prints would go there."""
    if fd > 2:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that keep packets apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return socket.socket(fileno=above_standard(ours.detach())), socket.socket(fileno=above_standard(theirs.detach()))


def send(to: socket.socket, message: object, fds: list[int] | None = None) -> None:
    """Send one packet."""
    socket.send_fds(to, [json.dumps(message).encode()], fds or [])


def receive(of: socket.socket) -> tuple[dict[str, object] | None, list[int]]:
    """One packet and its descriptors; None when the other end is closed."""
    packet, fds, _, _ = socket.recv_fds(of, MAX_PACKET_BYTES, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
    return (json.loads(packet) if packet else None), fds


def specs_to_json(specs: tuple[TensorSpec, ...]) -> list[dict[str, object]]:
    """For the child's first word."""
    return [asdict(spec) for spec in specs]


def specs_from_json(specs: object) -> tuple[TensorSpec, ...]:
    """Of the child's first word."""
    assert isinstance(specs, list)  # noqa: S101 - our own child's message
    return tuple(TensorSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in specs)


class SharedTensors:
    """The tensors of one engine in an anonymous memory file that application and child both map.

    Layout: a status area (length of an error text and an order, as native ints, then the text), inputs, outputs, each on a cache line.
    """

    def __init__(self, fd: int, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, _total_bytes(inputs + outputs))
        offset = _STATUS_BYTES
        arrays: list[Array] = []
        for spec in inputs + outputs:
            arrays.append(np.ndarray(spec.shape, spec.dtype, self._map, offset))
            offset += _aligned(spec.size_bytes)
        self.inputs, self.outputs = tuple(arrays[: len(inputs)]), tuple(arrays[len(inputs) :])
        self._error_length = np.ndarray((1,), np.int32, self._map, 0)
        self._order = np.ndarray((1,), np.int32, self._map, 4)

    @classmethod
    def create(cls, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> SharedTensors:
        """New ones, all zero."""
        fd = above_standard(os.memfd_create("edge-sdk-tensors", os.MFD_CLOEXEC))
        os.ftruncate(fd, _total_bytes(inputs + outputs))
        return cls(fd, inputs, outputs)

    def close(self) -> None:
        """Close the descriptor; the mapping lives as long as somebody holds an array of it."""
        os.close(self.fd)

    def set_error(self, text: str) -> None:
        """The last run failed, and why."""
        content = text.encode()[: _STATUS_BYTES - _TEXT_AT]
        self._map[_TEXT_AT : _TEXT_AT + len(content)] = content
        self._error_length[0] = len(content)

    def take_error(self) -> str | None:
        """Why the last run failed, or None; forgets it."""
        length = int(self._error_length[0])
        if not length:
            return None
        self._error_length[0] = 0
        return self._map[_TEXT_AT : _TEXT_AT + min(length, _STATUS_BYTES - _TEXT_AT)].decode(errors="replace")

    def order(self, order: int) -> None:
        """What the child is to do: ``RESET`` the engine before its next run, or ``REOPEN`` it in place of that run."""
        self._order[0] = order

    def take_order(self) -> int:
        """The order, 0 for none; forgets it."""
        order = int(self._order[0])
        self._order[0] = 0
        return order


def memory_file(name: str, content: bytes) -> int:
    """A sealed anonymous file that holds ``content``: nobody who gets it can change it."""
    fd = above_standard(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    # Values of linux/fcntl.h; Python's fcntl has names for them on some builds only.
    add_seals, seal_shrink, seal_grow, seal_write = 1033, 2, 4, 8
    fcntl.fcntl(fd, add_seals, seal_shrink | seal_grow | seal_write)
    return fd


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _total_bytes(specs: tuple[TensorSpec, ...]) -> int:
    return _STATUS_BYTES + sum(_aligned(spec.size_bytes) for spec in specs)
