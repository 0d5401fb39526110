"""The arithmetic of the table of formats, and the form of its rows."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.formats.intervals import interval, paired_interval
from benchmarks.formats.judges import Anomalies, Classes, Seen
from benchmarks.formats.models import ROWS
from benchmarks.formats.row import Figure, Quantized, Row, read_row
from benchmarks.formats.table import page
from edge_sdk.contract import Contract


def _mean(scores):
    return float(scores.mean())


def test_all_right_of_twenty_is_not_surely_all_right():
    low, high = interval(np.ones(20), _mean)
    assert (low, high) == (pytest.approx(0.8389, abs=1e-4), 1.0)  # Wilson, 20 of 20


def test_the_bootstrap_covers_the_mean():
    scores = np.random.default_rng(1).normal(0.5, 0.1, 400)
    low, high = interval(scores, _mean)
    half = 1.96 * scores.std() / 20
    assert low == pytest.approx(scores.mean() - half, abs=0.003)
    assert high == pytest.approx(scores.mean() + half, abs=0.003)


def test_pairing_sees_a_small_steady_difference():
    scores = np.random.default_rng(2).normal(0.5, 0.2, 200)
    low, high = paired_interval(scores - 0.01, scores, _mean)
    assert (low, high) == (pytest.approx(-0.01), pytest.approx(-0.01))


def test_area_under_the_curve_counts_ties_half():
    generator = np.random.default_rng(3)
    errors, odd = generator.integers(0, 6, 60).astype(float), generator.integers(0, 2, 60)
    gap = errors[odd == 1][:, None] - errors[odd == 0]
    wanted = (gap > 0).mean() + (gap == 0).mean() / 2
    assert Anomalies().figure(np.stack([errors, odd], axis=1)) == pytest.approx(wanted)


def test_the_best_class_decides():
    one = Seen(np.zeros(1), {"scores": np.array([[0.1, 0.9]])}, None)
    other = Seen(np.zeros(1), {"scores": np.array([[0.6, 0.4]])}, None)
    assert (Classes().agree(one, one), Classes().agree(one, other), Classes().right(other, 0)) == (1, 0, 1)


def test_every_row_is_named_once_and_its_contract_holds():
    keys = [model.key for model in ROWS]
    assert len(set(keys)) == len(keys) >= 12
    assert {model.task for model in ROWS} >= {"classify", "detect", "segment", "pose", "audio", "motion"}
    for model in ROWS:
        Contract.model_validate(model.contract)
        assert model.verified


def test_the_page_says_what_is_worse_and_what_failed():
    seen = Quantized(
        seconds=1,
        repair=("equalise weights",),
        metric=Figure(0.5, 0.4, 0.6),
        agreement=Figure(0.9, 0.8, 0.95),
        sqnr_db=20,
    )
    left = Quantized("2 float operators left: EXP", 9, (), Figure(0.9, 0.8, 1), Figure(1, 0.9, 1), 25)
    worse = Row(
        ROWS[0].key,
        "torch",
        3,
        1e-5,
        "top-1",
        "same best class",
        100,
        20,
        Figure(0.9, 0.8, 1),
        seen,
        left,
        (-0.5, -0.3),
    )
    rows = [worse, Row(ROWS[1].key, failed="model.onnx: no such operator. Do this.")]
    text = page([read_row(json.dumps(asdict(row))) for row in rows], "a machine")
    assert "worse, -0.500 to -0.300" in text
    assert f"worse beyond the interval in 1: {ROWS[0].key}; better by SQNR in 0 of 1" in text
    assert "not loaded: model.onnx: no such operator" in text
    assert "2 float operators left: EXP" in text
    assert "| yes, equalise weights |" in text
