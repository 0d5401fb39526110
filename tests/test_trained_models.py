"""The models that are trained here are as good as stated, and each loads from its format."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from converters.load import LoadOptions, load
from edge_sdk.errors import ModelError
from edge_sdk.tflite import describe

pytestmark = pytest.mark.slow


def _trained(module, path):
    """The test figure that training prints."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", f"examples.train.{module}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


def _shapes(model):
    found = describe(model.content)
    return [found.tensors[i].shape for i in (*found.inputs, *found.outputs)]


def test_motion(tmp_path):
    pytest.importorskip("keras", reason="the extra keras is not installed")
    assert _trained("motion", tmp_path / "motion.keras") > 0.75
    assert _shapes(load(tmp_path / "motion.keras")) == [(1, 100, 6), (1, 7)]


def test_digits(tmp_path):
    pytest.importorskip("litert_torch", reason="the extra torch is not installed")
    assert _trained("digits", tmp_path / "digits.pt2") > 0.96
    assert _shapes(load(tmp_path / "digits.pt2")) == [(1, 28, 28, 1), (1, 10)]


def test_speaker_of_tensorflow_1(tmp_path):
    pytest.importorskip("tensorflow", reason="the extra keras is not installed")
    assert _trained("speaker", tmp_path / "speaker") > 0.94
    assert _shapes(load(tmp_path / "speaker")) == [(1, 25, 12), (1, 9)]


def test_heartbeat_of_two_signatures(tmp_path):
    pytest.importorskip("tensorflow", reason="the extra keras is not installed")
    assert _trained("heartbeat", tmp_path / "heartbeat") > 0.98
    path = tmp_path / "heartbeat"
    assert _shapes(load(path, LoadOptions(signature="rebuild"))) == [(1, 128, 1), (1, 128, 1)]
    assert _shapes(load(path, LoadOptions(signature="encode"))) == [(1, 128, 1), (1, 8)]
    with pytest.raises(ModelError, match=r"no signature 'decode'.*(rebuild.*encode|encode.*rebuild)"):
        load(path, LoadOptions(signature="decode"))
