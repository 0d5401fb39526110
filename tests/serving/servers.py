"""MLServer, Triton, TorchServe and a stand-in for TensorFlow Serving with an exported model, on loopback; each ends with its block.

What it printed is shown where it does not start.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving.environments import NotInstalledError, server_python
from tests.serving.keys import Keys
from tests.supervised import eventually

START_S = 90


@dataclass
class Server:
    """A running server.

    Attributes:
        url, grpc_url: on loopback.
        log: what it printed.
        keys: by which it speaks TLS, where a url says so.
        token_file: with the token that it wants, if it wants one.
    """

    process: subprocess.Popen[bytes]
    url: str
    grpc_url: str
    log: Path
    keys: Keys | None = None
    token_file: Path | None = None

    def get(self, path: str, port: int | None = None, token: str = "") -> tuple[int, bytes]:
        """Status and body of a GET; (0, nothing) where nobody answers."""
        url = self.url if port is None else f"{self.url.rpartition(':')[0]}:{port}"
        head = {"Authorization": f"Bearer {token}"} if token else {}
        trust = (
            ssl.create_default_context(cafile=self.keys.authority) if url.startswith("https") and self.keys else None
        )
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url + path, headers=head), timeout=5, context=trust
            ) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read()
        except OSError:
            return 0, b""

    def freeze(self) -> None:
        """From now on it does not answer, and keeps its connections."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def has_waiting(self, port: int) -> bool:
        """Whether bytes wait on a connection to this port, that it has not read."""
        tables = [
            Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")
        ]  # Java's are the latter
        rows = [line.split() for table in tables for line in table]
        return any(
            int(local.rpartition(":")[2], 16) == port and state == "01" and int(queues.rpartition(":")[2], 16) > 0
            for _, local, _, state, queues, *_ in rows
        )

    def kill(self) -> None:
        """SIGKILL to all of it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Fails with what it printed where it ends before."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
            return ready()

        eventually(is_ready, START_S)


def python_of(name: str) -> Path:
    """The server's Python, or the test is skipped with the reason."""
    try:
        return server_python(name)
    except NotInstalledError as exc:
        pytest.skip(str(exc))


@contextmanager
def mlserver(models: Path, folder: Path, keys: Keys) -> Iterator[Server]:
    """MLServer with a repository of models; it has no TLS."""
    python = python_of("mlserver")
    http, grpc, metrics = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    given = {f"MLSERVER_{key.upper()}": str(value) for key, value in settings.items()}
    command = [python.with_name("mlserver"), "start", models]
    with _running(command, folder, given, f"http://127.0.0.1:{http}", f"grpc://127.0.0.1:{grpc}") as server:
        server.wait_until(lambda: server.get("/v2/health/ready")[0] == 200)
        yield server


@contextmanager
def triton(models: Path, folder: Path, keys: Keys) -> Iterator[Server]:
    """Triton's own binary, out of pytriton's package, with a repository of models; TLS is for its gRPC only."""
    python = python_of("triton")
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    (stub,) = packages.glob(f"pytriton/tritonserver/python_backend_stubs/{packages.parent.name[6:]}/*")
    backends = folder / "backends"
    shutil.copytree(packages / "pytriton/tritonserver/backends", backends)
    shutil.copy(stub, backends / "python")
    http, grpc = free_ports(2)
    command: list[str | Path] = [packages / "pytriton/tritonserver/bin/tritonserver"]
    command += [f"--model-repository={models}", f"--backend-directory={backends}", "--allow-metrics=false"]
    command += [f"--http-port={http}", f"--grpc-port={grpc}", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
    command += ["--grpc-use-ssl=true", f"--grpc-server-cert={keys.certificate}", f"--grpc-server-key={keys.key}"]
    libraries = str(packages / "nvidia_pytriton.libs")
    given = {"LD_LIBRARY_PATH": libraries, "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(packages)}
    with _running(command, folder, given, f"http://127.0.0.1:{http}", f"grpcs://127.0.0.1:{grpc}") as server:
        server.keys = keys
        server.wait_until(lambda: server.get("/v2/health/ready")[0] == 200)
        yield server


@contextmanager
def torchserve(store: Path, folder: Path, keys: Keys) -> Iterator[Server]:
    """TorchServe with every archive of a model store, each under its file's stem; it speaks TLS and wants tokens."""
    python = python_of("torchserve")
    http, management, metrics, grpc, grpc_management = free_ports(5)
    lines = [f"inference_address=https://127.0.0.1:{http}", f"management_address=https://127.0.0.1:{management}"]
    lines += [
        f"metrics_address=https://127.0.0.1:{metrics}",
        "default_workers_per_model=1",
        "disable_system_metrics=true",
    ]
    lines += [f"grpc_inference_port={grpc}", f"grpc_management_port={grpc_management}", "token_expiration_min=60"]
    lines += [f"private_key_file={keys.key}", f"certificate_file={keys.certificate}"]
    (folder / "config.properties").write_text("\n".join(lines))
    models = {archive.stem: archive.name for archive in sorted(store.glob("*.mar"))}
    command = [python.with_name("torchserve"), "--foreground", "--ncs", "--model-store", store]
    command += [
        "--models",
        *(f"{name}={file}" for name, file in models.items()),
        "--ts-config",
        folder / "config.properties",
    ]
    given = {"PATH": f"{python.parent}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    given |= {"LOG_LOCATION": str(folder / "logs"), "METRICS_LOCATION": str(folder / "logs")}
    with _running(command, folder, given, f"https://127.0.0.1:{http}", f"grpcs://127.0.0.1:{grpc}") as server:
        server.keys, server.token_file = keys, folder / "token"
        server.wait_until(lambda: server.get("/ping")[0] == 400)  # it wants the token here too
        tokens = json.loads((folder / "key_file.json").read_text())
        server.token_file.write_text(tokens["inference"]["key"])
        server.wait_until(lambda: all(_works(server, name, management, tokens["management"]["key"]) for name in models))
        yield server


def _works(server: Server, model: str, port: int, token: str) -> bool:
    """Whether all workers of a model have read it."""
    status, body = server.get(f"/models/{model}", port, token)
    return status == 200 and all(worker["status"] == "READY" for worker in json.loads(body)[0]["workers"])


@contextmanager
def tensorflow_serving(models: Path, folder: Path, keys: Keys) -> Iterator[Server]:
    """What stands in TensorFlow Serving's place; TLS is for gRPC only, as there."""
    for package in ("tensorflow", "grpc", "tensorflow_serving"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; it comes with the extras keras and judges")
    http, grpc = free_ports(2)
    command = [sys.executable, "-W", "ignore", "-m", "tests.serving.tensorflow_serving", models, str(http), str(grpc)]
    command += [keys.certificate, keys.key]
    given = {"PYTHONPATH": str(Path(__file__).parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with _running(command, folder, given, f"http://127.0.0.1:{http}", f"grpcs://127.0.0.1:{grpc}") as server:
        server.keys = keys
        server.wait_until(lambda: server.get("/v1/models/none")[0] == 404)
        yield server


@contextmanager
def _running(
    command: Sequence[str | Path], folder: Path, environment: dict[str, str], url: str, grpc_url: str
) -> Iterator[Server]:
    log = folder / "server.log"
    given = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")} | environment
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=given, cwd=folder, start_new_session=True
        )
    server = Server(process, url, grpc_url, log)
    try:
        yield server
    finally:
        if process.poll() is None:
            server.kill()


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
