"""Two readers that share no code with ours take the int8 models: Arm's Ethos-U compiler finds them integer, OpenVINO computes the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.interpreter import open_interpreter
from converters.quantize.recipe import Recipe
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe
from tests.tiny_models import image_net
from tests.tiny_quant_models import (
    CASES,
    FORMULAS,
    Case,
    attention_net,
    formula_net,
    norm_net,
    quantized,
    specification,
)

pytestmark = pytest.mark.slow

SAMPLES = Case("", -3, 3).samples(6)
IMAGES = [np.random.default_rng(i).uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32) for i in range(6)]
INT8_ONLY = Recipe(name="int8-only", variance="int8")
UNKNOWN_TO_OPENVINO = ("RELU_N1_TO_1", "DYNAMIC_UPDATE_SLICE")
WRONG_IN_OPENVINO = ("REDUCE_MAX",)  # it gives zero for every int8 input
UNKNOWN_TO_ETHOS = (
    "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL", "GATHER", "GATHER_ND", "REVERSE_V2", "DEPTH_TO_SPACE",
    "SPACE_TO_DEPTH", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "BROADCAST_TO", "SELECT", "SELECT_V2", "DYNAMIC_UPDATE_SLICE",
    "REDUCE_PROD", "L2_NORMALIZATION", "LOG_SOFTMAX", "ARG_MIN", "TOPK_V2",
    "layer normalisation",  # it takes means over channels
)  # fmt: skip
STEPS = {"layer normalisation": 5, "attention": 2, "AVERAGE_POOL_2D": 1}  # by which the outputs may differ, elsewhere 1


def models() -> list[tuple[str, bytes, list[Array]]]:
    tokens = [sample.reshape(1, 16, 8) for sample in SAMPLES]
    nets = [("image net", image_net(), IMAGES), ("attention", attention_net(), tokens)]
    nets += [(f"formula {name}", formula_net(name), SAMPLES) for name in FORMULAS]
    nets += [(f"{kind} normalisation", norm_net(axes, form), SAMPLES)
             for kind, axes in (("layer", (3,)), ("instance", (1, 2))) for form in ("plain", "keras", "torch")]  # fmt: skip
    return nets + [(case.name, case.build(), case.samples(4)) for case in CASES if case.name != "CUMSUM"]


def int8_models() -> list[tuple[str, bytes, list[Array]]]:
    return [(name, quantized(content, samples, INT8_ONLY)[1].content, samples) for name, content, samples in models()]


def has_table(content: bytes) -> bool:
    return {"CAST", "GATHER"} <= {operator.name for operator in describe(content).operators}


def test_ethos_compiler_leaves_no_operator_on_the_processor(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("vela")
    vela = str(beside) if beside.is_file() else shutil.which("vela")
    if vela is None:
        pytest.skip("vela is not installed: pip install ethos-u-vela")
    checked = 0
    for name, content, _ in int8_models():
        if name in UNKNOWN_TO_ETHOS or has_table(content):  # look-ups stay on the processor
            continue
        (tmp_path / "model.tflite").write_bytes(content)
        command = [vela, "model.tflite", "--accelerator-config", "ethos-u55-256", "--output-dir", "out"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        found = re.search(r"CPU operators = (\d+)", done.stdout)  # its exit code is 0 always
        assert found is not None and found.group(1) == "0", f"{name}: {done.stdout[-600:]}"
        checked += 1
    assert checked > 60


def test_openvino_loads_every_int8_model_and_agrees(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="the independent reader: pip install openvino")
    core, checked, tables = openvino.Core(), 0, 0
    for name, content, samples in int8_models():
        if name in (*UNKNOWN_TO_OPENVINO, *WRONG_IN_OPENVINO):
            continue
        (tmp_path / "model.tflite").write_bytes(content)
        other = core.compile_model(
            core.read_model(str(tmp_path / "model.tflite")), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        interpreter = open_interpreter(content)
        entry, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()
        for sample in samples:
            stored = specification(entry).quantize(sample)
            interpreter.set_tensor(entry["index"], stored)
            interpreter.invoke()
            made = other([stored])
            for place, output in enumerate(outputs):
                ours = interpreter.get_tensor(output["index"]).astype(np.int64)
                theirs = np.asarray(made[other.outputs[place]]).astype(np.int64)
                assert np.abs(ours - theirs).max() <= STEPS.get(name, 1), name
        checked += 1
        tables += has_table(content)
    assert checked > 95 and tables > 15
