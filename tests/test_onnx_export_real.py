"""Real models as ONNX: the same numbers as LiteRT gives, and no transposes but those that the heads need."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

from converters.load import load
from examples.assets import models
from tests.onnx_twins import difference, layers, random_inputs, run_tflite, twins

pytestmark = pytest.mark.slow

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


def _of_litert_itself(content: bytes) -> float:
    """How far its optimised kernels are from its reference kernels."""
    given = random_inputs(content, 0)
    one, other = (run_tflite(content, given, optimised=optimised) for optimised in (False, True))
    return max(difference(one[name], other[name]) for name in one)
