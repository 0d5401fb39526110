"""Anomaly scores: of a reconstruction, of the model's own, smoothed, against a threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_sdk.errors import ConfigError
from edge_sdk.tasks import AnomalySettings, Task, make_task
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tensors import TensorSpec

WINDOW = TensorSpec("window", (1, 8, 3), "float32")
AGAIN = TensorSpec("again", (1, 8, 3), "float32")


def task_for(spec: TensorSpec = AGAIN, input_: TensorSpec = WINDOW, **changes: object) -> Task:
    keys = {"kind": "anomaly", "score": "reconstruction", "threshold": 0.5} | changes
    return make_task(AnomalySettings.model_validate(keys), input_=input_, outputs=(spec,), labels=())


@given(
    seed=st.integers(0, 10_000),
    dtypes=st.tuples(*[st.sampled_from(["int8", "uint8", "int16", "float32"])] * 2),
    zero=st.integers(-100, 100),
)
def test_a_reconstruction_scores_the_mean_square_of_the_real_difference(
    seed: int, dtypes: tuple[str, str], zero: int
) -> None:
    rng = np.random.default_rng(seed)
    specs, stored = [], []
    for name, dtype in zip(("window", "again"), dtypes, strict=True):
        whole = dtype != "float32"
        scale = float(rng.uniform(0.001, 0.1)) if whole else 0.0
        specs.append(TensorSpec(name, (1, 8, 3), dtype, scale, zero if whole and dtype != "uint8" else 0))
        limits = np.iinfo(dtype) if whole else None
        numbers = rng.integers(limits.min, limits.max, (1, 8, 3)) if limits else rng.normal(size=(1, 8, 3))
        stored.append(numbers.astype(dtype))
    real = [spec.dequantize(array).astype(np.float64) for spec, array in zip(specs, stored, strict=True)]
    found = task_for(specs[1], specs[0]).decode((stored[1],), None, input_=stored[0])
    assert found.score == pytest.approx(np.square(real[0] - real[1]).mean(), rel=1e-4)
    assert found.anomalous == (found.score > 0.5)


def test_a_score_at_the_threshold_is_normal_and_one_above_it_is_not() -> None:
    spec = TensorSpec("score", (1, 1), "float32")
    task = task_for(spec, score="output", threshold=0.75)
    assert task.decode((np.float32([[0.75]]),), None) == Anomaly(0.75, 0.75, anomalous=False)
    assert task.decode((np.float32([[0.76]]),), None).anomalous


def test_a_score_that_is_no_number_is_not_normal() -> None:
    spec = TensorSpec("score", (1, 1), "float32")
    found = task_for(spec, score="output").decode((np.float32([[np.nan]]),), None)
    assert math.isnan(found.score) and found.anomalous
    window = np.zeros((1, 8, 3), np.float32)
    again = np.full_like(window, np.inf)
    assert task_for().decode((again,), None, input_=window).anomalous


def test_scores_are_smoothed_over_the_last_results_and_forgotten() -> None:
    spec = TensorSpec("score", (1, 1), "int8", 1 / 128, -128)
    task = task_for(spec, score="output", smoothing_results=3, threshold=1)
    found = [task.decode((np.int8([[n]]),), None).score for n in (0, 0, -128, -128, 127)]
    assert found == pytest.approx([1, 1, 2 / 3, 1 / 3, 255 / 128 / 3])
    task.reset()
    assert task.decode((np.int8([[0]]),), None).score == 1


def test_a_sigmoid_can_be_put_over_the_models_score() -> None:
    spec = TensorSpec("logit", (1,), "float32")
    found = task_for(spec, score="output", activation="sigmoid").decode((np.float32([2.0]),), None)
    assert found.score == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize(
    ("changes", "output", "message"),
    [
        ({}, TensorSpec("code", (1, 4), "float32"), "takes an output of the input's shape, .*'code' has shape .1, 4."),
        ({"score": "output"}, AGAIN, "takes an output of one number; 'again'"),
        ({"threshold": {"sigmas": 3}}, AGAIN, "threshold is a rule"),
        ({"output": "b"}, AGAIN, "output = 'b': the model has no such output; it has 'again'"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], output: TensorSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_for(output, **changes)


@pytest.mark.parametrize(
    "keys",
    [
        {"threshold": {}},
        {"threshold": {"percentile": 99, "sigmas": 3}},
        {"threshold": "3 sigma"},
        {"activation": "sigmoid"},
    ],
)
def test_settings_that_contradict_themselves_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AnomalySettings.model_validate({"kind": "anomaly", "score": "reconstruction"} | keys)
