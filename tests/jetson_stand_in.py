"""A machine where TensorRT seems to be: a stand-in for NVIDIA's build of onnxruntime, and for the two libraries that tell versions."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.engines.process import ProcessEngine
from tests.onnx_models import doubling

_LIBRARIES = {
    "libnvinfer.so.10": "int getInferLibVersion(void) { return VERSION; }",
    "libcuda.so.1": """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return number ? 101 : 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Orin", size); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 7; return 0; }
""",
}


@cache
def _compiled(name: str, version: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = ["cc", "-shared", "-fPIC", f"-DVERSION={version}", "-x", "c", "-", "-o", f"{folder}/made"]
        subprocess.run(command, input=_LIBRARIES[name], text=True, check=True)
        return Path(f"{folder}/made").read_bytes()


class Jetson:
    """A machine where TensorRT seems to be.

    Attributes:
        cache: the folder of its builds; packages: that of the stand-in.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        self.cache = folder / "cache"
        self.packages = folder / "packages"
        package = self.packages / "onnxruntime"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text((Path(__file__).parent / "onnxruntime_stand_in.py").read_text())
        monkeypatch.setenv("ORT_STAND_IN", str(folder))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
        monkeypatch.syspath_prepend(str(package.parent))
        self.has_tensorrt("100300")

    def has_tensorrt(self, version: str) -> None:
        for name in _LIBRARIES:
            (self._folder / name).unlink(missing_ok=True)
            (self._folder / name).write_bytes(_compiled(name, version))

    def has_no(self, library: str) -> None:
        (self._folder / library).unlink()

    def has_onnxruntime(self, version: str) -> None:
        self._monkeypatch.setenv("ORT_STAND_IN_VERSION", version)

    def order(self, **orders: object) -> None:
        (self._folder / "orders").write_text(json.dumps(orders))

    def open(self, model: bytes | None = None, **options: str) -> ProcessEngine:
        told = {"providers": "tensorrt,cuda,cpu", "cache": str(self.cache), **options}
        return ProcessEngine("onnx", doubling() if model is None else model, told, hang_ms=2_000)

    def run(self, model: bytes | None = None, **options: str) -> None:
        with self.open(model, **options) as engine:
            engine.input_arrays[0][...] = 21
            assert engine.run()[0][0] == 42

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._folder / "calls").read_text().splitlines()]

    @property
    def last(self) -> dict[str, str]:
        """What TensorRT was told last."""
        return dict(self.calls[-1]["providers"])["TensorrtExecutionProvider"]

    @property
    def builds(self) -> int:
        return sum(
            dict(call["providers"])["TensorrtExecutionProvider"]["trt_timing_cache_enable"] == "1"
            for call in self.calls
        )

    @property
    def engine_folder(self) -> Path:
        (folder,) = (path for path in self.cache.glob("engine-*") if path.is_dir())
        return folder
