"""Repair from end to end: models whose plain int8 is bad come back to within a point of float; one that cannot be says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest

from converters.calibrate.ranges import encoded
from converters.calibrate.samples import open_samples
from converters.load import load
from converters.mending import wanted
from converters.quantize.recipe import read_recipe
from converters.repair import latency
from converters.repair.candidate import Candidate, Quantized, Score
from converters.repair.judge import sqnr_judge
from converters.repair.repair import Repaired, repair
from converters.report.accuracy import Gate
from converters.verify.prove import prove
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.errors import EngineError, ModelError
from edge_sdk.tensors import Array
from tests import repair_models as models
from tests.repair_models import Net, he, inputs_of, layers_on, outputs_of, quantize, start_of, statistics

HELD = 150
SWISH = models.swish_net(0)
IMAGES = models.gratings(12, 3)[0]


def mend(content: bytes, calibration: list[Array], judge: Callable[[Quantized], Score], **settings: object) -> Repaired:
    start, _ = start_of(content, calibration)
    wanted = {
        "quantize": quantize,
        "judge": judge,
        "layers": layers_on(calibration),
        "inputs": inputs_of(calibration),
        "measure": lambda of: statistics(of, calibration),
        "latency": lambda quantized: 1.0,
        **settings,
    }
    return repair(start, **wanted)  # type: ignore[arg-type]


def judge_by(content: bytes, held: list[Array], metric: Callable[[Array], float]) -> Callable[[Quantized], Score]:
    follow = sqnr_judge(content, held[:16])
    return lambda q: Score(metric(outputs_of(q.content, held, q.heads)[0]), follow(q).sqnr_db)


def classifier(content: bytes, **settings: object) -> tuple[float, Repaired]:
    images, classes = models.gratings(HELD, 2)
    float_value = models.accuracy(outputs_of(content, images)[0], classes)
    judge = judge_by(content, images, lambda output: models.accuracy(output, classes))
    return float_value, mend(content, models.gratings(40, 3)[0], judge, **{"goal": float_value - 1, **settings})


def check(float_value: float, repaired: Repaired, before: float, action: str) -> None:
    figures = repaired.figures
    assert (
        figures.before is not None
        and figures.before < before
        and figures.reached
        and figures.ended == "The goal is met."
    )
    assert figures.after == repaired.score.value >= float_value - 1
    assert action in [step.action for step in figures.steps if step.kept]
    values = [step.after for step in figures.steps if step.kept]
    assert values == sorted(values) and prove(repaired.quantized.content)


@pytest.mark.parametrize("kind, before", [("concatenation", 75), ("convolution", 86)])
def test_a_detector_with_a_joint_head(kind: str, before: float) -> None:
    content = models.joint_head_detector(kind)
    images, boxes = models.squares(60, 2)
    float_value = models.average_precision(outputs_of(content, images)[0], boxes)
    judge = judge_by(content, images, lambda output: models.average_precision(output, boxes))
    repaired = mend(content, models.squares(30, 3)[0], judge, goal=float_value - 1)
    check(float_value, repaired, before, "split head")
    (head,) = repaired.candidate.heads
    assert (head.name, head.shape) == ("output", (1, 64, 5)) and repaired.quantized.heads == (head,)


def test_a_depthwise_net_with_wide_channel_ranges() -> None:
    check(*classifier(models.wide_depthwise(3)), 60, "equalise activations")


def test_a_swish_net_with_outliers() -> None:
    check(*classifier(models.swish_net()), 70, "ranges by saturation")


def test_without_labels_repair_goes_by_sqnr() -> None:
    content, images = models.swish_net(), models.gratings(40, 3)[0]
    judge = sqnr_judge(content, models.gratings(16, 2)[0])
    repaired = mend(content, images, judge)
    assert repaired.figures.reached and repaired.figures.ended == "Nothing is left to try."
    assert repaired.figures.before is not None and repaired.score.value > repaired.figures.before + 10
    assert repaired.score == judge(repaired.quantized)


def exponential_net() -> bytes:
    """Logarithms of means of exponentials: values from 10^-4 to 10^4 lie in one tensor, and the small ones count as much."""
    net = Net((1, 8, 8, 3))
    x = net.conv("a", net.entry, 3 * he(np.random.default_rng(0), 8, 3, 3, 3), np.zeros(8), act="NONE")
    x = net.depthwise("mean", net.unary("exp", "EXP", x), np.full((1, 2, 2, 8), 0.25), np.full(8, 1e-3), act="NONE")
    return net.done(net.unary("log", "LOG", x))


def test_what_cannot_be_repaired_ends_and_says_so() -> None:
    content = exponential_net()
    rng = np.random.default_rng(0)
    inputs = [rng.normal(0, 1, (1, 8, 8, 3)).astype(np.float32) for _ in range(24)]
    repaired = mend(content, inputs[:16], sqnr_judge(content, inputs[16:]), goal=25.0)
    assert not repaired.figures.reached and repaired.score.value < 25
    assert repaired.figures.ended == "Nothing is left to try, and the goal is not met."
    assert {"equalise activations", "correct biases, linear", "ranges by mse"} <= {
        step.action for step in repaired.figures.steps
    }
    assert all(step.note for step in repaired.figures.steps if step.after is None)
    assert repaired.score.value >= (repaired.figures.before or 0)


def test_what_16_bits_mend_where_they_are_allowed() -> None:
    images = models.gratings(24, 3)[0]
    judge = sqnr_judge(SWISH, images[12:])
    without, with_ = (mend(SWISH, images[:12], judge, allow_int16=allowed) for allowed in (False, True))
    assert not without.candidate.int16 and with_.candidate.int16
    assert with_.score.value > without.score.value + 1


@pytest.mark.slow
def test_a_real_face_detector_follows_float_better(face_model: Path, carphone: Path) -> None:
    content = load(face_model).content
    frames = open_samples(f"{carphone}?step=4", shape=(1, 128, 128, 3))
    encoder = Encoder(
        Contract(input="image", colour="rgb", resize="letterbox", range=(-1, 1)), models.input_spec(content)
    )
    images = [tensor.copy() for _, tensor in encoded(frames, encoder)]
    repaired = mend(content, images[:16], sqnr_judge(content, images[16:]), budget_s=120.0)
    assert repaired.figures.before is not None and repaired.score.value > repaired.figures.before + 4
    rewritten = outputs_of(repaired.candidate.content, images[16:20], repaired.candidate.heads)
    for real, made in zip(outputs_of(content, images[16:20]), rewritten, strict=True):
        np.testing.assert_allclose(made, real, atol=1e-5 * float(np.abs(real).max()))


# The engine itself


def test_nothing_is_done_where_the_goal_is_met_already() -> None:
    repaired = mend(SWISH, IMAGES, lambda q: Score(90.0), goal=90.0)
    assert repaired.figures.steps == () and repaired.figures.reached and repaired.figures.before == 90.0


def test_the_result_is_never_worse_than_the_start() -> None:
    """Every step makes it worse: none is kept, each is told."""
    seen: list[Quantized] = []

    def judge(quantized: Quantized) -> Score:
        seen.append(quantized)
        return Score(50.0 - len(seen), 20.0)

    told: list[str] = []
    repaired = mend(SWISH, IMAGES, judge, goal=99.0, progress=told.append)
    assert repaired.quantized is seen[0] and repaired.candidate.ranges == start_of(SWISH, IMAGES)[0].ranges
    steps = repaired.figures.steps
    assert len(seen) > 3 and not any(step.kept for step in steps) and [step.action for step in steps] == told


@pytest.mark.parametrize(
    "value, sqnr, kept", [(50.4, 19.0, False), (50.6, 19.0, True), (50.0, 21.0, True), (50.0, 20.05, False)]
)
def test_a_gain_within_the_noise_is_none_unless_the_outputs_follow_better(
    value: float, sqnr: float, kept: bool
) -> None:
    scores = iter([Score(50.0, 20.0), Score(value, sqnr)])

    def judge(quantized: Quantized) -> Score:
        return next(scores, Score(0.0))

    first = next(step for step in mend(SWISH, IMAGES, judge, noise=0.5).figures.steps if step.after is not None)
    assert first.kept is kept


class Clock:
    """Each look at it takes a second."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("budget_s", [1.0, 8.0, 30.0, 60.0])
def test_repair_ends_when_the_time_is_over_also_within_a_step(budget_s: float) -> None:
    clock = Clock()
    content = models.swish_net()
    repaired = mend(content, IMAGES, sqnr_judge(content, IMAGES[:4]), budget_s=budget_s, clock=clock)
    assert repaired.figures.ended == f"The time budget of {budget_s:g} s is used up." and clock.now < budget_s + 6
    assert repaired.score.value >= (repaired.figures.before or 0)


def test_a_step_that_cannot_be_quantized_is_told_and_left() -> None:
    start, _ = start_of(models.swish_net(), IMAGES)

    def fails(candidate: Candidate) -> object:
        if candidate.ranges != start.ranges:
            raise ModelError("no such ranges")
        return quantize(candidate)

    repaired = mend(models.swish_net(), IMAGES, sqnr_judge(models.swish_net(), IMAGES[:4]), quantize=fails)
    failed = [step for step in repaired.figures.steps if step.note == "failed: no such ranges"]
    assert failed and not any(step.kept for step in failed)


def test_a_start_that_does_not_run_can_still_be_repaired() -> None:
    content = models.wide_depthwise(2)
    images = models.gratings(20, 3)[0]
    real = sqnr_judge(content, images[:8])
    start = start_of(content, images)[1].content

    def judge(quantized: Quantized) -> Score:
        if quantized.content == start:
            raise EngineError("the interpreter refuses the model")
        return real(quantized)

    figures = mend(content, images, judge, goal=20.0).figures
    assert figures.before is None and figures.reached and figures.after is not None
    assert figures.steps[0].note == "failed: the interpreter refuses the model" and figures.steps[1].kept
    assert figures.without_times().model_dump_json()


def test_figures_of_the_same_work_are_the_same_without_times() -> None:
    content = models.swish_net()
    found = [
        mend(content, IMAGES, sqnr_judge(content, IMAGES[:4]), latency=latency.median_ms).figures for _ in range(2)
    ]
    assert found[0].without_times() == found[1].without_times()
    assert all(step.latency_ratio is not None for step in found[0].steps if step.after is not None)


def test_a_collapsed_part_shows_in_the_judge_s_sqnr() -> None:
    content = models.joint_head_detector()
    images = models.squares(8, 3)[0]
    _, plain = start_of(content, images)
    real, made = outputs_of(content, images)[0], outputs_of(plain.content, images)[0]
    assert sqnr_judge(content, images)(plain).value < models.sqnr(real, made) - 3


def test_candidates_are_values() -> None:
    start, _ = start_of(SWISH, IMAGES)
    assert replace(start, corrected="linear") != start and start == Candidate(start.content, start.ranges)


@pytest.mark.parametrize(
    ("verdict", "drop", "why"),
    [("failed", 0.05, "the gate failed"), ("open", 0.02, "more was lost than is allowed"), ("open", 0.005, None)],
)
def test_repair_starts_where_the_gate_failed_or_what_was_measured_is_too_much(
    verdict: str, drop: float, why: str | None
) -> None:
    gate = Gate(metric="top-1", limit=0.01, drop=drop, low=0.0, high=0.1, verdict=verdict, samples=100)
    made = SimpleNamespace(recipe=read_recipe("int8"), model=None, float_content=b"", heads=())
    assessed = SimpleNamespace(made=made, gate=gate, layers=())
    judge = patch("converters.mending.sqnr_judge", lambda content, inputs: lambda quantized: Score(30.0, 30.0))
    with judge, patch("converters.mending._tensors", lambda bench, most: iter(())):
        found = wanted(assessed, SimpleNamespace(float_content=b""))
    assert (found is None) == (why is None)
    assert why is None or found.startswith(why)
