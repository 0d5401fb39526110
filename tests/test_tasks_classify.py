"""Classification and raw outputs: ranking, thresholds, labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import ConfigError
from edge_sdk.tasks import ClassifySettings, RawSettings, make_task
from edge_sdk.tasks.classify import ClassScore
from edge_sdk.tensors import TensorSpec

INPUT = TensorSpec("input", (1, 4), "int8")


def classify(
    spec: TensorSpec, stored: object, labels: tuple[str, ...] = (), **changes: object
) -> tuple[ClassScore, ...]:
    found = ClassifySettings.model_validate({"kind": "classify"} | changes)
    task = make_task(found, input_=INPUT, outputs=(spec,), labels=labels)
    return task.decode((np.array(stored, spec.dtype).reshape(spec.shape),), None)


def test_the_best_come_first_with_their_labels_and_equal_ones_by_index() -> None:
    spec = TensorSpec("scores", (1, 5), "int8", 1 / 256, -128)
    found = classify(spec, [0, 127, -128, 127, 5], labels=tuple("abcde"), top_k=3)
    assert [(f.index, f.label) for f in found] == [(1, "b"), (3, "d"), (4, "e")]
    assert [f.score for f in found] == [255 / 256, 255 / 256, 133 / 256]


@settings(max_examples=80, deadline=None)
@given(
    stored=st.lists(st.integers(-128, 127), min_size=1, max_size=40),
    scale=st.floats(0.001, 1),
    top_k=st.integers(1, 50),
    activation=st.sampled_from(["none", "softmax", "sigmoid"]),
)
def test_ranking_stored_numbers_is_ranking_scores(stored: list[int], scale: float, top_k: int, activation: str) -> None:
    spec = TensorSpec("scores", (1, len(stored)), "int8", scale, 7)
    real = (np.array(stored) - 7.0) * np.float64(np.float32(scale))
    if activation == "sigmoid":
        scores = 1 / (1 + np.exp(-real))
    elif activation == "softmax":
        scores = np.exp(real - real.max()) / np.exp(real - real.max()).sum()
    else:
        scores = real
    best = sorted(range(len(stored)), key=lambda i: (-stored[i], i))[:top_k]
    found = classify(spec, stored, top_k=top_k, activation=activation, threshold=-1e9)
    assert [f.index for f in found] == best
    np.testing.assert_allclose([f.score for f in found], scores[best], rtol=2e-5, atol=1e-7)


def test_scores_below_the_threshold_are_left_out() -> None:
    spec = TensorSpec("scores", (1, 3), "float32")
    found = classify(spec, [0.2, 0.5, 0.3], threshold=0.3)
    assert [f.index for f in found] == [1, 2]
    assert classify(spec, [0.2, np.nan, 0.1], threshold=0.3) == ()


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_a_score_that_is_the_threshold_reaches_it(threshold: float) -> None:
    """0.7 as a float32 lies below 0.7 as a double, 0.3 above it."""
    spec = TensorSpec("scores", (1, 2), "float32")
    assert [f.index for f in classify(spec, [threshold, 0], threshold=threshold)] == [0]
    below = np.nextafter(np.float32(threshold), np.float32(0))
    assert classify(spec, [below, 0], threshold=threshold) == ()


def test_scores_that_are_no_numbers_take_no_places() -> None:
    spec = TensorSpec("scores", (1, 5), "float32")
    found = classify(spec, [0.1, np.nan, 0.9, np.nan, 0.2], top_k=2)
    assert [f.index for f in found] == [2, 4]
    assert [f.index for f in classify(spec, [0.1, np.nan, 0.9, np.nan, 0.2], top_k=5)] == [2, 4, 0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_the_extremes_of_a_dtype_are_ranked_right(dtype: str) -> None:
    limits = np.iinfo(dtype)
    spec = TensorSpec("scores", (1, 4), dtype, 0.5, 0)
    found = classify(spec, [limits.min, limits.max, 1, limits.max], top_k=4, threshold=-1e9)
    assert [f.index for f in found] == [1, 3, 2, 0]


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        ClassifySettings(kind="classify", threshold=threshold)


def test_a_threshold_beyond_every_score_finds_nothing() -> None:
    assert classify(TensorSpec("scores", (1, 2), "float32"), [1, 2], threshold=1e300) == ()


def test_large_logits_do_not_overflow() -> None:
    spec = TensorSpec("scores", (1, 3), "float32")
    assert classify(spec, [1e4, -1e4, 0], activation="softmax", top_k=1)[0].score == 1.0
    assert [f.score for f in classify(spec, [1e4, -1e4, 0], activation="sigmoid")] == [1.0, 0.5, 0.0]
    wide = TensorSpec("scores", (1, 3), "int8", 50.0, 0)
    assert classify(wide, [-128, 127, 0], activation="sigmoid", top_k=1)[0].score == 1.0


def test_more_axes_are_taken_where_they_are_of_length_one() -> None:
    spec = TensorSpec("scores", (1, 1, 1, 2), "float32")
    assert classify(spec, [0.25, 0.75], top_k=1) == (ClassScore(1, "class 1", 0.75),)


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        ((TensorSpec("scores", (1, 3), "int8", 0.1, 0),), ("a", "b"), "2 labels, and the model has 3 classes"),
        ((TensorSpec("map", (1, 4, 4, 3), "int8", 0.1, 0),), (), r"'map' has shape \(1, 4, 4, 3\)"),
        (
            (TensorSpec("a", (1, 3), "int8"), TensorSpec("b", (1, 3), "int8")),
            (),
            r"one output; this one has 'a' \(1, 3\), 'b'",
        ),
        ((TensorSpec("scores", (1, 3), "int32", 0.1, 0),), (), "'scores' are int32"),
    ],
)
def test_what_does_not_fit_is_named(outputs: tuple[TensorSpec, ...], labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_task(ClassifySettings(kind="classify"), input_=INPUT, outputs=outputs, labels=labels)


def test_raw_outputs_are_real_numbers_of_the_callers_own() -> None:
    specs = (
        TensorSpec("q", (1, 2), "int8", 0.5, 1),
        TensorSpec("f", (1, 2), "float32"),
        TensorSpec("i", (1, 1), "int64"),
    )
    arrays = (np.array([[3, -1]], np.int8), np.array([[1.5, math.pi]], np.float32), np.array([[2**40]]))
    found = make_task(RawSettings(), input_=INPUT, outputs=specs, labels=()).decode(arrays, None)
    for array in arrays:
        array[...] = 0  # the engine's next run
    assert found["q"].tolist() == [[1.0, -1.0]]
    assert found["f"].tolist() == [[1.5, np.float32(math.pi)]]
    assert found["i"].tolist() == [[2**40]]


def test_raw_outputs_need_names_of_their_own() -> None:
    with pytest.raises(ConfigError, match="names of their own"):
        make_task(RawSettings(), input_=INPUT, outputs=(INPUT, INPUT), labels=())
