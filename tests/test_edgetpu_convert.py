"""``edge-sdk convert --board coral-...``: the plan and, where the compiler is there, the compiled variant; where not, how to come by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from converters import ConvertResult, convert
from edge_sdk.bundle import Bundle
from edge_sdk.cli import group
from tests.edgetpu_stand_in import compiling_stand_in, stand_in
from tests.tiny_models import image_net

CONTRACT = {"input": "image", "colour": "rgb", "range": (0, 1), "resize": "stretch"}


def made(folder: Path, *boards: str, name: str = "net.edge", **more: object) -> ConvertResult:
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    np.save(folder / "noise.npy", noise)
    (folder / "net.tflite").write_bytes(image_net())
    data = f"{folder}/noise.npy?colour=rgb"
    return convert(
        folder / "net.tflite", output=folder / name, calibrate=data, contract=CONTRACT, boards=boards, **more
    )  # type: ignore[arg-type]


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("EDGETPU_COMPILER", raising=False)


@pytest.mark.usefixtures("no_compiler")
def test_without_the_compiler_the_bundle_has_the_plan_and_the_command_is_said(tmp_path: Path) -> None:
    done = made(tmp_path, "coral-usb", "coral-dev-board")
    with Bundle(done.bundle) as bundle:
        (variant,) = bundle.manifest.variants
        plan = bundle.plan_of(variant)
        assert variant.plan == "plans/tflite-int8.json"
        assert plan is not None
        assert plan.model_sha256 == bundle.manifest.files[variant.file].sha256
        assert bundle.manifest.schema_version == 4
    shown = done.figures.edgetpu
    assert shown is not None
    assert (shown.plan, shown.not_compiled) == (plan, "edgetpu_compiler is not here")
    assert shown.edges == ((0, 1), (1, 2), (2, 3))
    usb, dev_board = done.figures.boards
    assert usb.variant is None
    assert "edge-sdk edgetpu compile. Until then its host runs tflite-int8" in usb.note
    assert (dev_board.variant, dev_board.runs_on) == ("tflite-int8", "processor")
    assert "once it is compiled" in dev_board.note
    assert "edge-sdk edgetpu compile net.edge &amp;&amp;" in done.html.read_text()
    said = CliRunner().invoke(group, ["inspect", str(done.bundle)])
    assert said.exit_code == 0, said.output
    assert f"edge-sdk edgetpu compile {done.bundle} && edge-sdk edgetpu add {done.bundle}" in " ".join(
        said.output.split()
    )
    told = json.loads(CliRunner().invoke(group, ["inspect", str(done.bundle), "--json"]).output)
    assert told["plans"] == {"tflite-int8": plan.model_dump(mode="json")}


@pytest.mark.usefixtures("no_compiler")
def test_other_boards_get_no_plan_and_an_old_bundle(tmp_path: Path) -> None:
    done = made(tmp_path, "raspberry-pi-5")
    assert done.figures.edgetpu is None
    with Bundle(done.bundle) as bundle:
        assert bundle.plan_of(bundle.variant()) is None
        assert bundle.manifest.schema_version == 1
    assert "Edge TPU" not in CliRunner().invoke(group, ["inspect", str(done.bundle)]).output


@pytest.mark.usefixtures("no_compiler")
def test_the_same_conversion_under_another_name_is_the_same_bundle(tmp_path: Path) -> None:
    first, second = made(tmp_path, "coral-usb", name="a.edge"), made(tmp_path, "coral-usb", name="b.edge")
    assert first.bundle.read_bytes() == second.bundle.read_bytes()


def test_with_the_compiler_the_compiled_variant_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_stand_in(tmp_path, monkeypatch)
    done = made(tmp_path, "coral-usb", "coral-dev-board", "raspberry-pi-5")
    with Bundle(done.bundle) as bundle:
        int8, compiled = bundle.manifest.variants
        assert (int8.id, compiled.id, compiled.plan) == ("tflite-int8", "edgetpu", int8.plan)
        assert b"edgetpu-custom-op" in bundle.model_of(compiled)
        assert bundle.variant().id == "tflite-int8"  # what runs anywhere stays in front
    shown = done.figures.edgetpu
    assert shown is not None
    assert shown.comparison is not None
    assert shown.comparison.agrees, shown.comparison
    assert (shown.compiler, shown.command) == ("16.0.384591198", "")
    assert [(run.name, run.variant, run.runs_on) for run in done.figures.boards] == [
        ("coral-usb", "edgetpu", "Edge TPU"),
        ("coral-dev-board", "edgetpu", "Edge TPU"),
        ("raspberry-pi-5", "tflite-int8", "processor"),
    ]
    assert not any("coral-usb" in warning for warning in done.figures.warnings)
    output = CliRunner().invoke(group, ["inspect", str(done.bundle)]).output
    assert "edge-sdk edgetpu compile" not in output


def test_each_int8_variant_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_stand_in(tmp_path, monkeypatch)
    done = made(tmp_path, "coral-usb", recipes=["int8", "int16x8", "int8-per-tensor"])
    with Bundle(done.bundle) as bundle:
        assert [variant.id for variant in bundle.manifest.variants] == [
            "tflite-int8",
            "tflite-int16x8",
            "tflite-int8-per-tensor",
            "edgetpu",
            "edgetpu-per-tensor",
        ]


def test_a_model_that_came_full_integer_is_compiled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_stand_in(tmp_path, monkeypatch)
    first = made(tmp_path)
    with Bundle(first.bundle) as bundle:
        (tmp_path / "int8.tflite").write_bytes(bundle.model_of(bundle.variant()))
    done = convert(tmp_path / "int8.tflite", output=tmp_path / "out.edge", contract=CONTRACT, boards=["coral-pcie"])
    with Bundle(done.bundle) as bundle:
        assert [variant.id for variant in bundle.manifest.variants] == ["tflite-int8", "edgetpu"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "os.kill(os.getpid(), signal.SIGSEGV)\n",
            "Google's compiler failed: edgetpu_compiler 16.0.384591198 crashed (SIGSEGV)",
        ),
        ("print('Internal compiler error. Aborting!')\n", "ended well but left no net_edgetpu.tflite"),
        ("pathlib.Path('net_edgetpu.tflite').write_bytes(b'half')\n", "Google's compiler failed: "),
    ],
)
def test_a_compiler_that_fails_costs_the_variant_and_not_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    stand_in(tmp_path, monkeypatch, body)
    done = made(tmp_path, "coral-usb")
    assert any(said in warning for warning in done.figures.warnings), done.figures.warnings
    with Bundle(done.bundle) as bundle:
        assert [variant.id for variant in bundle.manifest.variants] == ["tflite-int8"]
        assert bundle.plan_of(bundle.variant()) is not None


def test_a_compiler_that_maps_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = "pathlib.Path('net_edgetpu.tflite').write_bytes(pathlib.Path('net.tflite').read_bytes())\n"
    stand_in(tmp_path, monkeypatch, copy)
    done = made(tmp_path, "coral-usb")
    assert done.figures.edgetpu is not None
    assert "maps nothing of it" in done.figures.edgetpu.not_compiled
    with Bundle(done.bundle) as bundle:
        assert len(bundle.manifest.variants) == 1
