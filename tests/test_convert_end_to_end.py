"""From a real model and a real video to a bundle: proven, compared, deterministic, and whole or not there."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters import ConvertResult, convert
from converters.interpreter import open_interpreter
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import check_golden, difference
from edge_sdk.encoder import Encoder
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import BoardError, ConfigError, DataError, EdgeSdkError, OutputError
from tests.tiny_models import image_net

FACE = Path(__file__).parents[1] / "examples" / "face" / "model.toml"
CONTRACT = {"input": "image", "colour": "rgb", "range": [-1, 1], "resize": "stretch"}


@pytest.fixture(scope="module")
def face(face_model: Path, carphone: Path, tmp_path_factory: pytest.TempPathFactory) -> ConvertResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETPU_COMPILER", "none")  # also where Google's compiler is installed
        return convert(
            face_model,
            config=FACE,
            calibrate=f"{carphone}?stop=60",
            holdout=f"{carphone}?start=60",
            boards=["raspberry-pi-5", "coral-usb"],
            output=tmp_path_factory.mktemp("face") / "face.edge",
        )


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(image_net())
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        cv2.imwrite(str(folder / f"{number:02d}.png"), rng.integers(0, 256, (20, 24, 3), np.uint8))
    return folder


def small(net: Path, photos: Path, output: Path, **more: object) -> ConvertResult:
    return convert(net, output=output, calibrate=photos, contract=CONTRACT, task="classify", **more)  # type: ignore[arg-type]


def test_face_detector_is_proven_and_agrees_with_float(face: ConvertResult) -> None:
    figures = face.figures
    assert figures.proof.full_integer
    assert figures.proof.float16_weights_folded == 74
    assert figures.int8_bytes < figures.float_bytes / 2
    detect = figures.parity.detect
    assert detect is not None
    assert figures.parity.held_out
    assert (detect.frames, detect.frames_float) == (60, 60)
    assert detect.frames_int8 >= 0.98 * detect.frames_float
    assert detect.mean_iou is not None
    assert detect.mean_iou >= 0.9
    assert len(figures.parity.layers) > 50
    assert all(layer.sqnr_db is not None and layer.sqnr_db > 10 for layer in figures.parity.layers)
    assert [(run.name, run.variant) for run in figures.boards] == [
        ("raspberry-pi-5", "tflite-int8"),
        ("coral-usb", None),
    ]
    said = "Board coral-usb: On its Edge TPU once it is compiled: edge-sdk edgetpu compile."
    assert any(warning.startswith(said) for warning in figures.warnings)


def test_bundle_holds_what_the_device_needs_and_reproduces_its_golden_vectors(face: ConvertResult) -> None:
    with Bundle(face.bundle) as bundle:
        variant = bundle.variant()
        assert (variant.kind, [spec.name for spec in variant.outputs]) == (
            "tflite-int8",
            ["regressors", "classificators"],
        )
        assert bundle.labels() == ("face",)
        assert bundle.manifest.task == face.figures.task
        assert json.loads(bundle.read("report.json"))["parity"]["samples"] == 60
        with open_engine("litert", bundle.read(variant.file), isolation="none") as engine:
            check = check_golden(bundle, variant, engine)
    assert check is not None
    assert (check.inputs, check.worst) == (2, 0.0)


def test_golden_tolerance_covers_kernels_that_round_otherwise(face: ConvertResult) -> None:
    """TensorFlow Lite's own kernels and the optimised ones round differently, layer after layer."""
    with Bundle(face.bundle) as bundle:
        variant = bundle.variant()
        content, inputs, outputs = (
            bundle.read(variant.file),
            bundle.arrays("golden/inputs.npz"),
            bundle.arrays(str(variant.golden)),
        )
        encoder = Encoder(bundle.manifest.contract, variant.inputs[0])
    own = open_interpreter(content, optimised=False)
    tensor, worst = np.empty(variant.inputs[0].shape, np.int8), 0.0
    for number in inputs:
        encoder.encode(inputs[number], tensor)
        own.set_tensor(own.get_input_details()[0]["index"], tensor)
        own.invoke()
        for place, details in enumerate(own.get_output_details()):
            worst = max(
                worst,
                difference(variant.outputs[place], own.get_tensor(details["index"]), outputs[f"{number}.{place}"]),
            )
    assert 1 < worst <= variant.golden_tolerance == 2 * worst


def test_report_stands_beside_the_bundle(face: ConvertResult) -> None:
    assert face.html.name == "face.report.html"
    assert "face_detection_short_range" in face.html.read_text()
    assert json.loads(face.json.read_text())["proof"]["full_integer"] is True


def test_same_input_gives_the_same_bundle(net: Path, photos: Path, tmp_path: Path) -> None:
    first, second = (small(net, photos, tmp_path / f"{name}.edge").bundle.read_bytes() for name in "ab")
    assert first == second


def test_golden_vectors_of_choice_are_stored(net: Path, photos: Path, tmp_path: Path) -> None:
    result = small(net, photos, tmp_path / "net.edge", golden=photos)
    with Bundle(result.bundle) as bundle:
        stored = bundle.arrays("golden/inputs.npz")
    assert sorted(stored) == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(stored["0"], cv2.imread(str(photos / "00.png")))


def test_comparing_on_calibration_samples_is_said(net: Path, photos: Path, tmp_path: Path) -> None:
    figures = small(net, photos, tmp_path / "net.edge").figures
    assert not figures.parity.held_out
    assert any("flatters" in warning for warning in figures.warnings)


@pytest.mark.parametrize(
    ("classes", "said"), [(3000, r"hardly follows the float one \(0\.\d dB\)"), (20000, "has collapsed to one value")]
)
def test_output_too_fine_for_its_steps_is_warned_of(tmp_path: Path, classes: int, said: str) -> None:
    """A softmax over thousands of classes stays around or below one step of 1/256."""
    path = tmp_path / "net.tflite"
    path.write_bytes(image_net(classes=classes))
    windows = np.random.default_rng(0).uniform(-1e-4, 1e-4, (12, 16, 16, 3)).astype(np.float32)
    np.save(tmp_path / "windows.npy", windows)
    told = {"calibrate": tmp_path / "windows.npy", "contract": {"input": "tensor"}}
    result = convert(path, output=tmp_path / "net.edge", repair=False, **told)
    assert any(re.search(f"'scores' of the int8 model {said}", warning) for warning in result.figures.warnings)


@pytest.mark.parametrize("name", ["net.edge", "net.report.html", "net.report.json"])
def test_existing_output_is_refused_before_the_work(net: Path, photos: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("keep me")
    steps: list[str] = []
    with pytest.raises(OutputError, match=f"{name} exists already"):
        small(net, photos, tmp_path / "net.edge", progress=lambda step, done, total: steps.append(step))
    assert steps == []
    assert (tmp_path / name).read_text() == "keep me"
    small(net, photos, tmp_path / "net.edge", overwrite=True)
    assert (tmp_path / name).read_bytes()[:7] != b"keep me"


@pytest.mark.parametrize("step", ["load", "calibrate", "quantize int8", "prove int8", "compare", "pack"])
def test_interrupt_at_any_step_leaves_old_files_whole_and_no_new_ones(
    net: Path, photos: Path, tmp_path: Path, step: str
) -> None:
    output = tmp_path / "net.edge"
    output.write_text("old")

    def interrupt(name: str, done: int, total: int) -> None:
        if name == step and done == total:
            raise KeyboardInterrupt

    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        small(net, photos, output, overwrite=True, progress=interrupt)
    left = {path.name for path in tmp_path.iterdir()} - set(before)
    assert left == set()
    assert output.read_text() == "old"


def test_full_disk_is_one_error_and_changes_nothing(net: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.edge"
    output.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(name: str, done: int, total: int) -> None:
        if name == "pack":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))

    try:
        with pytest.raises(OutputError, match=r"cannot write .*net\.edge: File too large; nothing was changed"):
            small(net, photos, output, overwrite=True, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.edge", "net.tflite", "photos"]


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"boards": ["raspberry-pi-6"]}, BoardError, "no board 'raspberry-pi-6'.*raspberry-pi-5"),
        (
            {"contract": {**CONTRACT, "colour": "gray"}},
            EdgeSdkError,
            r"colour gray, shape \(1, height, width, 1\); input 'image'",
        ),
        ({"labels": "two.txt"}, ConfigError, "2.*4|4.*2"),
        ({"holdout": "absent"}, DataError, "absent does not exist"),
        ({"evaluate": "absent"}, EdgeSdkError, "absent"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    net: Path, photos: Path, tmp_path: Path, more: dict[str, object], error: type[Exception], match: str
) -> None:
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    told = {"contract": CONTRACT, "task": "classify", **more}
    if "labels" in told:
        told["labels"] = tmp_path / str(told["labels"])
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(error, match=match):
        convert(net, output=tmp_path / "net.edge", calibrate=photos, **told)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def command(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "edge_sdk.cli", "convert", *map(str, words)]
    return subprocess.run(
        call, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"}
    )


def test_command_line_converts_with_flags_and_prints_the_figures(net: Path, photos: Path, tmp_path: Path) -> None:
    flags = ["--input", "image", "--colour", "rgb", "--range", "-1,1", "--resize", "stretch", "--task", "classify"]
    done = command(net, "--calibrate", photos, *flags, "--json", "-o", "net.edge", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert figures["contract"]["range"] == [-1.0, 1.0]
    assert figures["calibration"]["samples"] == 12
    again = command(net, "--calibrate", photos, *flags, "-o", "net.edge", folder=tmp_path)
    assert again.returncode == 1
    assert "net.edge exists already" in again.stderr


def test_command_line_asks_for_what_is_missing(net: Path, photos: Path, tmp_path: Path) -> None:
    done = command(net, "--calibrate", photos, "--input", "image", "-o", "net.edge", folder=tmp_path)
    assert done.returncode == 2
    assert "colour (rgb, bgr or gray" in done.stderr


def test_conversion_never_loads_tensorflow(net: Path, photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from converters import convert; "
        f"convert({str(net)!r}, output={str(tmp_path / 'net.edge')!r}, calibrate={str(photos)!r}, contract={CONTRACT!r}); "
        "sys.exit(any(name.partition('.')[0] in ('tensorflow', 'torch', 'jax', 'keras') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_every_recipe_makes_a_variant_that_the_device_runs(net: Path, photos: Path, tmp_path: Path) -> None:
    recipes = ("int8", "int8-uint8-io", "int8-per-tensor", "int16x8", "float16", "dynamic")
    result = small(net, photos, tmp_path / "net.edge", recipes=recipes)
    with Bundle(result.bundle) as bundle:
        found = [variant.id for variant in bundle.manifest.variants]
        assert found == [
            *("tflite-int8", "tflite-int8-uint8-io", "tflite-int8-per-tensor"),
            *("tflite-int16x8", "tflite-float16", "tflite-dynamic"),
        ]
        for variant in bundle.manifest.variants:
            engine = open_engine("litert", bundle.read(variant.file), isolation="none")
            engine.expect(variant.inputs, variant.outputs)
            check = check_golden(bundle, variant, engine)
            assert check is not None
            assert check.passed
    assert [v.full_integer for v in result.figures.variants] == [True, True, True, False, False]


def test_a_gate_that_has_nothing_to_go_by_is_refused_before_the_work(net: Path, photos: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    told = {"calibrate": photos, "contract": CONTRACT, "max_drop": "1%"}
    with pytest.raises(ConfigError, match=r"--max-drop needs right answers for task raw.*--evaluate"):
        convert(net, output=tmp_path / "net.edge", progress=lambda step, done, total: steps.append(step), **told)
    assert steps == []
