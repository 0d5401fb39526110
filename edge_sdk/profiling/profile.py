"""Profiling a variant, in a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_sdk.engines import Options
from edge_sdk.engines.family import module_path, raise_named
from edge_sdk.engines.wire import memory_file
from edge_sdk.errors import EngineCrashError, EngineError
from edge_sdk.profiling.figures import OperatorTime, Profile, Roof
from edge_sdk.tensors import Array

_PROGRAM = "import sys; sys.path[:] = {path!r}; from edge_sdk.profiling.child import main; main()"
_GRACE = 10  # times the budget: then it hangs


def profile_model(
    name: str,
    engine: str,
    content: bytes,
    inputs: Sequence[Array],
    options: Options,
    *,
    budget_s: float = 30.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Profile:
    """Where the time of one run goes.

    Args:
        name: of the model, for the report.
        engine: litert, onnx or openvino.
        content: of the model.
        inputs: one array for each of its inputs.
        options: of the engine.
        budget_s: about how long it may take.
        progress: told how much of how much is done, where that takes long.

    Raises:
        ConfigError: if the engine has no profiler, or an option is wrong.
        EngineError: if the engine refuses the model, hangs or dies.
    """
    packed = io.BytesIO()
    np.savez(packed, **{str(number): array for number, array in enumerate(inputs)})  # type: ignore[arg-type]
    fds = [memory_file("model", content), memory_file("inputs", packed.getvalue())]
    try:
        request = {"name": name, "engine": engine, "options": options, "budget_s": budget_s}
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(path=module_path())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=fds,
            text=True,
        )
        with child:
            assert child.stdin is not None  # noqa: S101 - it is a pipe
            with contextlib.suppress(BrokenPipeError):  # it died at its start, which is told below
                child.stdin.write(json.dumps({**request, "model": fds[0], "inputs": fds[1]}))
                child.stdin.close()
            return _answer(child, _GRACE * budget_s, progress)
    finally:
        for fd in fds:
            os.close(fd)


def _answer(child: subprocess.Popen[str], limit_s: float, progress: Callable[[int, int], None]) -> Profile:
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    hung = threading.Event()

    def give_up() -> None:
        hung.set()
        child.kill()

    timer = threading.Timer(limit_s, give_up)
    timer.start()
    try:
        for line in child.stdout:
            message = json.loads(line)
            if "error" in message:
                raise_named(message["error"])
            if "profile" in message:
                return _profile_of(message["profile"])
            progress(*message["progress"])
    finally:
        timer.cancel()
        child.kill()
    if hung.is_set():
        raise EngineError(f"profiling did not end within {limit_s:g} s; the model hangs, or needs a larger budget")
    code = child.wait()
    raise EngineCrashError(signal.Signals(-code).name if code < 0 else f"exit code {code}", "while it was profiled")


def _profile_of(content: dict[str, Any]) -> Profile:
    operators = tuple(OperatorTime(**each) for each in content["operators"])
    return Profile(**{**content, "operators": operators, "roof": Roof(**content["roof"])})
