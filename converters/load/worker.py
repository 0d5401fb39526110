"""A framework at work in a process of its own: its crash, its hang, and its hunger for memory are one clear error each.

The child imports a module, calls its ``convert(request, folder)``, and leaves its files in the folder:
``model.tflite``, ``reference.npz`` (``inputs``, ``output_0``, ...) and ``said.json``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from pydantic import JsonValue

from converters.load.loaded import Loaded, LoadOptions, Reference
from edge_sdk.errors import MissingPackageError, ModelError

_ROOT = Path(__file__).parents[2]
_START = "import sys; sys.path[0] = sys.argv.pop(1); from converters.load.child import main; main()"
_LOOK_S = 0.05
_LAST_LINES = 12
_KINDS = {"ModelError": ModelError}


@dataclass(frozen=True)
class Said:
    """What the child says of its work.

    Attributes:
        format, route, framework: see ``Loaded`` and ``Reference``.
        notes: one sentence each.
    """

    format: str
    route: str
    framework: str
    notes: tuple[str, ...] = ()


def translate(module: str, path: Path, options: LoadOptions, **request: JsonValue) -> Loaded:
    """Run a module's ``convert`` on a model in a child process.

    Args:
        module: such as ``"converters.load.keras_child"``.
        path: the model.
        options: limits, and what the child is told.
        request: more to tell it.

    Raises:
        ModelError: if the framework refuses the model, crashes, hangs or takes too much memory.
        MissingPackageError: if the framework is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="edge-sdk-load-") as name:
        folder = Path(name)
        run_child(module, folder, path, options, {"path": str(path.resolve()), **request})
        said = Said(**json.loads((folder / "said.json").read_text()))
        return Loaded(
            content=(folder / "model.tflite").read_bytes(),
            format=said.format,
            route=said.route,
            reference=_reference(folder, said.framework),
            notes=tuple(said.notes),
        )


def run_child(module: str, folder: Path, path: Path, options: LoadOptions, request: Mapping[str, JsonValue]) -> None:
    """Run a module's ``convert`` in a child process; it leaves ``said.json``, and what else it makes, in the folder.

    Args:
        module: such as ``"converters.load.keras_child"``.
        folder: empty, or with what the child is to find.
        path: of the model, for messages.
        options: limits, and what the child is told.
        request: more to tell it.

    Raises:
        ModelError, MissingPackageError: see ``translate``.
    """
    (folder / "request.json").write_text(json.dumps({**options.model_dump(mode="json"), **request}))
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", _START, str(_ROOT), module, str(folder)]
    limit_mb = options.memory_mb or 0.9 * available_mb()
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=quiet, start_new_session=True
        )
        try:
            _watch(child, path, options.timeout_s, limit_mb)
        finally:
            _end(child)
    if child.returncode or not (folder / "said.json").is_file():
        _fail(child.returncode, folder, path)


def _watch(child: subprocess.Popen[bytes], path: Path, timeout_s: float, limit_mb: float) -> None:
    stop = time.monotonic() + timeout_s
    while True:
        try:
            child.wait(_LOOK_S)
            return
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() > stop:
            raise ModelError(
                f"{path}: the framework had not come back after {timeout_s:g} s, and was stopped. Give it longer "
                "(--load-timeout), or look for a loop in the model that does not end"
            )
        if (taken := resident_mb(child.pid)) > limit_mb:
            raise ModelError(
                f"{path}: the framework took {taken:,.0f} MB of memory, {limit_mb:,.0f} MB are allowed, and was stopped. "
                "Use a machine with more memory, or export the model to ONNX or float .tflite there and give that"
            )


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _fail(code: int, folder: Path, path: Path) -> NoReturn:
    error = folder / "error.json"
    if error.is_file():
        told = json.loads(error.read_text())
        if told["kind"] == "MissingPackageError":
            raise MissingPackageError(told["package"], needed_for=told["needed_for"], install=told["install"])
        raise ModelError(f"{path}: {told['message']}")
    log = (folder / "log").read_text(errors="replace").strip().splitlines()
    last = "\n  ".join(log[-_LAST_LINES:]) or "nothing"
    if code == -signal.SIGKILL:
        how = "was killed by the system, most likely for want of memory: use a machine with more of it"
    elif code < 0:
        how = f"crashed ({signal.Signals(-code).name})"
    else:
        how = f"ended with exit code {code}"
    raise ModelError(
        f"{path}: the framework {how} while it translated the model. "
        f"Export the model to ONNX or float .tflite and give that. It said last:\n  {last}"
    )


def _reference(folder: Path, framework: str) -> Reference:
    with np.load(folder / "reference.npz", allow_pickle=False) as stored:
        outputs = tuple(stored[f"output_{number}"] for number in range(len(stored.files) - 1))
        return Reference(framework, stored["inputs"], outputs)


def available_mb() -> float:
    """Memory that can be had without swapping, in 10^6 bytes."""
    return _field_kib(Path("/proc/meminfo"), "MemAvailable:") * 1024 / 1e6


def resident_mb(pid: int) -> float:
    """Resident memory of a process in 10^6 bytes; 0 when it has ended."""
    return _field_kib(Path(f"/proc/{pid}/status"), "VmRSS:") * 1024 / 1e6


def _field_kib(file: Path, name: str) -> int:
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
