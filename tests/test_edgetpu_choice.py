"""Which variant runs, in which engine: by the board's order, by what is there, and never silently another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_sdk.bundle import Bundle
from edge_sdk.choice import choose_variant
from edge_sdk.cli import group
from edge_sdk.engines import engine_for, own_options
from edge_sdk.errors import ConfigError, DeviceError
from edge_sdk.loop import Loop
from tests.edgetpu_delegate import Bench, Device
from tests.edgetpu_models import both_bundle, compiled_model
from tests.small_bundles import Numbers

CORAL = ("edgetpu", "tflite-int8")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return both_bundle(tmp_path / "both.edge", kinds=("tflite-int8", "edgetpu"))


def choose(bundle: Path, *args: str, **settings: object) -> tuple[str, str]:
    with Bundle(bundle) as opened:
        choice = choose_variant(opened, *args, **settings)  # type: ignore[arg-type]
    return choice.variant.id, choice.instead


def test_the_board_orders_the_kinds(bundle: Path, edgetpu: Device) -> None:
    assert choose(bundle, kinds=CORAL) == ("edgetpu", "")
    assert choose(bundle, kinds=CORAL[::-1]) == ("tflite-int8", "")
    assert choose(bundle) == ("tflite-int8", "")


def test_without_an_edge_tpu_the_processor_runs_and_it_is_said(
    bundle: Path, edgetpu_bench: Bench, tmp_path: Path
) -> None:
    for kinds in (CORAL, ("edgetpu",)):  # a USB Accelerator's profile states what it runs itself
        variant, instead = choose(bundle, kinds=kinds)
        assert variant == "tflite-int8"
        assert instead.startswith("no Edge TPU is seen; running tflite-int8 on the processor instead of edgetpu")
    assert choose(both_bundle(tmp_path / "tpu-first.edge"))[0] == "tflite-int8"


def test_what_was_asked_for_by_name_is_not_replaced(bundle: Path, edgetpu_bench: Bench) -> None:
    assert choose(bundle, "edgetpu") == ("edgetpu", "")
    assert choose(bundle, kinds=CORAL, engine="edgetpu") == ("edgetpu", "")


def test_a_bundle_for_the_edge_tpu_alone_is_left_to_its_engine(edgetpu_bench: Bench, tmp_path: Path) -> None:
    assert choose(both_bundle(tmp_path / "tpu.edge", kinds=("edgetpu",))) == ("edgetpu", "")


@pytest.mark.parametrize(
    ("kind", "engine"),
    [("edgetpu", "edgetpu"), ("edgetpu-small", "edgetpu"), ("tflite-int8", "litert"), ("tflite-float32", "litert")],
)
def test_the_engine_follows_from_the_kind(kind: str, engine: str) -> None:
    assert engine_for(kind) == engine_for(kind, engine) == engine
    assert engine_for(kind, "faulty") == "faulty"


def test_an_engine_that_cannot_run_the_kind_is_refused_with_the_one_that_can() -> None:
    with pytest.raises(ConfigError, match=r"engine litert cannot run a variant of kind edgetpu; .* name edgetpu"):
        engine_for("edgetpu", "litert")
    with pytest.raises(ConfigError, match="engine edgetpu cannot run a variant of kind tflite-int8"):
        engine_for("tflite-int8", "edgetpu")
    with pytest.raises(ConfigError, match="engine edgetpu cannot run a variant of kind hailo-hef; name one that does"):
        engine_for("hailo-hef", "edgetpu")
    with pytest.raises(ConfigError, match="no engine of edge-sdk runs a variant of kind hailo-hef"):
        engine_for("hailo-hef")


def test_options_go_to_the_engine_that_has_them_and_unknown_ones_to_its_refusal() -> None:
    given = {"device": "usb:1", "threads": "2", "colour": "red"}
    assert own_options("edgetpu", given) == given
    assert own_options("litert", given) == {"threads": "2", "colour": "red"}
    assert own_options("faulty", given) == given


def run_loop(bundle: Path, library: Path, **settings: object) -> Loop:
    options = {"library": str(library), "threads": "1"}
    with Loop(bundle, Numbers(3), deadline_ms=1_000, engine_options=options, **settings) as loop:  # type: ignore[arg-type]
        assert len(list(loop)) == 3
    return loop


def test_the_loop_runs_on_the_edge_tpu_of_the_board(bundle: Path, edgetpu_library: Path, edgetpu: Device) -> None:
    report = run_loop(bundle, edgetpu_library, board="coral-usb").report()
    assert report.variant == "edgetpu" and "on Edge TPU usb:0" in report.engine
    assert report.event_counts == {"standby_ready": 1}


def test_the_loop_says_and_counts_that_it_runs_on_the_processor(
    bundle: Path, edgetpu_library: Path, edgetpu_bench: Bench
) -> None:
    told = []
    report = run_loop(bundle, edgetpu_library, board="coral-usb", on_event=told.append).report()
    assert report.variant == "tflite-int8"
    assert report.event_counts == {"cpu_instead": 1}
    assert [event.kind for event in told] == ["cpu_instead"]


def test_the_loop_refuses_an_engine_that_cannot_run_the_variant(
    bundle: Path, edgetpu_library: Path, edgetpu: Device
) -> None:
    with pytest.raises(ConfigError, match="engine litert cannot run a variant of kind edgetpu"):
        run_loop(bundle, edgetpu_library, variant="edgetpu", engine="litert")


def test_the_loop_does_not_replace_what_was_asked_for(
    bundle: Path, edgetpu_library: Path, edgetpu_bench: Bench
) -> None:
    with pytest.raises(DeviceError, match="no Edge TPU at all"):
        run_loop(bundle, edgetpu_library, variant="edgetpu", standby=False)
    report = run_loop(bundle, edgetpu_library, variant="edgetpu").report()
    assert set(report.served) == {"tflite-int8 on litert"}
    assert "there is no Edge TPU at all" in next(e.message for e in report.events if e.kind == "standby_on")


def test_bench_measures_the_boards_variant_or_says_which_instead(bundle: Path, edgetpu: Device) -> None:
    edgetpu.vanish()
    done = CliRunner().invoke(group, ["bench", str(bundle), "--runs", "5", "--board", "coral-usb", "--json"])
    assert done.exit_code == 0, done.output
    assert "cpu_instead: no Edge TPU is seen" in done.stderr
    assert json.loads(done.stdout)["model"] == "both.edge, tflite-int8"


def test_bench_runs_a_compiled_model_on_the_edge_tpu(edgetpu_library: Path, edgetpu: Device, tmp_path: Path) -> None:
    model = tmp_path / "compiled.tflite"
    model.write_bytes(compiled_model())
    arguments = ["bench", str(model), "--runs", "5", "--engine-option", f"library={edgetpu_library}"]
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 0, done.output
    assert "on Edge TPU usb:0" in done.output
    assert edgetpu.done >= 5


def test_run_says_it_at_the_start(bundle: Path, edgetpu_bench: Bench) -> None:
    arguments = ["run", str(bundle), "--source", "synthetic", "--deadline", "1000", "--board", "coral-usb", "--json"]
    done = CliRunner().invoke(group, [*arguments, "--results", "1"])
    assert "cpu_instead: no Edge TPU is seen; running tflite-int8" in done.stderr, done.output
