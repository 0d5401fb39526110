"""TensorRT and CUDA behind ONNX Runtime: what is sent to them, the cache of what they build, and what is said when they do not load.

They run on NVIDIA's hardware only: a stand-in for its build of onnxruntime, and for the two libraries that tell versions, stands for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from boards.detect import Detection
from edge_sdk.engines.isolation import open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import EngineError, EngineHangError
from edge_sdk.onnx.providers import board_providers
from tests.onnx_models import convolution, doubling

Options = dict[str, str]
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


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jetson:
    return Jetson(tmp_path, monkeypatch)


# What is sent


@pytest.mark.parametrize(
    ("how", "options", "int8", "fp16"),
    [
        ({}, {}, "0", "0"),
        ({"quantized": True}, {}, "1", "0"),
        ({"half": True}, {}, "0", "1"),
        ({"quantized": True}, {"fp16": "on"}, "1", "1"),
        ({"quantized": True}, {"int8": "off"}, "0", "0"),
    ],
)
def test_int8_and_float16_are_told_as_the_model_is_or_the_user_says(
    jetson: Jetson, how: dict[str, bool], options: Options, int8: str, fp16: str
) -> None:
    jetson.run(convolution(**how).SerializeToString(), **options)
    assert (jetson.last["trt_int8_enable"], jetson.last["trt_fp16_enable"]) == (int8, fp16)
    assert not any("calibration" in key for key in jetson.last)


def test_every_option_reaches_its_provider(jetson: Jetson) -> None:
    jetson.run(workspace_mb="512", threads="3", spin="on")
    call, told = jetson.calls[-1], jetson.last
    assert [name for name, _ in call["providers"]] == [
        "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider",
    ]  # fmt: skip
    assert dict(call["providers"])["CUDAExecutionProvider"] == {"device_id": "0"}
    assert told == {
        "device_id": "0",
        "trt_int8_enable": "0",
        "trt_fp16_enable": "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(jetson.engine_folder.with_suffix(".new")),
        "trt_engine_cache_prefix": "edge-sdk",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": told["trt_timing_cache_path"],
        "trt_max_workspace_size": str(512 << 20),
    }
    assert call["fallback"] == 0
    assert call["entries"]["session.intra_op.allow_spinning"] == "1"


def test_without_cpu_nothing_may_run_there(jetson: Jetson) -> None:
    jetson.run(providers="tensorrt,cuda")
    assert jetson.calls[-1]["entries"]["session.disable_cpu_ep_fallback"] == "1"


# The cache


def test_an_engine_is_built_once(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.run()
    said = capfd.readouterr().err
    assert (
        "building the TensorRT engine of model" in said and "it may take up to 1800 s" in said and "done after" in said
    )
    with jetson.open() as engine:
        engine.restart()
    assert jetson.builds == 1 and len(jetson.calls) == 3
    assert Path(jetson.last["trt_engine_cache_path"]) == jetson.engine_folder
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda jetson: jetson.has_tensorrt("100301"),
        lambda jetson: jetson.has_onnxruntime("1.24.0"),
        lambda jetson: jetson.run(fp16="on"),
        lambda jetson: jetson.run(doubling((1, 3, 8, 16))),
        lambda jetson: jetson.run(workspace_mb="64"),
    ],
    ids=["TensorRT", "ONNX Runtime", "float16", "another model", "workspace"],
)
def test_an_engine_of_another_version_is_never_used(jetson: Jetson, change: Callable[[Jetson], None]) -> None:
    jetson.run()
    first = jetson.engine_folder
    kept = {path.name: path.read_bytes() for path in first.iterdir()}
    change(jetson)
    if jetson.builds == 1:
        jetson.run()
    assert jetson.builds == 2
    assert {path.name: path.read_bytes() for path in first.iterdir()} == kept


def _cut(folder: Path) -> None:
    engine = next(folder.glob("*.engine"))
    engine.write_bytes(engine.read_bytes()[:5])


def _flip(folder: Path) -> None:
    engine = next(folder.glob("*.engine"))
    content = bytearray(engine.read_bytes())
    content[3] ^= 1
    engine.write_bytes(content)


def _lose(folder: Path) -> None:
    next(folder.glob("*.engine")).unlink()


def _unseal(folder: Path) -> None:
    (folder / "cache.json").unlink()


def _garble(folder: Path) -> None:
    (folder / "cache.json").write_text("{")


def _other(folder: Path) -> None:
    seal = json.loads((folder / "cache.json").read_text())
    seal["facts"]["tensorrt"] = "8.6.2"
    (folder / "cache.json").write_text(json.dumps(seal))


@pytest.mark.parametrize("damage", [_cut, _flip, _lose, _unseal, _garble, _other])
def test_a_damaged_or_half_written_engine_is_built_anew_and_that_is_said(
    jetson: Jetson, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    jetson.run()
    damage(jetson.engine_folder)
    capfd.readouterr()
    jetson.run()
    assert jetson.builds == 2
    assert "is not used and removed: " in capfd.readouterr().err
    jetson.run()
    assert jetson.builds == 2


def test_a_build_that_was_killed_leaves_nothing_that_is_used(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.order(build="hang")
    with pytest.raises(EngineHangError, match="hang budget of 1000 ms"):
        jetson.open(build_s="1")
    assert list(jetson.cache.glob("engine-*.new")) and not [p for p in jetson.cache.glob("engine-*") if not p.suffix]
    jetson.order()
    jetson.run()
    assert "an interrupted build of the engine is removed" in capfd.readouterr().err
    assert not list(jetson.cache.glob("*.new"))


def test_a_build_may_take_longer_than_a_start(jetson: Jetson) -> None:
    jetson.order(build="hang")
    told = {"providers": "tensorrt,cuda,cpu", "cache": str(jetson.cache), "build_s": "2"}
    with pytest.raises(EngineHangError, match="hang budget of 2000 ms"):
        ProcessEngine("onnx", doubling(), told, hang_ms=100, start_ms=1_500)


def test_a_build_that_fails_says_why_and_keeps_nothing(jetson: Jetson) -> None:
    jetson.order(build="fail", log="2026 [E:onnxruntime:Default, trt.cc:9 log] out of memory")
    with pytest.raises(EngineError, match=r"failed to create engine from network \(out of memory\)"):
        jetson.open()
    assert not [path for path in jetson.cache.iterdir() if path.is_dir()]


def test_an_engine_that_tensorrt_does_not_take_is_built_anew(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.run()
    jetson.order(reject=True)
    jetson.run()
    assert jetson.builds == 2
    assert "failed to deserialize engine" in capfd.readouterr().err


def test_an_engine_built_anew_in_silence_is_said(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.run()
    jetson.order(rebuild=True)
    jetson.run()
    assert "TensorRT did not take it and built anew" in capfd.readouterr().err
    jetson.order()
    jetson.run()
    assert jetson.builds == 2


def test_what_was_measured_of_kernels_is_kept_from_build_to_build(jetson: Jetson) -> None:
    jetson.run()
    jetson.run(doubling((1, 3, 8, 16)))
    (timing,) = jetson.cache.glob("timing-*/*.timing")
    assert timing.read_bytes() == b"kernel kernel "


def test_two_processes_build_one_engine(jetson: Jetson) -> None:
    jetson.run()
    with jetson.open() as first, jetson.open() as second:
        first.run()
        second.run()
    assert jetson.builds == 1


def test_a_folder_that_cannot_be_written_is_named(jetson: Jetson, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"cannot be written: .*Name another folder with the option cache"):
        jetson.open(cache=str(tmp_path / "file" / "cache"))


# What did not load


def test_a_provider_that_did_not_load_in_silence_is_an_error_with_the_reason(jetson: Jetson) -> None:
    reason = "Failed to load library libonnxruntime_providers_tensorrt.so with error: libnvinfer.so.8: cannot open"
    jetson.order(absent=["TensorrtExecutionProvider"], log=f"2026 [E:onnxruntime:Default, b.cc:1 Get] {reason}")
    with pytest.raises(EngineError, match=r"TensorRT did not load.*libnvinfer.so.8: cannot open.*providers=cuda,cpu"):
        jetson.open()


def test_what_went_wrong_and_did_not_stop_it_is_said(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.order(log="2026 [E:onnxruntime:Default, b.cc:1 Get] a layer was slow")
    jetson.run()
    assert "onnxruntime said, and went on: a layer was slow" in capfd.readouterr().err


@pytest.mark.parametrize(("library", "thing"), [("libnvinfer.so.10", "TensorRT"), ("libcuda.so.1", "CUDA's driver")])
def test_a_library_that_is_missing_is_named(jetson: Jetson, library: str, thing: str) -> None:
    jetson.has_no(library)
    with pytest.raises(EngineError, match=f"{thing} cannot be loaded: .*{library}.*--runtime nvidia"):
        jetson.open()


def test_a_gpu_that_is_not_there_is_named(jetson: Jetson) -> None:
    with pytest.raises(EngineError, match=r"CUDA has no GPU 1 \(its error 101\)"):
        jetson.open(gpu="1")


@pytest.mark.parametrize(("number", "version"), [("100300", "10.3.0"), ("8602", "8.6.2"), ("8201", "8.2.1")])
def test_both_forms_of_versions_are_read(jetson: Jetson, number: str, version: str) -> None:
    jetson.has_tensorrt(number)
    jetson.run()
    assert json.loads((jetson.engine_folder / "cache.json").read_text())["facts"]["tensorrt"] == version


_INLINE = """
import os, sys
from edge_sdk.engines.isolation import open_engine
from tests.onnx_models import doubling
with open_engine("onnx", doubling(), {"providers": "tensorrt,cuda,cpu", "cache": sys.argv[1]}, isolation="none") as engine:
    engine.input_arrays[0][...] = 21
    assert engine.run()[0][0] == 42
print(os.getpid())
"""


def test_inline_too_it_is_built_in_a_process_that_can_be_ended(jetson: Jetson) -> None:
    program = [sys.executable, "-c", _INLINE, str(jetson.cache)]
    path = os.pathsep.join([str(jetson.packages), str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    first, last = jetson.calls
    assert first["pid"] != last["pid"] == int(done.stdout)
    assert jetson.builds == 1


# The board's own


def test_what_the_board_has_and_the_package_has_not_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge_sdk.onnx.providers.board_providers", lambda: ("tensorrt", "cuda", "cpu"))
    opened = open_engine("onnx", doubling(), isolation="none")  # on the real package, which has the processor alone
    assert "CPU, without this board's TensorRT, CUDA, 1 thread" in opened.description
    assert "runs the model without this board's TensorRT, CUDA, on CPU. On a Jetson install" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["jetson-nano", "jetson-xavier-nx", "jetson-orin-nano", "jetson-agx-orin"])
def test_a_jetson_tries_tensorrt_then_cuda_then_its_processor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boards.detect.detect", lambda: Detection(name, (), ()))
    board_providers.cache_clear()
    try:
        assert board_providers() == ("tensorrt", "cuda", "cpu")
    finally:
        board_providers.cache_clear()
