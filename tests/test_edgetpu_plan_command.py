"""``edge-sdk edgetpu plan``: what it prints, and what it refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from converters.targets.edgetpu.plan import make_plan
from converters.targets.edgetpu.text import plan_lines, size
from edge_sdk.cli import group
from edge_sdk.edgetpu.plan import Estimate, Plan
from edge_sdk.errors import ConfigError, ModelError
from tests.edgetpu_graphs import IntegerModel, one_operator, with_a_gap
from tests.tiny_models import image_net


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(with_a_gap())
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(group, ["edgetpu", "plan", *map(str, args)], catch_exceptions=False)


def test_the_table_says_what_maps_and_why_the_rest_does_not(model: Path) -> None:
    text = run(model).output
    assert text.startswith("net.tflite: 4 of 7 operators run on the Edge TPU (compiler 16.0.384591198, runtime 14)")
    assert "2  FLOOR     processor  [supported] the Edge TPU has no FLOOR" in text
    assert "cut: at operator 2, FLOOR 'floored' [supported]" in text
    assert "partitions: 2 runs could map; the compiler makes the first" in text
    assert "transfer at every inference: 192 B in" in text
    assert "nothing streamed" in text


def test_long_runs_stand_in_one_line_unless_all_are_wanted(tmp_path: Path) -> None:
    net = IntegerModel()
    entry = last = net.quantized("input", (1, 8, 8, 3))
    for place in range(6):
        last = net.convolution(last, 4, name=f"conv{place}")
    path = tmp_path / "chain.tflite"
    path.write_bytes(net.build([entry], [last]))
    assert "0-5  6 operators  Edge TPU  CONV_2D" in run(path).output
    assert run(path, "--all").output.count("CONV_2D") == 6
    assert "cut: none" in run(path).output


def test_for_machines_it_is_the_plan_itself(model: Path) -> None:
    plan = Plan.model_validate_json(run(model, "--json").output)
    assert plan == make_plan(with_a_gap())
    assert plan.model_sha256 == hashlib.sha256(with_a_gap()).hexdigest()
    assert [operator.index for operator in plan.mapped] == [0, 1, 5, 6]
    assert plan.cut == 2
    assert plan.operators[0].macs == 8 * 8 * 16 * 3


def test_an_older_runtime_can_be_planned_for(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(one_operator("QUANTIZE", output_dtype="UINT8"))
    assert "1 of 1" in run(path).output
    assert "[runtime] QUANTIZE needs runtime 13; this is planned for 12" in run(path, "--runtime-version", 12).output
    assert "(compiler 2.0.267685300, runtime 12)" in run(path, "--compiler-version", "2.0.267685300").output
    with pytest.raises(ConfigError, match="compiler 99 is not known"):
        make_plan(path.read_bytes(), compiler="99")


def test_a_float_model_says_that_nothing_maps(tmp_path: Path) -> None:
    path = tmp_path / "float.tflite"
    path.write_bytes(image_net())
    text = run(path).output
    assert "0 of 5 operators" in text
    assert "nothing maps" in text
    assert "[types] 'image' is float32; int8 or uint8 is needed" in text


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"is no bundle and no \.tflite model"):
        run(path)
    compiled = tmp_path / "net_edgetpu.tflite"
    compiled.write_bytes(one_operator("edgetpu-custom-op"))
    with pytest.raises(ModelError, match="compiled for the Edge TPU already"):
        run(compiled)


def test_times_are_printed_with_their_spread_and_the_faster_side() -> None:
    plan = make_plan(with_a_gap()).model_copy(
        update={
            "tpu": {
                "usb3": Estimate(ms=3, low_ms=2, high_ms=4),
                "pcie": Estimate(ms=2, low_ms=1, high_ms=3, extrapolated=True),
            },
            "cpu": {"usb3": Estimate(ms=1, low_ms=0.8, high_ms=1.3)},
        }
    )
    text = "\n".join(plan_lines(plan, "net"))
    assert "usb3: 3 ms (2 to 4); the processor alone: 1 ms (0.8 to 1.3), which is faster" in text
    assert "pcie: 2 ms (1 to 3, extrapolated)" in text


def test_bytes_are_printed_as_the_compiler_prints_them() -> None:
    assert [size(n) for n in (0, 1023, 1536, 5 << 20)] == ["0 B", "1023 B", "1.50 KiB", "5.00 MiB"]
