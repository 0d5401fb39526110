"""Servers of models on loopback, through real sockets, that a test can drive: what they answer, how slowly, and how wrongly.

with RestServer(model=add_one, inputs=..., outputs=...) as server:
    server.script = stall                        # from now on; None is to answer as it should
    client = open_client(ServerSettings(url=server.url, protocol="v2-rest", model="m"), ...)
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_sdk.engines import Engine, load_engine
from edge_sdk.tensors import Array, TensorSpec

Model = Callable[[list[Array]], list[Array]]
DATATYPES = {"int8": "INT8", "uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32", "bool": "BOOL"}
TF_DTYPES = {"int8": "DT_INT8", "uint8": "DT_UINT8", "int32": "DT_INT32", "int64": "DT_INT64", "float32": "DT_FLOAT"}


@dataclass
class Request:
    method: str
    path: str
    head: dict[str, str]
    body: bytes


@dataclass
class Talk:
    """One connection at the moment of one request."""

    server: RestServer
    socket: socket.socket
    request: Request
    keep: bool = True
    gone: threading.Event = field(default_factory=threading.Event)

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


def http(status: str, body: bytes = b"", **fields: str) -> bytes:
    """An answer; ``Content_Type="..."`` becomes ``Content-Type: ...``."""
    named = {"Content-Length": str(len(body)), **{key.replace("_", "-"): value for key, value in fields.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{key}: {value}" for key, value in named.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


class RestServer:
    """Speaks v2, TensorFlow Serving's REST and TorchServe's, each on its own paths, for one model.

    Attributes:
        script: what it does with a request in place of answering it.
        only: the script is for requests for predictions; metadata are answered as they should be.
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
                connection = self.tls.wrap_socket(raw, server_side=True)
            while self._serve_one(connection):
                pass
        except (OSError, ValueError):  # the client has gone, or does not trust this server
            pass
        finally:
            with self._lock:
                self._open.pop(raw, None)
            connection.close()
            raw.close()

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

    def answer(self, request: Request) -> bytes:
        if self.token is not None and request.head.get("authorization") != f"Bearer {self.token}":
            return http("401 Unauthorized", b'{"error": "who are you?"}')
        steps = request.path.strip("/").split("/")
        if steps[0] == "v2":
            return self._v2(request, steps[1:])
        if steps[0] == "v1":
            return self._tfserving(request, request.path)
        if request.path == "/ping":
            return http("200 OK", b'{"status": "Healthy"}')
        if steps[:2] == ["predictions", self.name]:
            return self._torchserve(request)
        return http("404 Not Found", b'{"code": 404, "type": "ModelNotFoundException", "message": "Model not found"}')

    def _v2(self, request: Request, steps: list[str]) -> bytes:
        if not steps:
            extensions = ["binary_tensor_data"] if self.binary else []
            return _json({"name": "test", "version": "1", "extensions": extensions})
        if steps[:2] != ["models", self.name]:
            return http("404 Not Found", json.dumps({"error": f"unknown model {steps[1:2]}"}).encode())
        if request.method == "GET":
            return http("200 OK") if steps[-1] == "ready" else _json(self.metadata())
        length = int(request.head.get("inference-header-content-length", len(request.body)))
        head, tensors = self.v2_infer(request.body[:length], request.body[length:])
        fields = {"Inference_Header_Content_Length": str(len(head))} if tensors else {}
        return http("200 OK", head + tensors, **fields)

    def _torchserve(self, request: Request) -> bytes:
        if request.head["content-type"] == "application/json":
            return http("200 OK", self.v2_infer(request.body, b"")[0])
        length = int.from_bytes(request.body[:4], "little")
        head, tensors = self.v2_infer(request.body[4 : 4 + length], request.body[4 + length :])
        return http("200 OK", len(head).to_bytes(4, "little") + head + tensors)

    def metadata(self) -> dict[str, object]:
        def listed(specs: tuple[TensorSpec, ...]) -> list[dict[str, object]]:
            return [{"name": s.name, "datatype": DATATYPES[s.dtype], "shape": [-1, *s.shape[1:]]} for s in specs]

        return {"name": self.name, "inputs": listed(self.inputs), "outputs": listed(self.outputs)}

    def v2_infer(self, head: bytes, tensors: bytes) -> tuple[bytes, bytes]:
        """JSON and bytes of an answer."""
        asked = json.loads(head)
        arrays = {}
        for each in asked["inputs"]:
            dtype = next(d for d, name in DATATYPES.items() if name == each["datatype"])
            size = each.get("parameters", {}).get("binary_data_size")
            if size is None:
                array = np.array(each["data"], dtype)
            else:
                array, tensors = np.frombuffer(tensors[:size], dtype), tensors[size:]
            arrays[each["name"]] = array.reshape(each["shape"])
        made = self.model([arrays[spec.name] for spec in self.inputs])
        by_name = {spec.name: array for spec, array in zip(self.outputs, made, strict=True)}
        outputs, content = [], b""
        for each in asked["outputs"]:
            array = by_name[each["name"]]
            said = {"name": each["name"], "datatype": DATATYPES[array.dtype.name], "shape": list(array.shape)}
            if each.get("parameters", {}).get("binary_data"):
                said["parameters"] = {"binary_data_size": array.nbytes}
                content += array.tobytes()
            else:
                said["data"] = array.ravel().tolist()
            outputs.append(said)
        return json.dumps({"model_name": self.name, "outputs": outputs}).encode(), content

    def _tfserving(self, request: Request, path: str) -> bytes:
        base = f"/v1/models/{self.name}"
        path = path.replace("/versions/1", "")
        if path == base:
            status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            return _json({"model_version_status": [status]})
        if path == f"{base}/metadata":
            sides = {"inputs": _tf_infos(self.inputs), "outputs": _tf_infos(self.outputs)}
            signatures = {"serving_default": {**sides, "method_name": "tensorflow/serving/predict"}}
            spec = {"name": self.name, "signature_name": "", "version": "1"}
            return _json({"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}})
        if path != f"{base}:predict":
            return http("404 Not Found", b'{"error": "Servable not found for request"}')
        asked = json.loads(request.body)["inputs"]
        made = self.model([np.array(asked[spec.name], spec.dtype) for spec in self.inputs])
        outputs = {spec.name: array.tolist() for spec, array in zip(self.outputs, made, strict=True)}
        return _json({"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs})


def _tf_infos(specs: tuple[TensorSpec, ...]) -> dict[str, object]:
    return {
        s.name: {
            "dtype": TF_DTYPES[s.dtype],
            "tensor_shape": {
                "dim": [{"size": str(n), "name": ""} for n in (-1, *s.shape[1:])],
                "unknown_rank": False,
            },
            "name": f"{s.name}:0",
        }
        for s in specs
    }


def _json(content: object) -> bytes:
    return http("200 OK", json.dumps(content).encode(), Content_Type="application/json")


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


# What goes wrong, by name.


def stall(talk: Talk) -> None:
    """Never answer."""
    talk.until_gone()


def drip(talk: Talk) -> None:
    """A byte every 20 ms."""
    talk.close()
    for byte in talk.answer():
        talk.send(bytes([byte]))
        talk.pause(0.02)


def late(seconds: float) -> Script:
    """Answer after so long."""

    def script(talk: Talk) -> None:
        talk.pause(seconds)
        talk.send(talk.answer())

    return script


def says(content: bytes) -> Script:
    """Answer these bytes, and close."""

    def script(talk: Talk) -> None:
        talk.send(content)
        talk.close()

    return script


def cut(talk: Talk) -> None:
    """Break off in the middle of the answer."""
    answer = talk.answer()
    talk.send(answer[: len(answer) - 2])
    talk.close()


def reset(talk: Talk) -> None:
    """Reset the connection without an answer."""
    talk.reset()


def hang_up(talk: Talk) -> None:
    """Close without an answer."""
    talk.close()


FAULTS: dict[str, Script] = {
    "stall": stall,
    "drip": drip,
    "cut": cut,
    "reset": reset,
    "hang up": hang_up,
    "error": says(http("500 Internal Server Error", b'{"error": "out of memory"}')),
    "busy": says(http("503 Service Unavailable")),
    "garbage": says(b"\x00\xff garbage \x1b[31m\r\n\r\n"),
    "not JSON": says(http("200 OK", b"<html>hello</html>")),
    "redirect": says(http("307 Temporary Redirect", Location="http://127.0.0.1:1/elsewhere")),
    "endless": says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"),
}


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
