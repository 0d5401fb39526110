"""Real models as ONNX: the same numbers as LiteRT gives, and no transposes but those that the heads need."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

import onnx

from converters.load import load
from converters.targets.onnx import export_onnx
from examples.assets import models
from tests.onnx_twins import difference, layers, random_inputs, run_onnx, run_tflite, twins

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # frameworks are slow to start on a busy machine

CLOSE, CLOSE_WITHIN = 1e-5, 1e-4
TRANSPOSES = {  # one for each map that a head flattens to (boxes, numbers); a mask of one channel needs none
    "object_detector": 10,
    "face_detector": 4,
    "face_detector_full_range": 1,
    "face_detector_sparse": 1,
    "face_landmarks": 0,
    "iris_landmarks": 0,
    "palm_detector": 4,
    "hand_landmarks": 0,
    "pose_detector": 6,
    "pose_landmarks": 1,
    "selfie_segmentation": 0,
    "music_pitch_tflite": 1,
}
SENSITIVE = {  # LiteRT's own two sets of kernels are further apart than CLOSE on these
    "pose_landmarks": "a mask with numbers above 1000, and a probability of 1e-9",
    "music_pitch_tflite": "logarithms of powers near 0",
}


@cache
def content_of(name: str) -> bytes:
    return load(getattr(models, name)()).content


@pytest.mark.parametrize("opset", [13, 17, 19])
@pytest.mark.parametrize("name", TRANSPOSES)
def test_a_real_model(name, opset, record_property):
    content = content_of(name)
    found = twins(content, opset=opset)
    counts = Counter(found.operators)
    record_property("difference", found.worst)
    assert counts["Transpose"] <= TRANSPOSES[name]
    assert found.worst <= (CLOSE if name not in SENSITIVE else 2 * _of_litert_itself(content))


@pytest.mark.parametrize("name", TRANSPOSES)
def test_its_layers(name):
    found = layers(content_of(name))
    assert len(found) > 20
    assert max(found.values()) <= (CLOSE_WITHIN if name not in SENSITIVE else 5e-3)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v2"])
def test_classifiers_of_pytorch(name, tmp_path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("the extra torch is not installed")
    _run("examples.train.imagenet", name, tmp_path / "net.onnx")
    found = twins(load(tmp_path / "net.onnx").content)
    assert found.worst <= CLOSE
    assert set(found.operators) == {"Conv", "Clip", "Add", "GlobalAveragePool", "Reshape", "Gemm"}


@pytest.mark.parametrize("name", ["dog_breeds", "emotions"])
def test_classifiers_of_keras(name):
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("the extra keras is not installed")
    found = twins(content_of(name))
    assert found.worst <= CLOSE and "Transpose" not in found.operators


@pytest.mark.parametrize("name", ["object_detector", "pose_detector"])
def test_an_independent_converter_agrees(name, tmp_path):
    """tf2onnx translates the same .tflite; it needs TensorFlow."""
    for package in ("tf2onnx", "tensorflow"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: it is no part of any extra")
    content = content_of(name)
    (tmp_path / "net.tflite").write_bytes(content)
    _run("tf2onnx.convert", "--tflite", tmp_path / "net.tflite", "--output", tmp_path / "net.onnx", "--opset", "17")
    theirs, ours, given = onnx.load(tmp_path / "net.onnx"), export_onnx(content).model, random_inputs(content)
    wanted, made = run_onnx(theirs, given, nchw=False), run_onnx(ours, given)
    assert max(difference(wanted[output], made[output]) for output in wanted) <= CLOSE
    assert _transposes(ours) <= _transposes(theirs)


def _transposes(model: onnx.ModelProto) -> int:
    return sum(node.op_type == "Transpose" for node in model.graph.node)


def _run(module: str, *arguments: object) -> None:
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", module, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stderr[-3000:]


def _of_litert_itself(content: bytes) -> float:
    """How far its optimised kernels are from its reference kernels."""
    given = random_inputs(content)
    one, other = (run_tflite(content, given, optimised=optimised) for optimised in (False, True))
    return max(difference(one[name], other[name]) for name in one)
