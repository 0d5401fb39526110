"""TensorFlow computes what a .tflite does, operator by operator: float to its last bits, quantized to a step."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from converters.interpreter import open_interpreter
from edge_sdk.bundle.golden import difference
from edge_sdk.tensors import Array, TensorSpec
from tests.tiny_models import TinyModel, conv_options, options
from tests.tiny_quant_models import CASES, RNG, Case, quantized

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="extra keras is not installed"),
]

STEPS = 1.0
FLOAT = 1e-6  # of the largest value


def depthwise(multiplier: int = 1, **changes: int) -> Case:
    size = 4 // changes.get("strideW", 1), 4 // changes.get("strideH", 1)
    kernel = RNG.normal(0, 0.5, (1, 3, 3, 8 * multiplier)).astype(np.float32)
    how = {
        "padding": 0,
        "strideW": 1,
        "strideH": 1,
        "depthMultiplier": multiplier,
        "dilationWFactor": 1,
        "dilationHFactor": 1,
    }
    return Case(
        "DEPTHWISE_CONV_2D",
        constants=(None, kernel, np.zeros(8 * multiplier, np.float32)),
        output_shape=(1, size[1], size[0], 8 * multiplier),
        op_options=options("DepthwiseConv2D", **{**how, **changes}),
        label=f"DEPTHWISE_CONV_2D {multiplier} {changes}",
    )


MORE = [
    depthwise(2),
    depthwise(strideW=2, strideH=2),
    depthwise(strideW=2),
    depthwise(strideH=2),
    depthwise(dilationWFactor=2, dilationHFactor=2),
    depthwise(strideW=2, strideH=2, dilationWFactor=2, dilationHFactor=2),
    Case(
        "CONV_2D",
        constants=(None, RNG.normal(0, 0.5, (8, 3, 3, 2)).astype(np.float32), np.ones(8, np.float32)),
        op_options=conv_options(fusedActivationFunction=3),
        label="CONV_2D in groups with RELU6",
    ),
]


@dataclass(frozen=True)
class Wanted:
    specs: list[TensorSpec]
    outputs: list[list[Array]]


def computed(content: bytes, case: Case, file: Path) -> Wanted:
    """What LiteRT makes of the samples, which are left beside the model."""
    interpreter = open_interpreter(content, keep=False)
    (entry,), exits = map(list, (interpreter.get_input_details(), interpreter.get_output_details()))
    spec, specs = specification(entry), [specification(each) for each in exits]
    inputs = [spec.quantize(sample) for sample in case.samples()]
    outputs = []
    for tensor in inputs:
        interpreter.set_tensor(entry["index"], tensor)
        interpreter.invoke()
        outputs.append([interpreter.get_tensor(each["index"]) for each in exits])
    file.with_suffix(".tflite").write_bytes(content)
    np.save(file.with_suffix(".npy"), np.stack(inputs))
    return Wanted(specs, outputs)


def specification(details: dict) -> TensorSpec:
    scale, zero_point = details["quantization"]
    return TensorSpec(details["name"], tuple(details["shape"]), np.dtype(details["dtype"]).name, scale, zero_point)


NEVER_INTEGER = ("CUMSUM",)
WIDE = (
    "ADD",
    "MUL",
    "CONCATENATION",
    "MEAN",
    "SOFTMAX",
    "LOGISTIC",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "BATCH_MATMUL",
)
HALVED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
FORMS = [
    (case, form)
    for case in (*CASES, *MORE)
    for form in ("float", "int8", "int16x8", "float16")
    if form == "float"
    or (form == "int8" and case.name not in NEVER_INTEGER)
    or (form == "int16x8" and case.name in WIDE)
    or (form == "float16" and case.name in HALVED)
]


def name_of(case: Case, form: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in f"{case} {form}")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Wanted]]:
    """All models by LiteRT, and a folder with what TensorFlow made of them, in one process."""
    folder = tmp_path_factory.mktemp("twins")
    wanted = {}
    for case, form in FORMS:
        content = case.build()
        if form != "float":
            content = quantized(content, case.samples(), form)[1].content
        wanted[name_of(case, form)] = computed(content, case, folder / name_of(case, form))
    translate(folder)
    return folder, wanted


def translate(folder: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.serving.translated", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1], timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(("case", "form"), FORMS, ids=[name_of(*each) for each in FORMS])
def test_an_operator(case: Case, form: str, twins: tuple[Path, dict[str, Wanted]]) -> None:
    folder, wanted = twins[0], twins[1][name_of(case, form)]
    refused = folder / f"{name_of(case, form)}.txt"
    assert not refused.exists(), refused.read_text()
    stepped = any(not spec.quantized for spec in wanted.specs)
    with np.load(folder / f"{name_of(case, form)}.npz") as made:
        for number, spec in enumerate(wanted.specs):
            pairs = [(made[str(number)][n], outputs[number]) for n, outputs in enumerate(wanted.outputs)]
            worst = max(difference(spec, found, right) for found, right in pairs)
            differing = float(np.mean([found != right for found, right in pairs]))
            if form in ("float", "float16"):
                assert worst <= FLOAT
            elif stepped:  # what is compared or looked for: a tie may go either way
                assert differing <= 0.01
            else:
                assert worst <= STEPS


def test_operators_without_a_translation_are_named(tmp_path: Path) -> None:
    net = TinyModel()
    entry, middle, last = (net.tensor(name, (1, 4)) for name in ("input", "middle", "last"))
    net.operator("SEGMENT_SUM", [entry, net.constant("ids", np.zeros(1, np.int32))], [middle])
    net.operator("RELU", [middle], [last])
    (tmp_path / "net.tflite").write_bytes(net.build([entry], [last]))
    translate(tmp_path)
    assert "no translation to TensorFlow of SEGMENT_SUM;" in (tmp_path / "net.txt").read_text()
