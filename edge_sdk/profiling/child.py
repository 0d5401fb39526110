"""The process in which a model is profiled: what hangs or dies there takes nobody with it, and its memory is its own.

It reads a request from standard input, and prints one JSON object a line: progress, then the figures or an error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from edge_sdk.engines import Engine, Options, load_engine, warm_engine
from edge_sdk.errors import ConfigError, EdgeSdkError
from edge_sdk.profiling import litert, onnx, openvino
from edge_sdk.profiling.figures import OperatorTime, Profile
from edge_sdk.profiling.roof import measured_roof
from edge_sdk.tensors import Array
from edge_sdk.watchdog.processes import memory_mb

PROFILED = ("litert", "onnx", "openvino")
_WARM, _RUNS, _SECONDS = 3, 50, 1.0


def main() -> None:
    """Profile what the request says."""
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints there would stand among the messages
    try:
        request = json.load(sys.stdin)
        with np.load(f"/proc/self/fd/{request['inputs']}", allow_pickle=False) as file:
            inputs = [file[str(number)] for number in range(len(file.files))]
        profile = _profile(f"/proc/self/fd/{request['model']}", request, inputs)
    except EdgeSdkError as exc:
        _say(error=[type(exc).__name__, str(exc)])
        return
    except Exception as exc:  # noqa: BLE001 - a vendor's library may raise anything; it is told, not lost
        _say(error=["EngineError", f"profiling failed: {type(exc).__name__}: {exc}"])
        return
    _say(profile=asdict(profile))


def _profile(path: str, request: dict[str, Any], inputs: Sequence[Array]) -> Profile:
    name, options = request["engine"], request["options"]
    warm_engine(name)
    library_mb = _memory_mb()
    with load_engine(name, path, options) as engine:
        loaded_mb = _memory_mb()
        whole_ms = _whole_ms(engine, inputs)
        ran_mb, description = _memory_mb(), engine.description
        dtype = engine.inputs[0].dtype
    operators, method = _operators(name, path, options, inputs, float(request["budget_s"]))
    roof = measured_roof("int8" if dtype in ("int8", "uint8") else dtype)
    return Profile(request["name"], description, method, whole_ms, operators, library_mb, loaded_mb, ran_mb, roof)


def _operators(
    engine: str, path: str, options: Options, inputs: Sequence[Array], budget_s: float
) -> tuple[tuple[OperatorTime, ...], str]:
    threads = int(options.get("threads", "1"))
    match engine:
        case "litert":
            return litert.operator_times(Path(path).read_bytes(), inputs, threads, budget_s, _progress), litert.METHOD
        case "onnx":
            return onnx.operator_times(Path(path).read_bytes(), inputs, threads), onnx.METHOD
        case "openvino":
            return openvino.operator_times(path, inputs, options), openvino.METHOD
    raise ConfigError(f"engine {engine} has no profiler here; profile a variant of {', '.join(PROFILED)}")


def _whole_ms(engine: Engine, inputs: Sequence[Array]) -> float:
    for array, given in zip(engine.input_arrays, inputs, strict=True):
        array[...] = given
    took: list[float] = []
    until = monotonic() + _SECONDS
    while len(took) < _WARM + _RUNS and (len(took) < 2 * _WARM or monotonic() < until):
        began = perf_counter()
        engine.run()
        took.append(perf_counter() - began)
    return median(took[_WARM:]) * 1_000


def _memory_mb() -> float:
    return memory_mb([os.getpid()])


def _progress(done: int, total: int) -> None:
    _say(progress=[done, total])


def _say(**message: object) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
