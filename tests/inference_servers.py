"""Servers of models on loopback, through real sockets, that a test can drive: what they answer, how slowly, and how wrongly.

with RestServer(model=add_one, inputs=..., outputs=...) as server:
    server.script = stall                        # from now on; None is to answer as it should
    client = open_client(ServerSettings(url=server.url, protocol="v2-rest", model="m"), ...)
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.engines import Engine, load_engine
from edge_sdk.tensors import Array, TensorSpec
from tests.inference_answers import Model, Request, RestAnswers


@dataclass
class Talk:
    """One connection at the moment of one request."""

    server: RestServer
    socket: socket.socket
    request: Request
    keep: bool = True

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def answer(self) -> bytes:
        """The right one, as it goes over the line."""
        return self.server.answer(self.request)

    def close(self) -> None:
        self.keep = False

    def reset(self) -> None:
        """Break the connection off hard."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.keep = False

    def until_gone(self) -> None:
        """Until the client has closed, or the server ends."""
        self.keep = False
        with contextlib.suppress(OSError):
            while self.socket.recv(4096):
                pass

    def pause(self, seconds: float) -> None:
        """As a slow server does."""
        self.server.ended.wait(seconds)


Script = Callable[[Talk], None]


class RestServer(RestAnswers):
    """Speaks v2, TensorFlow Serving's REST and TorchServe's, each on its own paths, for one model.

    Attributes:
        script: what it does with a request for a prediction in place of answering it; metadata are answered as they should be.
        requests: those that came.
        connections: how many were made.
    """

    def __init__(
        self,
        model: Model,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        name: str = "m",
        binary: bool = True,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
    ) -> None:
        self.model, self.inputs, self.outputs = model, inputs, outputs
        self.name, self.binary, self.tls, self.token = name, binary, tls, token
        self.script: Script | None = None
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https://localhost' if self.tls else 'http://127.0.0.1'}:{self.port}"

    def __enter__(self) -> RestServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.drop_connections()

    def drop_connections(self) -> None:
        """Close all that are open, as a server does that restarts."""
        with self._lock:
            open_ = dict(self._open)
        for connection, thread in open_.items():
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self.connections += 1
                self._open[connection] = thread
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        connection = raw
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._open[connection] = self._open.pop(raw)
                connection.do_handshake()
            while self._serve_one(connection):
                pass
        except (OSError, ValueError):  # the client has gone, or does not trust this server
            pass
        finally:
            with self._lock:
                self._open.pop(connection, None)
            connection.close()

    def _serve_one(self, connection: socket.socket) -> bool:
        request = _read_request(connection)
        if request is None:
            return False
        self.requests.append(request)
        talk = Talk(self, connection, request)
        if self.script is not None and request.method == "POST":
            self.script(talk)
        else:
            talk.send(talk.answer())
        return talk.keep


def _read_request(connection: socket.socket) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return None
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    missing = int(fields.get("content-length", 0)) - len(body)
    pieces = [body]
    while missing > 0:
        piece = connection.recv(min(missing, 1 << 20))
        if not piece:
            return None
        pieces.append(piece)
        missing -= len(piece)
    method, path, _ = first.split(" ")
    return Request(method, path, fields, b"".join(pieces))


class LitertModel:
    """A .tflite file as a server's model, run by the real interpreter; one request at a time."""

    def __init__(self, path: Path) -> None:
        self._engine: Engine = load_engine("litert", str(path))
        self._lock = threading.Lock()
        self.inputs, self.outputs = self._engine.inputs, self._engine.outputs

    def __call__(self, inputs: list[Array]) -> list[Array]:
        with self._lock:
            for array, given in zip(self._engine.input_arrays, inputs, strict=True):
                array[...] = given
            return [output.copy() for output in self._engine.run()]
