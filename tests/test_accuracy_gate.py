"""The gate: a drop is proven, ruled out, or open; and what it says of the samples that are missing is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.report.accuracy import Gate, Interval, Metric
from converters.report.verdict import gate_sentence
from converters.verify.agreement import box_agreement, class_agreement
from converters.verify.evaluate import PerSample, compare
from converters.verify.gate import MaxDrop, decide, decide_without_labels, require
from converters.verify.metrics import Mean
from converters.verify.metrics.classes import TopK
from converters.verify.metrics.regression import Regression
from edge_sdk.errors import ConfigError, DataError, GateError
from edge_sdk.tasks.detect import Detection

TOP_1, MSE = TopK.kinds[0], Regression.kinds[0]
REPORT = Path("net.report.html")
ORDER = {"failed": 0, "open": 1, "passed": 2}


def top_1(both: int, lost: int, won: int, neither: int) -> Metric:
    counts = (both, lost, won, neither)
    before, after = np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)
    return compare(PerSample((Mean(TOP_1, before),)), PerSample((Mean(TOP_1, after),)))[0]


def gate(text: str, metric: Metric) -> Gate:
    return decide(MaxDrop.parse(text), metric)


@pytest.mark.parametrize(
    ("text", "share", "points"),
    [
        ("1%", 0.01, False),
        ("1 %", 0.01, False),
        ("0.5%", 0.005, False),
        ("0.01", 0.01, False),
        (".5", 0.5, False),
        ("0", 0, False),
        ("1 point", 0.01, True),
        ("2.5 points", 0.025, True),
        (" 1point ", 0.01, True),
    ],
)
def test_limit_is_read(text: str, share: float, points: bool) -> None:
    assert MaxDrop.parse(text) == MaxDrop(pytest.approx(share), points)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1", r"is that 1 % or 1 times 100 %"),
        ("100%", "allows any drop"),
        ("-1%", "is not a drop"),
        ("1 percent", "is not a drop"),
        ("1e-2", "is not a drop"),
        ("nan", "is not a drop"),
        ("", "is not a drop"),
        ("1,5%", r"give a percentage \(1%\), points"),
    ],
)
def test_limit_that_could_mean_anything_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        MaxDrop.parse(text)


def test_drop_that_is_proven_larger_fails() -> None:
    found = gate("1%", top_1(850, 60, 5, 85))
    assert (found.verdict, found.drop, found.samples, found.samples_needed) == (
        "failed",
        pytest.approx(0.055),
        1000,
        None,
    )
    assert found.low is not None
    assert found.low > 0.01
    with pytest.raises(
        GateError,
        match=r"Gate failed: top-1 drops by 5\.50 points \(95 % interval .*\) on 1,000 samples; allowed are 1\.00 .*net\.report\.html",
    ) as caught:
        require(found, REPORT)
    assert caught.value.exit_code == 3


def test_drop_that_is_ruled_out_passes() -> None:
    found = gate("1 point", top_1(9_000, 20, 15, 965))
    assert found.verdict == "passed"
    assert found.high is not None
    assert found.high <= 0.01
    require(found, REPORT)


def test_drop_that_is_neither_stays_open_says_so_and_does_not_fail() -> None:
    found = gate("1%", top_1(180, 3, 2, 15))
    assert found.verdict == "open"
    assert found.samples_needed is not None
    assert found.samples_needed > 200
    assert f"These samples do not decide; about {found.samples_needed:,} would" in gate_sentence(found)
    require(found, REPORT)


def test_interval_that_ends_at_the_limit_passes_and_one_that_begins_there_is_open() -> None:
    def verdict(low: float, high: float) -> str:
        bounds = Interval(low=low, high=high)
        metric = Metric(name="auc", float_value=1, int8_value=1, drop=low, drop_interval=bounds, samples=50)
        return decide(MaxDrop(0.01), metric).verdict

    assert verdict(0.0, 0.01) == "passed"
    assert verdict(0.0, np.nextafter(0.01, 1)) == "open"
    assert verdict(0.01, 0.02) == "open"
    assert verdict(np.nextafter(0.01, 1), 0.02) == "failed"


def test_drop_at_the_limit_is_decided_by_no_number() -> None:
    found = gate("1%", top_1(180, 4, 2, 14))
    assert (found.verdict, found.drop, found.samples_needed) == ("open", pytest.approx(0.01), None)
    assert "no sensible number of samples would decide" in gate_sentence(found)


def test_error_that_rises_is_judged_relative_to_float() -> None:
    error = np.random.default_rng(0).normal(0, 1, 400) ** 2 + 1
    sides = [PerSample((Mean(MSE, error * factor),)) for factor in (1, 1.2)]
    (metric,) = compare(*sides)
    assert metric.drop == pytest.approx(0.2)
    assert gate("25%", metric).verdict == "passed"
    found = gate("10%", metric)
    assert (found.verdict, found.relative) == ("failed", True)
    assert "mse rises by 20.00 %" in gate_sentence(found)
    with pytest.raises(ConfigError, match="mse is an error, and its limit is a rise relative to float's"):
        gate("1 point", metric)


def test_without_an_interval_the_gate_is_open() -> None:
    metric = Metric(name="auc", float_value=0.9, int8_value=0.1, drop=0.8, samples=12)
    found = gate("1%", metric)
    assert (found.verdict, found.low, found.samples_needed) == ("open", None, 60)


table = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda counts: sum(counts) > 0)


@given(table, st.lists(st.floats(0, 0.9), min_size=2, max_size=6))
def test_verdict_follows_from_the_interval_and_a_higher_limit_is_never_harder(
    counts: tuple[int, int, int, int], limits: list[float]
) -> None:
    metric = top_1(*counts)
    gates = [decide(MaxDrop(limit), metric) for limit in sorted(limits)]
    ranks = [ORDER[found.verdict] for found in gates]
    assert ranks == sorted(ranks)
    for found in gates:
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.drop + 1e-12
        assert found.drop <= found.high + 1e-12
        assert (found.verdict == "passed") == (found.high <= found.limit)
        assert (found.verdict == "failed") == (found.low > found.limit)
        if found.samples_needed is not None:
            assert found.verdict == "open"
            assert found.samples_needed > found.samples
            assert len(str(found.samples_needed).rstrip("0")) <= 2


@given(table)
def test_of_two_sides_that_change_places_the_drop_and_its_interval_change_sign(
    counts: tuple[int, int, int, int],
) -> None:
    both, lost, won, neither = counts
    one, other = top_1(both, lost, won, neither), top_1(both, won, lost, neither)
    assert one.drop_interval is not None
    assert other.drop_interval is not None
    assert one.drop_interval.low == pytest.approx(-other.drop_interval.high, abs=1e-12)


@pytest.mark.parametrize(("lost", "won", "limit"), [(0.02, 0.016, 0.01), (0.03, 0.01, 0.01), (0.01, 0.01, 0.005)])
def test_number_of_samples_that_is_named_would_decide(lost: float, won: float, limit: float) -> None:
    """From 400 samples as they are expected, an estimate; at that number, the gate is decided, and rightly, about 8 times in 10."""
    right = 0.85
    shares = (right - lost, lost, won, 1 - right - won)
    pilot = decide(MaxDrop(limit), top_1(*(round(400 * share) for share in shares)))
    assert pilot.verdict == "open"
    assert pilot.samples_needed is not None
    rng, decided = np.random.default_rng(0), []
    for _ in range(200):
        decided.append(decide(MaxDrop(limit), top_1(*rng.multinomial(pilot.samples_needed, shares))).verdict)
    rightly = "passed" if lost - won < limit else "failed"
    assert decided.count(rightly) / 200 >= 0.72
    assert decided.count(rightly) + decided.count("open") >= 195
    quarter = [
        decide(MaxDrop(limit), top_1(*rng.multinomial(pilot.samples_needed // 4, shares))).verdict for _ in range(200)
    ]
    assert quarter.count("open") / 200 > 0.4  # it is no wild overestimate


@pytest.mark.parametrize(("right", "wrong"), [(60, 0), (54, 6), (0, 60)])
def test_where_nothing_differed_a_few_hundred_samples_rule_a_point_out(right: int, wrong: int) -> None:
    found = gate("1%", top_1(right, 0, 0, wrong))
    assert found.samples_needed is not None
    assert 150 <= found.samples_needed <= 450
    share = found.samples_needed / 60
    assert gate("1%", top_1(round(right * share), 0, 0, round(wrong * share))).verdict == "passed"
    assert gate("1%", top_1(round(right * share / 2), 0, 0, round(wrong * share / 2))).verdict == "open"


def test_without_labels_the_drop_is_at_most_the_disagreement() -> None:
    found = decide_without_labels(MaxDrop.parse("1%"), class_agreement(1_000, 1_000))
    assert (found.verdict, found.basis, found.metric) == ("passed", "agreement", "top-1 agreement")
    assert "accuracy can drop at most by as much" in gate_sentence(found)
    assert (
        decide_without_labels(MaxDrop.parse("1%"), class_agreement(100, 100)).verdict == "open"
    )  # Wilson: up to 3.7 %
    with pytest.raises(GateError, match=r"disagreement with the float model.*Give --evaluate DATA"):
        require(decide_without_labels(MaxDrop.parse("1%"), class_agreement(80, 100)), REPORT)


def thing(right: float = 10.0) -> Detection:
    return Detection((0.0, 0.0, right, 10.0), "cat", 0, 0.9)


def test_without_labels_a_detector_is_judged_by_floats_boxes() -> None:
    same = box_agreement([([thing()], [thing()])] * 100)
    assert (same.int8_value, same.drop) == (pytest.approx(1), pytest.approx(0))
    assert same.drop_interval is not None
    assert (same.name, same.drop_interval.high) == ("AP50 agreement", pytest.approx(0.03))
    assert same.int8_interval == Interval(low=0.97, high=1)
    assert "at most" not in gate_sentence(decide_without_labels(MaxDrop(0.1), same))  # of boxes it is no bound
    half_lost = box_agreement([([thing()], [thing()]), ([thing()], [])] * 50)
    assert half_lost.drop == pytest.approx(0.5, abs=0.01)
    assert decide_without_labels(MaxDrop(0.1), half_lost).verdict == "failed"
    collapsed = box_agreement([([thing()], [])] * 100)
    assert decide_without_labels(MaxDrop(0.1), collapsed).verdict == "failed"
    with pytest.raises(DataError, match="finds no object in the samples compared"):
        box_agreement([([], [thing()])] * 100)


def test_raw_without_labels_asks_for_them() -> None:
    with pytest.raises(ConfigError, match=r"--max-drop needs right answers for task raw.*give --evaluate DATA"):
        decide_without_labels(MaxDrop(0.01), None)


def test_an_interval_rises() -> None:
    with pytest.raises(ValueError, match="an interval rises"):
        Interval(low=1, high=0)
