"""A stand-in for NVIDIA's build of onnxruntime, which runs on its own hardware only: "TensorRT" builds a file, and what it is told is kept.

Copied as ``onnxruntime/__init__.py`` into a folder in front of the real one. ``ORT_STAND_IN`` names a folder. Its file ``calls`` gets one
JSON object a session; its file ``orders`` (JSON) may hold:

    unoffered   providers that are not in it
    absent      providers that do not load
    log         what is printed then
    build       "hang", "fail", or how many seconds it takes
    reject      engines that were kept are not taken: an error
    rebuild     they are built anew in silence
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__version__ = os.environ.get("ORT_STAND_IN_VERSION", "1.23.0")
_NAMES = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
GraphOptimizationLevel = SimpleNamespace(ORT_DISABLE_ALL=0, ORT_ENABLE_ALL=99)


def get_available_providers() -> list[str]:
    return [name for name in _NAMES if name not in _orders().get("unoffered", [])]


def _orders() -> dict[str, Any]:
    file = Path(os.environ["ORT_STAND_IN"]) / "orders"
    return dict(json.loads(file.read_text())) if file.exists() else {}


class SessionOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class _Binding:
    def __init__(self) -> None:
        self.arrays: dict[str, tuple[int, int]] = {}

    def bind_input(self, name: str, device: str, number: int, kind: Any, shape: list[int], address: int) -> None:
        self.arrays[name] = (address, 4)

    bind_output = bind_input


class InferenceSession:
    """Of one input and one output, a float each: y = 2 x."""

    def __init__(
        self, path: str, options: SessionOptions, providers: list[tuple[str, dict[str, str]]], enable_fallback: int
    ) -> None:
        orders = _orders()
        with (Path(os.environ["ORT_STAND_IN"]) / "calls").open("a") as calls:
            call = {"providers": providers, "entries": options.entries, "fallback": enable_fallback, "pid": os.getpid()}
            call["level"] = options.graph_optimization_level  # type: ignore[attr-defined]
            calls.write(json.dumps(call) + "\n")
        self._names = [name for name, _ in providers if name not in orders.get("absent", [])]
        if "log" in orders:
            os.write(2, f"{orders['log']}\n".encode())
        told = dict(providers).get("TensorrtExecutionProvider")
        if told is not None and _NAMES[0] in self._names:
            self._tensorrt(told, orders)

    def _tensorrt(self, told: dict[str, str], orders: dict[str, Any]) -> None:
        folder = Path(told["trt_engine_cache_path"])
        kept = list(folder.glob("*.engine"))
        if kept and orders.get("reject"):
            raise RuntimeError("TensorRT EP failed to deserialize engine from cache")
        if kept and not orders.get("rebuild"):
            return
        if isinstance(build := orders.get("build"), float):
            time.sleep(build)
        if build == "hang":
            time.sleep(3600)
        engine = folder / f"{told['trt_engine_cache_prefix']}_1_sm87.engine"
        engine.write_bytes(b"half")
        if build == "fail":
            raise RuntimeError("TensorRT EP failed to create engine from network")
        engine.write_bytes(os.urandom(32))
        if told["trt_timing_cache_enable"] == "1":
            timing = Path(told["trt_timing_cache_path"]) / "TensorrtExecutionProvider_cache_sm87.timing"
            timing.write_bytes((timing.read_bytes() if timing.exists() else b"") + b"kernel ")

    def get_providers(self) -> list[str]:
        return [*self._names, *([] if _NAMES[2] in self._names else [_NAMES[2]])]

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="x", type="tensor(float)", shape=[1])]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="y", type="tensor(float)", shape=[1])]

    def io_binding(self) -> _Binding:
        return _Binding()

    def run_with_iobinding(self, binding: _Binding) -> None:
        (entry, _), (end, _) = binding.arrays["x"], binding.arrays["y"]
        ctypes.c_float.from_address(end).value = 2 * ctypes.c_float.from_address(entry).value
