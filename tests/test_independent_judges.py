"""Real models through the public way, judged by two programs that share no code with ours.

Arm's compiler for Ethos-U (vela) finds every operator integer and of a form that the NPU takes; OpenVINO computes the same as LiteRT.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.formats import data
from benchmarks.formats.models import ROWS, Model
from converters import convert
from converters.calibrate.ranges import encoded
from converters.calibrate.samples import RawSample
from converters.interpreter import open_interpreter
from converters.load import LoadOptions, load
from edge_sdk.bundle.read import Bundle
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.tflite import describe
from examples.assets import models as assets
from tests.test_quantize_independent import specification

pytestmark = pytest.mark.slow

_HANDS = {"input": "image", "colour": "rgb", "range": (0, 1), "resize": "letterbox"}
_NO_JUDGE = ROWS[0].judge  # nothing is measured against the truth here
OTHERS = (
    Model("Palm detector", "detect", "float .tflite", assets.palm_detector, _HANDS, data.talking_man, _NO_JUDGE, ""),
    Model("Hand landmarks", "pose", "float .tflite", assets.hand_landmarks, _HANDS, data.talking_man, _NO_JUDGE, ""),
)
KEYS = (
    "efficientnet-lite0.onnx", "mobilenetv2.pt2", "dog-breeds-mobilenetv2.h5", "emotions-mini-xception.hdf5",
    "pp-ocr-text-direction.onnx", "ssd-mobilenetv2.tflite", "blazeface-short-range.tflite", "blazeface-full-range.tflite",
    "blazepose-detector.tflite", "selfie-segmentation.tflite", "pp-ocrv4-text-detection.onnx", "face-landmarks.tflite",
    "iris-landmarks.tflite", "blazepose-landmarks.tflite", "basic-pitch.tflite", "palm-detector.tflite", "hand-landmarks.tflite",
)  # fmt: skip
MODELS = {model.key: model for model in (*ROWS, *OTHERS) if model.key in KEYS}

CALIBRATED_ON, COMPARED_ON = 24, 8


@dataclass(frozen=True)
class Made:
    """A model, its int8 form, and input tensors that it was not calibrated on."""

    key: str
    real: bytes
    int8: bytes
    inputs: tuple[Array, ...]
    full_integer: bool


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(MODELS[request.param], tmp_path_factory.mktemp("judged"))


def make(model: Model, folder: Path) -> Made:
    given = model.data()
    result = convert(
        model.file(),
        output=folder / "net.edge",
        calibrate=write(given.calibrate[:: max(1, len(given.calibrate) // CALIBRATED_ON)], folder),
        contract=model.contract,
        task=model.edge_task,
        loading=model.loading,
        repair=False,
    )
    with Bundle(result.bundle) as bundle:
        int8 = bundle.read(bundle.manifest.variants[0].file)
    real = load(model.file(), LoadOptions.model_validate(model.loading)).content
    entry = describe(real).tensors[describe(real).inputs[0]]
    encoder = Encoder(Contract.model_validate(model.contract), TensorSpec(entry.name, entry.shape, "float32"))
    step = max(1, len(given.evaluate) // COMPARED_ON)
    samples = [RawSample(one, "bgr", f"sample {n}") for n, one in enumerate(given.evaluate[::step][:COMPARED_ON])]
    inputs = tuple(tensor.copy() for _, tensor in encoded(samples, encoder))
    return Made(model.key, real, int8, inputs, result.figures.proof.full_integer)


def write(samples: Any, folder: Path) -> Path:
    """As the converter takes them: a folder of pictures, or an .npy of tensors."""
    if samples[0].dtype != np.uint8:
        np.save(folder / "calibrate.npy", np.array(samples))
        return folder / "calibrate.npy"
    (folder / "calibrate").mkdir()
    for number, image in enumerate(samples):
        cv2.imwrite(str(folder / "calibrate" / f"{number:03}.png"), image)
    return folder / "calibrate"


def vela(*arguments: str, folder: Path) -> str:
    beside = Path(sys.executable).with_name("vela")
    program = str(beside) if beside.is_file() else shutil.which("vela")
    if program is None:
        pytest.skip("vela is not installed: pip install ethos-u-vela")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout


def left_on_the_processor(content: bytes, folder: Path) -> tuple[int, dict[str, str]]:
    """How many operators vela leaves, and those that it refused: kind and first line of the reason. Its exit code is 0 always."""
    (folder / "net.tflite").write_bytes(content)
    said = vela("net.tflite", "--accelerator-config", "ethos-u55-256", "--output-dir", "out", folder=folder)
    count = re.search(r"CPU operators = (\d+)", said)
    assert count is not None, said[-600:]
    return int(count.group(1)), dict(re.findall(r"\(supported operators\) operator: (\w+), .*\nReason: (.*)", said))


def of_litert(content: bytes, inputs: tuple[Array, ...]) -> list[tuple[TensorSpec, Array]]:
    """Each output with its values as stored, (samples, ...)."""
    interpreter = open_interpreter(content)
    entry, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()
    rows: list[list[Array]] = [[] for _ in outputs]
    for tensor in inputs:
        interpreter.set_tensor(entry["index"], stored(entry, tensor))
        interpreter.invoke()
        for row, output in zip(rows, outputs, strict=True):
            row.append(interpreter.get_tensor(output["index"]).copy())
    return [(specification(output), np.array(row)) for output, row in zip(outputs, rows, strict=True)]


def of_openvino(content: bytes, inputs: tuple[Array, ...], folder: Path) -> list[Array]:
    openvino = pytest.importorskip("openvino", reason="the independent reader: pip install openvino")
    (folder / "net.tflite").write_bytes(content)
    core = openvino.Core()
    model = core.compile_model(core.read_model(str(folder / "net.tflite")), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    entry = open_interpreter(content).get_input_details()[0]
    made = [model([stored(entry, tensor)]) for tensor in inputs]
    return [np.array([np.asarray(one[output]) for one in made]) for output in model.outputs]


def stored(entry: Mapping[str, Any], tensor: Array) -> Array:
    return tensor if entry["dtype"] == np.float32 else specification(entry).quantize(tensor)


def sqnr_db(right: Array, other: Array) -> float:
    noise = np.square(right.astype(np.float64) - other).sum()
    return float("inf") if noise == 0 else float(10 * np.log10(np.square(right, dtype=np.float64).sum() / noise))


UNSUPPORTED = {
    "blazepose-detector.tflite": {"DEPTH_TO_SPACE": "Unsupported opType"},
    "basic-pitch.tflite": {
        "GATHER": "Unsupported opType",  # look-ups of tables: docs/adr/0005
        "CAST": "Unsupported opType",
        "MAXIMUM": "Unsupported dataType Int32",
        "EQUAL": "Unsupported opType",  # a division that gives 0 for 0
        "SELECT_V2": "Unsupported opType",
        "MEAN": "Unsupported depth-reduction",
    },
}
"""Operators of these models that the Ethos-U55 does not have, or not in this form, and vela's reason."""
INDEPENDENT_DB = (
    3.0  # two roundings of one graph that have nothing in common differ by sqrt(2) of what each differs from float
)
GOOD_DB = 25.0


def test_vela_leaves_nothing_on_the_processor_that_the_npu_supports(made: Made, tmp_path: Path) -> None:
    count, refused = left_on_the_processor(made.int8, tmp_path)
    allowed = UNSUPPORTED.get(made.key, {})
    assert made.full_integer
    assert sorted(refused) == sorted(allowed)
    assert all(refused[kind].startswith(reason) for kind, reason in allowed.items())
    left = [operator for operator in describe(made.int8).operators if operator.name in allowed]
    assert count <= len(left) if allowed else count == 0


def test_vela_s_own_report_says_that_it_does_not_support_them(tmp_path: Path) -> None:
    vela("--supported-ops-report", folder=tmp_path)
    report = (tmp_path / "SUPPORTED_OPS.md").read_text()
    table = report.split("## Ethos-U55 and Ethos-U65 TFLite Summary Table")[1].split("\n## ")[0]
    for refused in UNSUPPORTED.values():
        for kind, reason in refused.items():
            assert (f"| {kind} |" in table) == (reason != "Unsupported opType"), kind
    assert "Reduction over depth is only supported if any of h,w,c == 1" in report
    assert "32-bit feature-maps are not supported" in report


def test_openvino_differs_from_litert_by_no_more_than_rounding(made: Made, tmp_path: Path) -> None:
    """Its error against LiteRT's int8 is that of two independent roundings at most, or lies below ``GOOD_DB``."""
    theirs = of_openvino(made.int8, made.inputs, tmp_path)
    ours, real = of_litert(made.int8, made.inputs), of_litert(made.real, made.inputs)
    assert len(theirs) == len(ours)
    for (spec, litert), (_, exact), openvino in zip(ours, real, theirs, strict=True):
        between = sqnr_db(spec.dequantize(litert), spec.dequantize(openvino))
        assert between >= min(GOOD_DB, sqnr_db(exact, spec.dequantize(litert)) - INDEPENDENT_DB), spec.name
