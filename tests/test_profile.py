"""Where a model's time goes: cuts that compute what the whole does, times that add up to it, and a page that shows it."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_sdk.cli import group
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import ConfigError, EngineCrashError, EngineError, ModelError
from edge_sdk.noise import noise
from edge_sdk.openvino.archive import Archive
from edge_sdk.profiling import onnx as onnx_profiler
from edge_sdk.profiling import profile as profile_module
from edge_sdk.profiling import roof
from edge_sdk.profiling.cut import Cutter
from edge_sdk.profiling.figures import OperatorTime, Profile, Roof
from edge_sdk.profiling.litert import rising
from edge_sdk.profiling.page import page
from edge_sdk.profiling.profile import profile_model
from edge_sdk.profiling.roof import convolution
from edge_sdk.profiling.stated import stated_roof
from edge_sdk.profiling.text import profile_lines
from edge_sdk.profiling.work import onnx_macs, tflite_bytes, tflite_macs
from edge_sdk.tflite import describe
from tests.endless_model import endless_model
from tests.streaming_model import sum_model
from tests.tiny_models import image_net

ROOF = Roof(10.0, 5.0, "as told")


def run(content: bytes, image: np.ndarray) -> list[np.ndarray]:
    with open_engine("litert", content, isolation="none") as engine:
        engine.input_arrays[0][...] = image
        return [output.copy() for output in engine.run()]


def inputs(content: bytes) -> list[np.ndarray]:
    with open_engine("litert", content, isolation="none") as engine:
        return [noise(spec.shape, spec.dtype) for spec in engine.inputs]


def test_a_cut_gives_what_the_whole_model_has_there() -> None:
    content = image_net()
    model, image = describe(content), inputs(content)[0]
    whole = run(content, image)
    last = len(model.operators)
    assert last > 2
    np.testing.assert_array_equal(run(Cutter(content).after(last, model.outputs), image)[0], whole[0])
    for count in range(1, last):
        operator = model.operators[count - 1]
        shorter = Cutter(content).after(count, operator.outputs)
        again = describe(shorter)
        assert len(again.operators) == count
        assert again.outputs == operator.outputs
        (made,) = run(shorter, image)
        assert made.shape == model.tensors[operator.outputs[0]].shape
        if operator.name == "CONV_2D":
            assert np.isfinite(made).all() and np.ptp(made) > 0


def test_what_is_no_model_is_not_cut() -> None:
    for content in (b"", b"garbage" * 10, image_net()[:100]):
        with pytest.raises(ModelError):
            Cutter(content)


def test_times_add_up_to_the_whole_and_name_the_operators() -> None:
    content = image_net(size=64)
    told: list[tuple[int, int]] = []
    found = profile_model("net", "litert", content, inputs(content), {}, progress=lambda *done: told.append(done))
    model = describe(content)
    assert [operator.kind for operator in found.operators] == [operator.name for operator in model.operators]
    assert all(operator.ms >= 0 for operator in found.operators)
    assert found.sum_ms > 0
    assert [operator.macs for operator in found.operators] == [tflite_macs(model, each) for each in model.operators]
    assert told[-1][0] == told[-1][1]
    assert found.ran_mb >= found.loaded_mb > 0
    assert found.roof.gmacs_s is not None and found.roof.gmacs_s > 0


def test_a_model_that_keeps_a_state_is_profiled_as_well() -> None:
    content = sum_model()
    found = profile_model("sum", "litert", content, inputs(content), {})
    assert {operator.kind for operator in found.operators} == {
        each.name for each in describe(content).operators if not each.subgraph
    }


def test_an_engine_without_a_profiler_says_so() -> None:
    with pytest.raises(
        ConfigError, match=r"engine null has no profiler here; profile a variant of litert, onnx, openvino"
    ):
        profile_model("n", "null", b"", [np.zeros((1, 4), np.int8)], {})


def test_a_model_that_hangs_is_given_up() -> None:
    content = endless_model()
    with pytest.raises(EngineError, match="did not end within 2 s"):
        profile_model("endless", "litert", content, [np.zeros((1,), np.float32)], {}, budget_s=0.2)


def test_a_process_that_does_not_start_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "_PROGRAM", "import os; os.close(0); os._exit(3)")
    with pytest.raises(EngineCrashError, match="exit code 3; while it was profiled"):
        profile_model("n", "litert", b"", [np.zeros(1 << 20, np.int8)], {"x": "y" * (1 << 20)})


def test_what_a_library_prints_is_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    chatty = "child._progress = lambda done, total: os.write(1, b'INFO: of a library')"
    program = f"import os, sys; sys.path[:] = {{path!r}}; from edge_sdk.profiling import child; {chatty}; child.main()"
    monkeypatch.setattr(profile_module, "_PROGRAM", program)
    content = image_net()
    assert profile_model("n", "litert", content, inputs(content), {}, budget_s=1).operators


def test_without_an_interpreter_the_processors_roof_is_not_known_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setattr(roof, "_MOVED_BYTES", 1 << 20)
    found = roof.measured_roof("int8")
    assert found.gmacs_s is None and found.gbytes_s > 0
    assert "a copy of 1 MB; no convolution, as that needs ai-edge-litert" in found.origin


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_the_rising_sequence_is_the_closest_one_that_never_falls(times: list[float]) -> None:
    found = rising(times)
    assert all(a <= b + 1e-6 for a, b in pairwise(found))
    assert np.isclose(found.sum(), sum(times))
    if all(a <= b for a, b in pairwise(times)):
        np.testing.assert_array_equal(found, times)


# Work


def test_multiply_accumulates_of_a_net_by_hand() -> None:
    model = describe(image_net(classes=4, size=16))
    conv = next(operator for operator in model.operators if operator.name == "CONV_2D")
    image, weights = (model.tensors[i].shape for i in conv.inputs[:2])
    made = model.tensors[conv.outputs[0]].shape
    assert tflite_macs(model, conv) == made[1] * made[2] * weights[0] * weights[1] * weights[2] * image[3]
    assert tflite_bytes(model, conv) == 4 * (np.prod(image) + np.prod(weights) + np.prod(made) + made[3])


@pytest.mark.parametrize(
    ("kind", "taken", "made", "macs"),
    [
        ("Conv", [(1, 3, 8, 8), (16, 3, 3, 3)], (1, 16, 6, 6), 16 * 36 * 27),
        ("Conv", [(1, 8, 8, 8), (8, 1, 3, 3)], (1, 8, 8, 8), 8 * 64 * 9),
        ("QLinearConv", [(1, 3, 8, 8), (), (), (16, 3, 3, 3)], (1, 16, 6, 6), 16 * 36 * 27),
        ("ConvTranspose", [(1, 4, 5, 5), (4, 6, 2, 2)], (1, 6, 10, 10), 4 * 25 * 6 * 4),
        ("MatMul", [(2, 3), (3, 5)], (2, 5), 30),
        ("Gemm", [(1, 64), (64, 10)], (1, 10), 640),
        ("Gemm", [(1, 64), (10, 64)], (1, 10), 640),
        ("Relu", [(1, 64)], (1, 64), 0),
    ],
)
def test_multiply_accumulates_of_onnx(
    kind: str, taken: list[tuple[int, ...]], made: tuple[int, ...], macs: int
) -> None:
    assert onnx_macs(kind, taken, made) == macs


def test_the_large_convolution_of_the_roof_runs_in_both_types() -> None:
    for dtype in ("int8", "float32"):
        model = describe(convolution(dtype))
        assert tflite_macs(model, model.operators[0]) == 32 * 32 * 256 * 256
        assert model.float_tensors() == () if dtype == "int8" else model.float_tensors()
        (made,) = run(convolution(dtype), np.ones((1, 32, 32, 256)))
        assert np.ptp(made) == 0


def test_the_roof_is_the_lower_of_memory_and_processor() -> None:
    assert ROOF.least_ms(macs=10_000_000, size_bytes=1) == pytest.approx(1.0)  # 10^7 at 10^10 a second
    assert ROOF.least_ms(macs=1, size_bytes=5_000_000) == pytest.approx(1.0)
    assert (ROOF.bound(10_000_000, 1), ROOF.bound(1, 5_000_000), ROOF.bound(0, 100), ROOF.bound(1, 0)) == (
        "compute",
        "memory",
        "memory",
        "",
    )


def test_what_the_makers_state_is_named_with_the_board() -> None:
    assert stated_roof("raspberry-pi-5") == "Raspberry Pi 5, 500, CM5: 17.1 GB/s, 76.8 GMAC/s of int8 on one core"
    assert stated_roof("coral-usb") == ""


# ONNX Runtime


def event(name: str, dur: int) -> dict[str, object]:
    args = {
        "op_name": "Conv",
        "provider": "CPUExecutionProvider",
        "input_type_shape": [{"float": [1, 3, 8, 8]}, {"float": [16, 3, 3, 3]}],
        "output_type_shape": [{"float": [1, 16, 6, 6]}],
        "activation_size": "768",
        "parameter_size": "1728",
        "output_size": "2304",
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": args}


def test_events_of_onnx_runtime_are_averaged_without_the_first_runs() -> None:
    session = {"cat": "Session", "name": "model_run", "dur": 1, "args": {}}
    events = [session, *[event("a", dur) for dur in (9_000, 9_000, 9_000, 100, 300)], event("b", 50)]
    a, b = onnx_profiler.times_of(events)
    assert (a.name, a.kind, a.ms, a.macs, a.bytes, a.note) == ("a", "Conv", 0.2, 15_552, 4_800, "CPUExecutionProvider")
    assert (b.number, b.ms) == (1, 0.05)


def small_onnx() -> bytes:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    conv = helper.make_node("Conv", ["x", "w"], ["c"], name="conv")
    relu = helper.make_node("Relu", ["c"], ["y"], name="relu")
    graph = helper.make_graph(
        [conv, relu],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 14, 14))],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


IMAGE = [np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)]


def test_an_onnx_model_is_profiled_by_onnx_runtime() -> None:
    times = onnx_profiler.operator_times(small_onnx(), IMAGE, threads=1)
    assert {each.kind for each in times} & {"Conv", "FusedConv"}
    blocks = max(each.macs for each in times) / (
        14 * 14 * 27
    )  # of output channels: in blocks of the vector's width, where it has some
    assert blocks in (4, 8, 16)


def test_an_openvino_model_is_profiled_by_its_counters(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    model = openvino.Core().read_model(small_onnx())
    openvino.serialize(model, str(tmp_path / "m.xml"), str(tmp_path / "m.bin"))
    archive = Archive((tmp_path / "m.xml").read_bytes(), (tmp_path / "m.bin").read_bytes())
    found = profile_model("m", "openvino", archive.packed(), IMAGE, {})
    assert [each.macs for each in found.operators if each.kind == "Convolution"] == [4 * 14 * 14 * 27]
    assert found.sum_ms > 0


# For people


def made(**changes: object) -> Profile:
    operators = (
        OperatorTime(0, "first<b>", "CONV_2D", 0.6, 3_000_000, 100_000),
        OperatorTime(1, "second", "ADD", 0.3, 0, 600_000),
        OperatorTime(2, "third", "CONV_2D", 0.1, 900_000, 40_000),
    )
    given_: dict[str, object] = {
        "model": "net & co",
        "engine": "e",
        "method": "by hand",
        "whole_ms": 1.1,
        "operators": operators,
        "library_mb": 10.0,
        "loaded_mb": 12.0,
        "ran_mb": 15.0,
        "roof": ROOF,
    }
    return Profile(**{**given_, **changes})  # type: ignore[arg-type]


def test_the_table_says_what_is_long_and_what_bounds_it() -> None:
    text = "\n".join(profile_lines(made(stated="Board: 9 GB/s")))
    assert re.search(r"CONV_2D +2 +0\.700 +70\.0 +##############", text)
    assert re.search(r"0 +CONV_2D +first<b> +0\.600 +60\.0 +5\.0 +50 +compute", text)
    assert re.search(r"1 +ADD +second +0\.300 +30\.0 +40 +memory", text)
    assert "+2.0 the model, +3.0 its first runs" in text
    assert "Board: 9 GB/s" in text


def test_the_page_has_both_pictures_and_no_name_breaks_it() -> None:
    html = page(made())
    assert html.count("<svg") == 2
    assert "first<b>" not in html and "first&lt;b&gt;" in html and "net &amp; co" in html
    assert html.count("<circle") == 2  # those with multiply-accumulates
    assert "http" not in html
    without = page(made(roof=Roof(None, 5.0, "as told")))
    assert without.count("<svg") == 1


def test_the_command_profiles_a_model_and_writes_a_page(tmp_path: Path) -> None:
    model, html = tmp_path / "net.tflite", tmp_path / "net.html"
    model.write_bytes(image_net())
    command = ["profile", str(model), "--json", "--budget", "1", "--html", str(html)]
    done = CliRunner().invoke(group, command, catch_exceptions=False)
    figures = json.loads(done.stdout)
    assert figures["sum_ms"] > 0
    assert len(figures["operators"]) == len(describe(image_net()).operators)
    assert "flame picture" in html.read_text()
    again = CliRunner().invoke(group, command)
    assert "exists already" in str(again.exception)


@pytest.mark.slow
def test_a_bundle_is_profiled_on_its_golden_input(face_bundle: Path) -> None:
    done = CliRunner().invoke(group, ["profile", str(face_bundle), "--board", "raspberry-pi-5"], catch_exceptions=False)
    assert "face.edge, tflite-int8" in done.stdout
    assert "Raspberry Pi 5" in done.stdout
