"""Keyword spotting: one report for a word, whatever windows were dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_sdk.errors import ConfigError
from edge_sdk.tasks import KeywordSettings, Task, make_task
from edge_sdk.tasks.keyword import Keyword, Spotting
from edge_sdk.tensors import TensorSpec

INPUT = TensorSpec("features", (1, 49, 40), "int8")
SINGLE = TensorSpec("probability", (1, 1), "uint8", 1 / 256, 0)
LABELS = ("silence", "unknown", "yes", "no")
SCORES = TensorSpec("scores", (1, 4), "float32")
MS = 1_000_000


def task_for(spec: TensorSpec = SCORES, labels: tuple[str, ...] = LABELS, **changes: object) -> Task:
    told = KeywordSettings.model_validate({"kind": "keyword"} | changes)
    return make_task(told, input_=INPUT, outputs=(spec,), labels=labels)


def hear(task: Task, scores: object, at_ms: float, spec: TensorSpec = SCORES) -> Spotting:
    return task.decode((np.array(scores, spec.dtype).reshape(spec.shape),), None, round(at_ms * MS))


def reports(task: Task, heard: list[tuple[float, object]], spec: TensorSpec = SCORES) -> list[tuple[float, str]]:
    found = [(at, hear(task, scores, at, spec).keyword) for at, scores in heard]
    return [(at, word.label) for at, word in found if word is not None]


def says(word: str, score: float = 0.9) -> list[float]:
    rest = (1 - score) / 3
    return [score if label == word else rest for label in LABELS]


def test_a_word_is_reported_once_while_its_score_is_high() -> None:
    task = task_for(background=["silence", "unknown"], refractory_ms=300)
    heard = [(at, says("yes" if 1000 <= at < 2500 else "silence")) for at in range(0, 4000, 100)]
    assert reports(task, heard) == [(1000, "yes")]


def test_the_report_names_the_word_and_its_score() -> None:
    found = hear(task_for(background=[0, 1]), says("no", 0.7), 0)
    assert found.keyword == Keyword(3, "no", pytest.approx(0.7))
    assert list(found.scores) == list(LABELS) and found.scores["no"] == pytest.approx(0.7)
    assert str(found) == "heard 'no' 0.70"
    assert str(hear(task_for(background=[0, 1]), says("silence", 0.7), 0)) == "listening (silence 0.70)"


def test_background_is_never_reported_and_keeps_what_is_below_it_silent() -> None:
    task = task_for(background=["silence", 1], threshold=0.2)
    heard = [(0, says("silence", 0.99)), (100, says("unknown", 0.99)), (200, [0.4, 0.1, 0.35, 0.15])]
    assert reports(task, heard) == []


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_time_and_not_the_number_of_results_rules_the_refractory(every: int) -> None:
    """Two words 1.2 s apart are two, two within the second are one, whatever share of the windows is processed."""
    task = task_for(background=[0, 1], refractory_ms=1000)
    spoken = [(1000, 1250), (1600, 1850), (2400, 2650)]
    heard = [(at, says("yes" if any(a <= at < b for a, b in spoken) else "silence")) for at in range(0, 4000, 20)]
    first, second = [at for at, _ in reports(task, heard[::every])]
    assert 1000 <= first < 1250 and 2400 <= second < 2650


def test_a_word_after_a_drop_out_is_reported_although_the_fall_between_was_not_seen() -> None:
    task = task_for(background=[0, 1], refractory_ms=500)
    assert reports(task, [(0, says("yes")), (900, says("yes"))]) == [(0, "yes")]
    assert reports(task_for(background=[0, 1], refractory_ms=500), [(0, says("yes")), (1100, says("yes"))]) == [
        (0, "yes"),
        (1100, "yes"),
    ]


def test_another_word_is_reported_after_the_refractory_without_a_fall() -> None:
    task = task_for(background=[0, 1], refractory_ms=500)
    heard = [(0, says("yes")), (250, says("no")), (500, says("yes")), (750, says("no"))]
    assert reports(task, heard) == [(0, "yes"), (500, "yes")]


def test_smoothing_over_time_forgets_by_capture_time() -> None:
    task = task_for(background=[0, 1], smoothing_ms=300)
    assert hear(task, says("yes", 0.9), 0).scores["yes"] == pytest.approx(0.9)
    assert hear(task, says("yes", 0.3), 100).scores["yes"] == pytest.approx(0.6)
    assert hear(task, says("yes", 0.3), 200).scores["yes"] == pytest.approx(0.5)
    assert hear(task, says("yes", 0.3), 300).scores["yes"] == pytest.approx(0.3)
    assert hear(task, says("yes", 0.8), 5000).scores["yes"] == pytest.approx(0.8)


def test_least_results_keeps_a_single_one_from_being_reported() -> None:
    task = task_for(background=[0, 1], smoothing_ms=500, least_results=3)
    assert reports(task, [(0, says("yes")), (100, says("yes")), (200, says("yes")), (300, says("yes"))]) == [
        (200, "yes")
    ]
    assert hear(task, says("yes"), 5000).keyword is None


def test_a_sliding_window_waits_for_all_its_results() -> None:
    """microWakeWord: the mean of sliding_window_size probabilities reaches the cutoff."""
    task = task_for(SINGLE, ("okay nabu",), smoothing_results=5, threshold=0.9)
    found = [hear(task, [255], at, SINGLE) for at in range(0, 100, 20)]
    assert [f.keyword is not None for f in found] == [False, False, False, False, True]
    assert found[1].scores["okay nabu"] == pytest.approx(2 / 5 * 255 / 256)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("smoothing", [{}, {"smoothing_ms": 100}, {"smoothing_results": 3}])
def test_a_score_that_is_the_threshold_reaches_it(threshold: float, smoothing: dict[str, object]) -> None:
    spec = TensorSpec("p", (1, 1), "float32")
    task = task_for(spec, (), threshold=threshold, **smoothing)
    assert any(hear(task, [threshold], at, spec).keyword for at in range(0, 70, 10))
    below = task_for(spec, (), threshold=threshold, **smoothing)
    number = np.nextafter(np.float32(threshold), np.float32(0))
    assert not any(hear(below, [number], at, spec).keyword for at in range(0, 70, 10))


def test_reset_forgets_scores_and_reports() -> None:
    task = task_for(background=[0, 1], smoothing_results=2)
    assert reports(task, [(0, says("yes")), (10, says("yes"))]) == [(10, "yes")]
    task.reset()
    assert reports(task, [(20, says("yes")), (30, says("yes"))]) == [(30, "yes")]


def test_time_that_runs_backwards_is_a_new_beginning() -> None:
    task = task_for(background=[0, 1])
    assert reports(task, [(1000, says("yes")), (0, says("yes"))]) == [(1000, "yes"), (0, "yes")]


def test_another_variant_goes_on_with_what_was_heard() -> None:
    first, second = task_for(background=[0, 1], smoothing_results=2), task_for(background=[0, 1], smoothing_results=2)
    hear(first, says("yes"), 0)
    second.follow(first)
    assert hear(second, says("yes"), 20).keyword is not None
    first.follow(second)
    assert hear(first, says("yes"), 40).keyword is None


def test_scores_that_are_no_numbers_are_not_reported() -> None:
    task = task_for(background=[0])
    assert hear(task, [0, np.nan, 0.9, 0], 0).keyword is None
    assert hear(task, [0, 0, 0.9, 0], 10).keyword is not None


@settings(max_examples=60)
@given(
    gaps_ms=st.lists(st.integers(1, 400), min_size=1, max_size=80),
    seed=st.integers(0, 1000),
    refractory=st.integers(0, 1500),
    smoothing=st.sampled_from([{}, {"smoothing_ms": 250}, {"smoothing_results": 3}]),
)
def test_reports_are_never_nearer_than_the_refractory_and_always_reach_the_threshold(
    gaps_ms: list[int], seed: int, refractory: int, smoothing: dict[str, object]
) -> None:
    rng = np.random.default_rng(seed)
    task = task_for(background=["silence"], refractory_ms=refractory, threshold=0.4, **smoothing)
    last = None
    for at in np.cumsum(gaps_ms).tolist():
        found = hear(task, rng.dirichlet([0.3] * 4), at)
        assert all(-1e-9 <= score <= 1 + 1e-6 for score in found.scores.values())
        if found.keyword is not None:
            assert found.keyword.label != "silence" and found.keyword.score >= np.float32(0.4)
            assert last is None or at - last >= refractory
            last = at


@pytest.mark.parametrize(
    ("changes", "spec", "labels", "message"),
    [
        (
            {"background": ["wind"]},
            SCORES,
            LABELS,
            "background names 'wind'; the classes are 0 to 3: silence, unknown, yes, no",
        ),
        ({"background": [4]}, SCORES, LABELS, "background names 4"),
        ({"background": [0, 1, 2, 3]}, SCORES, LABELS, "names every class"),
        ({}, SCORES, ("a", "b"), "2 labels, and the model has 4 classes"),
        ({}, SCORES, ("a", "b", "b", "c"), "labels that differ"),
        ({"activation": "softmax"}, SINGLE, (), "softmax of one score is always 1; output 'probability'"),
        ({}, TensorSpec("map", (1, 5, 4), "float32"), (), "one score a class.*'map' has shape"),
        ({"output": "other"}, SCORES, LABELS, "output = 'other': the model has no such output; it has 'scores'"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, object], spec: TensorSpec, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        task_for(spec, labels, **changes)


def test_several_outputs_need_a_name() -> None:
    with pytest.raises(ConfigError, match="output is missing, and the model has several outputs: 'scores'"):
        make_task(KeywordSettings(kind="keyword"), input_=INPUT, outputs=(SCORES, SINGLE), labels=())


@pytest.mark.parametrize(
    "keys", [{"smoothing_ms": 100, "smoothing_results": 3}, {"least_results": 2}, {"smoothing_ms": 0}, {"threshold": 0}]
)
def test_settings_that_contradict_themselves_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        KeywordSettings.model_validate({"kind": "keyword"} | keys)
