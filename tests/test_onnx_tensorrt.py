"""TensorRT and CUDA behind ONNX Runtime: what is sent to them, and what is said when they do not load.

They run on NVIDIA's hardware only: a stand-in is in their place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boards.detect import Detection
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import EngineError
from edge_sdk.onnx.providers import board_providers
from tests.jetson_stand_in import Jetson
from tests.onnx_models import convolution, doubling

Options = dict[str, str]


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


@pytest.mark.parametrize(
    ("quantized", "providers", "level"),
    [(True, "tensorrt,cuda,cpu", 0), (False, "tensorrt,cuda,cpu", 99), (True, "cuda,cpu", 99)],
)
def test_tensorrt_gets_a_quantized_graph_as_it_is_written(
    jetson: Jetson, quantized: bool, providers: str, level: int
) -> None:
    """ONNX Runtime would fold the weights into int8 constants, which TensorRT 8 refuses."""
    jetson.run(convolution(quantized=quantized).SerializeToString(), providers=providers)
    assert jetson.calls[-1]["level"] == level


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
