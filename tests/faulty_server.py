"""A server of the Open Inference Protocol that spoils answers and connections on command."""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from edge_sdk.remote.v2 import DATATYPES
from edge_sdk.tensors import Array, TensorSpec

Answer = Callable[[Array], tuple[Array, ...]]
ANSWER_FAULTS = (
    "stall 0.05", "stall 0.3", "stall 1", "never", "error", "unavailable", "redirect", "garbage", "no json", "shape", "dtype", "nan",
    "empty", "cut head", "cut body", "close", "reset", "drip",
)  # fmt: skip


CONNECTION_FAULTS = ("hang up", "hold", "plain", "another certificate")


class FaultyServer:
    """Serves one model on loopback; a context manager.

    Args:
        answer: the model, from the input tensor to the outputs.
        inputs, outputs: its tensors.
        tls: wraps its connections; with a second one, whose certificate nobody trusts.
        port: where it listens; default a free one.

    Attributes:
        faults: each spoils the next inference.
        connection_faults: each spoils the next connection.
        always: spoils all that ``faults`` do not.
        keeps: whether a connection is good for several requests.
        done: how often each fault was done.
        asked: inferences.
        port: stays the same when it goes down and up.
    """

    def __init__(
        self,
        answer: Answer,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
        port: int = 0,
    ) -> None:
        self._answer, self._inputs, self._outputs, self._tls = answer, inputs, outputs, tls
        self.faults: deque[str] = deque()
        self.connection_faults: deque[str] = deque()
        self.always, self.keeps = "ok", True
        self.done: Counter[str] = Counter()
        self.asked, self.port = 0, port
        self._random = random.Random(1)
        self._told = threading.Condition()
        self._release = threading.Event()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultyServer:
        self.up()
        return self

    def __exit__(self, *exc: object) -> None:
        self.down()

    def up(self) -> None:
        self._release.clear()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(16)
        self.port, self._listener = listener.getsockname()[1], listener
        self._begin(self._accept, listener)

    def down(self) -> None:
        """Gone at once, with all connections."""
        self._release.set()
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(10)

    def cut(self) -> None:
        """All connections."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """End the stalls that are under way."""
        self._release.set()
        self._release = threading.Event()

    def until_asked(self, count: int) -> None:
        """Wait for so many inferences in all."""
        with self._told:
            assert self._told.wait_for(lambda: self.asked >= count, 20), f"{self.asked} of {count}"

    def _begin(self, work: Callable[[socket.socket], None], sock: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(sock,), daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.add(connection)
                self._begin(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        try:
            with suppress(OSError, ValueError, IndexError):
                fault = self.connection_faults.popleft() if self.connection_faults else ""
                self.done[fault or "connections"] += 1
                if fault == "hang up":
                    return
                if fault == "hold":
                    self._release.wait(30)
                    return
                if fault == "plain":
                    plain.recv(4096)
                    plain.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    return
                if self._tls is not None:
                    connection = self._tls[fault == "another certificate"].wrap_socket(plain, server_side=True)
                    self._connections.add(connection)  # the plain one is without descriptor now
                with connection.makefile("rb") as stream:
                    while self._exchange(connection, stream) and self.keeps:
                        pass
        finally:
            self._connections -= {plain, connection}
            for each in {plain, connection}:
                with suppress(OSError):
                    each.close()

    def _exchange(self, connection: socket.socket, stream) -> bool:  # type: ignore[no-untyped-def]
        """One request; whether the connection is good for another."""
        _, path, _ = stream.readline().decode().split()
        head = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            head[name.lower()] = value.strip()
        body = stream.read(int(head.get("content-length", 0)))
        if path.endswith("/infer"):
            return self._infer(connection, body[int(head["inference-header-content-length"]) :])
        if path == "/v2":
            self._send(connection, json.dumps({"name": "faulty", "extensions": ["binary_tensor_data"]}).encode())
        else:
            tensors = {
                kind: [{"name": s.name, "datatype": DATATYPES[s.dtype], "shape": list(s.shape)} for s in specs]
                for kind, specs in (("inputs", self._inputs), ("outputs", self._outputs))
            }
            self._send(connection, json.dumps({"name": "model", **tensors}).encode())
        return True

    def _infer(self, connection: socket.socket, tensor: bytes) -> bool:
        spec = self._inputs[0]
        outputs = self._answer(np.frombuffer(tensor, spec.dtype).reshape(spec.shape))
        with self._told:
            fault, *numbers = (self.faults.popleft() if self.faults else self.always).split(" ")
            self.done[" ".join([fault, *numbers])] += 1
            self.asked += 1
            if fault == "sometimes":  # SHARE SECONDS
                fault = "stall" if self._random.random() < float(numbers[0]) else "ok"
                numbers = numbers[1:]
            self._told.notify_all()
        match fault:
            case "stall":
                self._release.wait(float(numbers[0]))
            case "never":
                self._release.wait()
                return False
            case "error" | "unavailable" | "redirect":
                status = {
                    "error": "500 Oh",
                    "unavailable": "503 No",
                    "redirect": "307 Elsewhere\r\nLocation: http://127.0.0.1:1/",
                }
                self._send(connection, b'{"error": "as ordered"}', status=status[fault])
                return True
            case "garbage":
                connection.sendall(random.Random(len(tensor)).randbytes(300))
                return False
            case "no":
                self._send(connection, b'{"outputs": [')
                return True
            case "close":
                return False
            case "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case "wrong":
                outputs = tuple(np.roll(output, 1) + np.ones((), output.dtype) for output in outputs)
            case "nan":
                outputs = tuple(np.full_like(o, np.nan) if o.dtype.kind == "f" else o for o in outputs)
        whole = self._message(outputs, fault)
        if fault == "cut":
            connection.sendall(whole[: 20 if numbers[0] == "head" else -3])
            return False
        if fault == "drip":
            for place in range(0, len(whole), 40):
                connection.sendall(whole[place : place + 40])
                if self._release.wait(0.005):
                    return False
            return True
        connection.sendall(whole)
        return True

    def _message(self, outputs: tuple[Array, ...], fault: str) -> bytes:
        heads, parts = [], []
        for spec, output in zip(self._outputs, outputs, strict=True):
            datatype, shape = DATATYPES[spec.dtype], list(spec.shape)
            if fault == "shape":
                shape = [1, *shape]
            if fault == "dtype":
                datatype = "INT64"
            part = b"" if fault == "empty" else output.astype(spec.dtype).tobytes()
            parts.append(part)
            heads.append(
                {"name": spec.name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(part)}}
            )
        text = json.dumps({"model_name": "model", "outputs": heads}).encode()
        return _http(text + b"".join(parts), f"Inference-Header-Content-Length: {len(text)}\r\n")

    def _send(self, connection: socket.socket, body: bytes, status: str = "200 OK") -> None:
        connection.sendall(_http(body, "Content-Type: application/json\r\n", status))


def _http(body: bytes, head: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body
