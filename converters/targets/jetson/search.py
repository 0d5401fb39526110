"""Searching for a better QDQ graph: first ranges, then what costs the device nothing, then layers left in floating point.

Everything is judged on calibration samples by the SQNR of the outputs (``repair.judge.Meter``), and kept where that rises. The samples that
the variant is compared on in the end, and ground truth, take no part.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from onnx import ModelProto

from converters.repair.equalize import By, equalize
from converters.repair.judge import Meter
from converters.repair.observe import channel_extremes
from converters.repair.rewiring import CannotRepairError
from converters.report.numbers import count
from converters.report.repair_figures import Repair, RepairStep
from converters.targets.jetson.amax import METHODS
from converters.targets.jetson.build import Builder, Built, Candidate
from converters.targets.jetson.run import Runner
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

_LEAST_DB = 0.1
_COSTLY_DB = 0.3  # for a layer that the device then computes in floating point
_MOST_LEFT_OUT = 0.1  # of the layers
_AGAIN = ("minmax", "percentile 99.99", "auto")
JUDGED = 32  # samples
_RANKED_ON = 6
VALUE = "SQNR of the outputs on calibration samples, dB"


class _Ended(Exception):
    """The goal is met, or time is over; says which."""


class Judge:
    """The SQNR of a graph's outputs, the worst of them, in dB.

    Args:
        model: the float graph.
        inputs: its input tensor of some samples.
    """

    def __init__(self, model: ModelProto, inputs: Iterable[Array]) -> None:
        self._inputs = [tensor.copy() for tensor in inputs][:JUDGED]
        runner = Runner(model)
        self._wanted = [list(runner.run(tensor).values()) for tensor in self._inputs]

    def __call__(self, model: ModelProto, most: int = JUDGED) -> float:
        """Of a graph of the same outputs, on at most so many of the samples."""
        runner = Runner(model)
        meters = [Meter(output.shape) for output in self._wanted[0]]
        for tensor, wanted in list(zip(self._inputs, self._wanted, strict=True))[:most]:
            for meter, real, made in zip(meters, wanted, runner.run(tensor).values(), strict=True):
                meter.see(real, made)
        return min(meter.sqnr_db() for meter in meters)


class Search:
    """Climbs from one candidate to better ones.

    Args:
        start: the float .tflite.
        builder, judge: make and judge graphs.
        tensors: the calibration samples as the .tflite takes them, as often as called.
        goal_db: what is good enough, so that nothing more is tried; without it the search goes on while anything helps.
        budget_s: how long it may take.
        progress: told of each action.

    Attributes:
        best: the best candidate so far; ``built`` what it became, ``db`` what that is worth.
        steps: what was tried.
    """

    def __init__(
        self,
        start: bytes,
        builder: Builder,
        judge: Judge,
        tensors: Callable[[], Iterable[Array]],
        goal_db: float | None,
        budget_s: float,
        progress: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._builder, self._judge, self._tensors, self._progress, self._clock = (
            builder,
            judge,
            tensors,
            progress,
            clock,
        )
        self._start, self._goal_db, self._budget_s, self._ends = start, goal_db, budget_s, clock() + budget_s
        self.best = Candidate(start)
        self.built: Built = builder.build(self.best)
        self.db = self.first_db = judge(self.built.model)
        self.steps: list[RepairStep] = []

    def search_ranges(self) -> None:
        """The best method of all tensors, where a range is only a number: without any repair."""
        with contextlib.suppress(_Ended):
            for method in METHODS[1:]:
                self._attempt("ranges", method, replace(self.best, method=method))

    def repair(self) -> Repair:
        """Try what may help until it is as good as the goal.

        Returns:
            The way there. Called again after the goal was dropped, it goes on.
        """
        try:
            self._check()
            self._attempt("correct biases", "", replace(self.best, corrected=True))
            self._equalize()
            self._attempt("centre and correct", "", replace(self.best, centred=True, corrected=True))
            for method in _AGAIN:
                self._attempt("ranges again", method, replace(self.best, method=method))
            self._leave_out()
            ended = "Nothing is left to try" + ("." if self._goal_db is None else ", and the goal is not met.")
        except _Ended as exc:
            ended = str(exc)
        return Repair(
            value=VALUE,
            goal=self._goal_db,
            before=self.first_db,
            after=self.db,
            reached=self._goal_db is None or self._met(),
            ended=ended,
            steps=tuple(self.steps),
        )

    def drop_goal(self) -> None:
        """What was good enough is not: go on while anything helps."""
        self._goal_db = None

    def _equalize(self) -> None:
        ways: tuple[By, ...] = ("activations", "weights")
        start = self.best
        for by in ways:
            try:
                done = equalize(self._start, channel_extremes(self._start, self._tensors()), by)
            except CannotRepairError as exc:
                self.steps.append(RepairStep(action=f"equalise {by}", before=self.db, note=f"not possible: {exc}"))
                continue
            note = f"{done.groups} sets of layers, factors up to {done.spread:.3g} apart"
            for method in dict.fromkeys((start.method, "minmax", "mse")):
                changed = replace(start, content=done.content, method=method)
                self._attempt(f"equalise {by}", f"ranges by {method}", changed, note)

    def _leave_out(self) -> None:
        """Single layers, in the order of what is won without them; several of them where one is not enough."""
        layers = self._builder.graph(self.best.content).layers
        plain = self.best.plain()
        base = self._judge(self._builder.build(plain).model, _RANKED_ON)
        gains = dict[str, float]()
        for layer in layers:
            self._check()
            self._progress(f"weigh {layer.name}")
            if layer.name in plain.left_out:
                continue
            without = replace(plain, left_out=(*plain.left_out, layer.name))
            gains[layer.name] = self._judge(self._builder.build(without).model, _RANKED_ON) - base
        order = [name for name, gain in sorted(gains.items(), key=lambda pair: -pair[1]) if gain > 0]
        most = max(1, int(len(layers) * _MOST_LEFT_OUT)) - len(plain.left_out)
        for name in order[: max(0, most)]:
            left_out = (*self.best.left_out, name)
            self._attempt("leave in floating point", name, replace(self.best, left_out=left_out), least_db=_COSTLY_DB)

    def _attempt(
        self, action: str, target: str, candidate: Candidate, note: str = "", least_db: float = _LEAST_DB
    ) -> None:
        if candidate == self.best:
            return
        self._check()
        self._progress(f"{action} {target}".rstrip())
        started = self._clock()
        step = RepairStep(action=action, target=target, before=self.db, before_db=self.db, note=note)
        try:
            built = self._builder.build(candidate)
            db = self._judge(built.model)
        except ModelError as exc:
            seconds = self._clock() - started
            self.steps.append(step.model_copy(update={"seconds": seconds, "note": f"failed: {exc}"}))
            return
        kept = bool(np.isfinite(db)) and db >= self.db + least_db
        said = f"{count(built.shifted, 'tensor')} shifted" if candidate.centred and not note else note
        found = {"after": db, "after_db": db, "kept": kept, "seconds": self._clock() - started, "note": said}
        self.steps.append(step.model_copy(update=found))
        if kept:
            self.best, self.built, self.db = candidate, built, db

    def _met(self) -> bool:
        return self._goal_db is not None and self.db >= self._goal_db

    def _check(self) -> None:
        if self._met():
            raise _Ended("The goal is met.")
        if self._clock() >= self._ends:
            raise _Ended(f"The time budget of {self._budget_s:g} s is used up.")
