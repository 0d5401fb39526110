"""MLServer, Triton and TorchServe with an exported model, on loopback; each ends with its block.

What it printed is shown where it does not start.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
        http_port, grpc_port: on loopback.
        log: what it printed.
        ready_path: answers 200 when it takes requests.
    """

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int
    log: Path
    ready_path: str
    keys: Keys | None = field(default=None)

    def get(self, path: str) -> int:
        """The status of a GET over plain HTTP, or 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            return exc.code
        except OSError:
            return 0

    def kill(self) -> None:
        """SIGKILL to all of it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        return self.get(self.ready_path) == 200


def python_of(name: str) -> Path:
    """The server's Python, or the test is skipped with the reason."""
    try:
        return server_python(name)
    except NotInstalledError as exc:
        pytest.skip(str(exc))


@contextmanager
def mlserver(models: Path, folder: Path) -> Iterator[Server]:
    """MLServer with a repository of models."""
    python = python_of("mlserver")
    http, grpc, metrics = free_ports(3)
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,
    }
    given = {f"MLSERVER_{key.upper()}": str(value) for key, value in settings.items()}
    command = [python.with_name("mlserver"), "start", models]
    with _running(command, folder, {**given, "PROMETHEUS_MULTIPROC_DIR": ""}, http, grpc, "/v2/health/ready") as server:
        yield server


@contextmanager
def triton(models: Path, folder: Path, keys: Keys | None = None) -> Iterator[Server]:
    """Triton's own binary, out of pytriton's package, with a repository of models; with ``keys`` gRPC is over TLS."""
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
    if keys:
        command += ["--grpc-use-ssl=true", f"--grpc-server-cert={keys.certificate}", f"--grpc-server-key={keys.key}"]
    libraries = str(packages.parents[2] / "lib" / packages.parent.name / "site-packages/nvidia_pytriton.libs")
    given = {"LD_LIBRARY_PATH": libraries, "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(packages)}
    with _running(command, folder, given, http, grpc, "/v2/health/ready", keys) as server:
        yield server


@contextmanager
def torchserve(store: Path, folder: Path, keys: Keys | None = None, more: Sequence[str] = ()) -> Iterator[Server]:
    """TorchServe with every archive of a model store, each under its file's stem; with ``keys`` over TLS."""
    python = python_of("torchserve")
    http, management, metrics, grpc, grpc_management = free_ports(5)
    lines = [f"inference_address={'https' if keys else 'http'}://127.0.0.1:{http}"]
    lines += [f"management_address=http://127.0.0.1:{management}", f"metrics_address=http://127.0.0.1:{metrics}"]
    lines += [f"grpc_inference_port={grpc}", f"grpc_management_port={grpc_management}", "default_workers_per_model=1"]
    lines += ["disable_token_authorization=true", "disable_system_metrics=true", *more]
    lines += [f"private_key_file={keys.key}", f"certificate_file={keys.certificate}"] if keys else []
    (folder / "config.properties").write_text("\n".join(lines))
    named = [f"{archive.stem}={archive.name}" for archive in sorted(store.glob("*.mar"))]
    command = [python.with_name("torchserve"), "--foreground", "--ncs", "--model-store", store, "--models", *named]
    command += ["--ts-config", folder / "config.properties"]
    given = {"PATH": f"{python.parent}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    given |= {"LOG_LOCATION": str(folder / "logs"), "METRICS_LOCATION": str(folder / "logs")}
    ports = (management, grpc) if keys else (http, grpc)
    ready = f"/models/{named[0].partition('=')[0]}" if keys else "/ping"
    with _running(command, folder, given, *ports, ready, keys) as server:
        eventually(lambda: _has_workers(management, [each.partition("=")[0] for each in named]), START_S)
        server.http_port = http
        yield server


def _has_workers(port: int, models: Sequence[str]) -> bool:
    for model in models:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/models/{model}", timeout=5) as answer:
            if not all(worker["status"] == "READY" for worker in json.load(answer)[0]["workers"]):
                return False
    return True


@contextmanager
def _running(
    command: Sequence[str | Path],
    folder: Path,
    environment: dict[str, str],
    http_port: int,
    grpc_port: int,
    ready_path: str,
    keys: Keys | None = None,
) -> Iterator[Server]:
    log = folder / "server.log"
    given = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")} | environment
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=given, cwd=folder, start_new_session=True
        )
    server = Server(process, http_port, grpc_port, log, ready_path, keys)
    try:
        eventually(server._is_ready, START_S)
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


Start = Callable[..., "contextmanager[Server]"]
