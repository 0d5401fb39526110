"""Engine onnx on the real ONNX Runtime, on the processor: what it runs, what it refuses, and what it survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import ConfigError, EngineCrashError, EngineError, EngineHangError, MissingPackageError
from edge_sdk.onnx.model import read_model
from edge_sdk.onnx.runtime import find_runtime, hold_stderr
from edge_sdk.onnx.settings import settings_from
from tests.onnx_models import FLOAT, convolution, doubling, endless, made, node

HANG_MS = 300
ROOT = Path(__file__).parents[1]


def refused(content: bytes, **options: str) -> str:
    with pytest.raises(EngineError) as caught, open_engine("onnx", content, options, isolation="none"):
        pass
    return str(caught.value)


def serialized(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString())


# What it runs


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_it_computes_what_onnx_runtime_does(isolation: Isolation) -> None:
    content = serialized(convolution())
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    runtime = find_runtime()
    wanted = runtime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": image})[0]
    with open_engine("onnx", content, isolation=isolation, hang_ms=5_000) as engine:
        engine.input_arrays[0][...] = image
        assert np.array_equal(engine.run()[0], wanted)
        assert f"onnxruntime {runtime.__version__}, CPU, 1 thread" in engine.description


@pytest.mark.parametrize("kind", [TensorProto.INT8, TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_every_dtype_of_numbers_goes_in_and_out(kind: int) -> None:
    name = np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name
    identity = serialized(made([node("Identity", ["x"], ["y"])], (2, 3), dtype=kind))
    with open_engine("onnx", identity, isolation="none") as engine:
        assert engine.inputs[0].dtype == engine.outputs[0].dtype == name
        engine.input_arrays[0][...] = 3
        assert (engine.run()[0] == 3).all()


def test_arrays_that_another_put_in_its_place_are_read() -> None:
    with open_engine("onnx", doubling(), isolation="none") as engine:
        engine.run()
        engine.input_arrays = (np.full((1, 3, 8, 8), 21, np.float32),)
        assert (engine.run()[0] == 42).all()
        engine.input_arrays[0][...] = 1
        assert (engine.run()[0] == 2).all()
        engine.input_arrays = (np.zeros((1, 3, 16, 8), np.float32)[:, :, ::2],)
        with pytest.raises(EngineError, match="takes a contiguous array of float32"):
            engine.run()


def test_a_closed_engine_says_so() -> None:
    engine = open_engine("onnx", doubling(), isolation="none")
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run()


def test_functions_of_the_model_itself_are_no_operators_of_another_library() -> None:
    inner = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    outer = helper.make_function(
        "own", "Four", ["a"], ["c"], [node("Twice", ["a"], ["b"], domain="own"), node("Add", ["b", "b"], ["c"])],
        [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
    )  # fmt: skip
    model = made([node("Four", ["x"], ["y"], domain="own")], domains=("own",), functions=(outer, inner))
    with open_engine("onnx", serialized(model), isolation="none") as engine:
        engine.input_arrays[0][...] = 1
        assert (engine.run()[0] == 4).all()


# What it refuses


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x08\x08", b"\x00" * 64, os.urandom(256)])
def test_garbage_is_refused(content: bytes) -> None:
    assert "engine onnx refuses the model: it is no ONNX model" in refused(content)


def test_a_model_cut_short_is_refused() -> None:
    whole = serialized(convolution())
    for size in range(8, len(whole), 37):
        assert "refuses the model" in refused(whole[:size])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_model_with_a_wrong_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    content = bytearray(serialized(convolution(quantized=True)))
    content[at % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "broken.onnx"
    path.write_bytes(content)
    try:
        read_model(str(path))
    except EngineError as exc:
        assert "refuses the model" in str(exc)


def test_numbers_in_other_files_are_refused_before_anything_is_opened() -> None:
    said = refused(serialized(convolution(external=True)))
    assert "the numbers of 1 tensors (w) lie in other files, and a variant is one file" in said


def test_numbers_in_other_files_are_found_in_subgraphs_too() -> None:
    constant = helper.make_tensor("hidden", FLOAT, (1,), [1.0])
    constant.data_location = TensorProto.EXTERNAL
    branch = helper.make_graph(
        [node("Constant", [], ["c"], value=constant)], "b", [], [helper.make_tensor_value_info("c", FLOAT, (1,))]
    )
    condition = helper.make_tensor("on", TensorProto.BOOL, (), [True])
    nodes = [node("If", ["on"], ["y"], then_branch=branch, else_branch=branch)]
    said = refused(serialized(made(nodes, (1,), constants=(condition,))))
    assert "2 tensors (hidden, hidden) lie in other files" in said


def test_an_operator_of_another_library_is_named() -> None:
    model = made([node("Swish", ["x"], ["y"], domain="my.ops")], domains=("my.ops",))
    assert "operator my.ops.Swish is of a library of its own" in refused(serialized(model))


def test_an_operator_that_onnx_does_not_have_is_named() -> None:
    assert "Swash" in refused(serialized(made([node("Swash", ["x"], ["y"])])))


@pytest.mark.parametrize(("shape", "shown"), [(("batch", 3), "(batch, 3)"), ((None, 3), "(?, 3)")])
def test_dynamic_shapes_are_refused_by_name(shape: tuple[object, ...], shown: str) -> None:
    said = refused(serialized(made([node("Relu", ["x"], ["y"])], shape)))
    assert f"input 'x' has shape {shown}: it is dynamic. Export the model with fixed shapes" in said


def test_outputs_that_are_no_tensors_are_refused_by_name() -> None:
    model = made([node("SequenceConstruct", ["x"], ["y"])])
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, (1, 3, 8, 8)))
    model.graph.output[0].CopyFrom(helper.make_value_info("y", kind))
    assert "output 'y' is seq(tensor(float)); tensors of numbers can be used" in refused(serialized(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"providers": "tensorflow"},
            "providers are some of tensorrt, cuda, cpu, joined by commas; found 'tensorflow'",
        ),
        ({"providers": "cpu,cuda"}, "each provider stands once, cpu behind all others"),
        ({"providers": "cuda,cuda"}, "each provider stands once"),
        ({"threads": "no"}, "threads is a number from 1 to 64"),
        ({"spin": "yes"}, "spin is on or off; found 'yes'"),
        ({"int8": "1"}, "int8 is on or off"),
        ({"build_s": "0"}, "build_s is a number from 1 to 86400; found '0'"),
        ({"gpu": "nan"}, "gpu is a number from 0 to 63"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_engine("onnx", doubling(), options, isolation="none")


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_provider_that_is_not_in_the_package_is_an_error_with_what_to_do(isolation: Isolation) -> None:
    with pytest.raises(EngineError, match=r"provider cuda is not in onnxruntime .*, which has cpu.*providers=cpu"):
        open_engine("onnx", doubling(), {"providers": "cuda,cpu"}, isolation=isolation)


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'edge-device-sdk\[onnx-runtime\]'"):
        find_runtime()


# What it survives


def test_a_real_native_hang_ends_with_the_hang_budget() -> None:
    with ProcessEngine("onnx", endless(), hang_ms=HANG_MS) as engine:
        for _ in range(2):
            began = monotonic()
            with pytest.raises(EngineHangError, match=f"hang budget of {HANG_MS} ms"):
                engine.run()
            assert monotonic() - began < 2
            engine.restart()


def test_a_crash_is_named_and_survived() -> None:
    with ProcessEngine("onnx", endless(), hang_ms=20_000) as engine:
        crash = threading.Timer(0.2, os.kill, (engine.pid, signal.SIGSEGV))
        crash.start()
        with pytest.raises(EngineCrashError, match="SIGSEGV"):
            engine.run()
        crash.join()
        engine.restart()


# What it prints and starts


def test_import_and_engine_print_nothing_start_no_thread_and_send_nothing() -> None:
    code = """
import os
from edge_sdk.engines import engine_class
before = len(os.listdir("/proc/self/task"))
engine_class("onnx").warm()
assert len(os.listdir("/proc/self/task")) == before, "a fork server must have one thread"
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
from edge_sdk.engines.isolation import open_engine
from tests.onnx_models import doubling
open_engine("onnx", doubling(), isolation="none").run()
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_device_needs_no_package_onnx() -> None:
    code = f"""
import sys
sys.modules["onnx"] = None
from edge_sdk.engines.isolation import open_engine
open_engine("onnx", {doubling()!r}, isolation="none").run()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_native_code_prints_is_held(capfd: pytest.CaptureFixture[str]) -> None:
    with hold_stderr() as printed:
        os.write(2, b"2026-01-01 00:00:00 [E:onnxruntime:Default, a.cc:1 F] it broke\nand a line of no form\n")
    assert printed.errors == "it broke"
    assert capfd.readouterr().err == ""


def test_a_user_without_a_home_needs_a_folder_for_tensorrt_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert settings_from({}).cache is None
    with pytest.raises(ConfigError, match="cache is a folder; of '~other/x' there is no home"):
        settings_from({"cache": "~other/x"})
