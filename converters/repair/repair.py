"""The engine of repair: it tries what may help, the cheapest first, measures every step, and keeps what is better.

What changes the graph (equalisation, heads split or left to the device) goes first, then the ranges of the whole model, then what
measures the finished int8 model (bias correction), then single layers in the order of what they lose: ranges, 16 bits. Rounds are
repeated while they help, as one step may open the way for another. The result is never worse than the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite

from converters.calibrate.statistics import Ranges, Statistics
from converters.graph import main_graph, read_graph, text
from converters.repair.bias_correction import correct_biases
from converters.repair.candidate import Candidate, Inputs, Judge, Layers, Measure, Quantize, Quantized, Score
from converters.repair.equalize import By, equalize
from converters.repair.int16 import int16_tensors
from converters.repair.keep_out import keep_out
from converters.repair.latency import median_ms
from converters.repair.observe import channel_extremes, output_extremes
from converters.repair.ranges import METHODS, Method, differ, most_lossy, outliers, with_ranges_of
from converters.repair.rewiring import CannotRepairError
from converters.repair.saturation import saturated_ranges
from converters.repair.split_head import plan_split, split_head
from converters.report.figures import Layer, Repair, RepairStep
from edge_sdk.errors import ConfigError, EngineError, ModelError
from edge_sdk.tensors import Array

CORRECTION_SAMPLES = 8
_LEAST_DB, _WORTH_DB = (
    0.1,
    1.0,
)  # gains of SQNR: below the first it is chance; what costs the device time must bring the second
_COSTLY = ("split head", "keep out", "16-bit activations")
_MOST_SLOWER = 2.0  # a step that makes an inference longer than that is no repair
_IN_VAIN = 2  # single layers in a row


_UNUSABLE = Score(-inf, -inf)


def _known(score: Score) -> float | None:
    return score.value if isfinite(score.value) else None


class _TimeOver(Exception):
    """The budget is used up."""


class _GoalMet(Exception):
    """The best candidate is good enough."""


@dataclass(frozen=True)
class Repaired:
    """What repair came to.

    Attributes:
        candidate, quantized, score: the best; the start itself if nothing helped.
        figures: the way there, for the report.
    """

    candidate: Candidate
    quantized: Quantized
    score: Score
    figures: Repair


def repair(
    start: Candidate,
    *,
    quantize: Quantize,
    judge: Judge,
    layers: Layers,
    inputs: Inputs,
    measure: Measure,
    base: Method = lambda statistics: statistics.ranges("minmax"),
    methods: Mapping[str, Method] = METHODS,
    value: str = "SQNR of the outputs, dB",
    goal: float | None = None,
    budget_s: float = 600.0,
    noise: float = 0.0,
    allow_heads: bool = True,
    allow_int16: bool = False,
    rounds: int = 3,
    single_layers: int = 6,
    latency: Callable[[Quantized], float] = median_ms,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[RepairStep], None] = lambda step: None,
) -> Repaired:
    """Find a better candidate.

    Args:
        start: the float model as it was first quantized.
        quantize: makes an int8 model of a float one.
        judge: says how good a quantized model is, on samples kept apart from calibration.
        layers: compares a quantized model with its float one, layer by layer.
        inputs: the calibration samples, encoded for the float model.
        measure: looks at a float model's activations over the calibration samples.
        base: how the ranges of ``start`` were chosen.
        methods: other ways to choose them, by name.
        value: what the judge's value is, for people.
        goal: a value that is good enough; without one, repair goes on while anything helps.
        budget_s: how long it may take, in seconds. A step that is under way ends at its next check.
        noise: a gain of the value that may be chance, in its unit; the SQNR of the outputs decides then.
        allow_heads: whether the device may put outputs together.
        allow_int16: whether every target takes 16-bit activations.
        rounds: how often everything is tried, as long as it helps.
        single_layers: how many are treated alone in one round.
        latency: median time of one inference in milliseconds.
        clock: in seconds.
        progress: called with each step when it is done.

    Raises:
        NotIntegerError, ModelError: if the start itself cannot be quantized.
    """
    work = _Repair(
        start, quantize, judge, layers, inputs, measure, base, methods, goal, budget_s, noise, latency, clock, progress
    )
    ended = work.run(rounds, single_layers, allow_heads=allow_heads, allow_int16=allow_int16)
    figures = Repair(
        value=value,
        goal=goal,
        before=None if work.first is None else work.first.value,
        after=_known(work.best.score),
        reached=goal is None or work.best.score.value >= goal,
        ended=ended,
        steps=tuple(work.steps),
    )
    return Repaired(work.best.candidate, work.best.quantized, work.best.score, figures)


@dataclass(frozen=True)
class _Best:
    candidate: Candidate
    quantized: Quantized
    score: Score
    latency_ms: float


Change = Callable[[Candidate], tuple[Candidate, str]]
"""Makes another candidate of one, and says what was found; raises CannotRepairError if it does not apply."""


class _Repair:
    """One repair: the best so far, the steps, and the clock."""

    def __init__(
        self,
        start: Candidate,
        quantize: Quantize,
        judge: Judge,
        layers: Layers,
        inputs: Inputs,
        measure: Measure,
        base: Method,
        methods: Mapping[str, Method],
        goal: float | None,
        budget_s: float,
        noise: float,
        latency: Callable[[Quantized], float],
        clock: Callable[[], float],
        progress: Callable[[RepairStep], None],
    ) -> None:
        self._quantize, self._judge, self._layers_of, self._inputs_of = quantize, judge, layers, inputs
        self._measure_of, self._base, self._methods = measure, base, methods
        self._goal, self._noise = goal, noise
        self._latency, self._clock, self._progress = latency, clock, progress
        self._ends = clock() + budget_s
        self._budget_s = budget_s
        self._measured: tuple[bytes, Statistics] | None = None
        self._tried: set[tuple[str, str, bytes]] = set()
        self._compared: tuple[Quantized, tuple[Layer, ...]] | None = None
        self.steps: list[RepairStep] = []
        quantized = self._build(start)
        try:
            self.first: Score | None = judge(quantized)
            self.best = _Best(start, quantized, self.first, latency(quantized))
        except EngineError as exc:  # scales that a kernel refuses; equalisation may bring them together
            self.first = None
            self.best = _Best(start, quantized, _UNUSABLE, 0.0)
            self._note(RepairStep(action="run as quantized", note=f"failed: {exc}"))
        self._first_ms = self.best.latency_ms

    def run(self, rounds: int, single_layers: int, *, allow_heads: bool, allow_int16: bool) -> str:
        """Try everything; returns why it ended, in a sentence."""
        try:
            self._stop_if_met()
            for _ in range(rounds):
                before = self.best
                self._equalize()
                self._saturate()
                if allow_heads:
                    self._split_heads()
                    self._keep_out()
                self._ranges_of_all()
                self._correct_biases()
                self._ranges_of_some(single_layers)
                if allow_int16:
                    self._int16(single_layers)
                if self.best is before:
                    break
        except _GoalMet:
            return "The goal is met."
        except _TimeOver:
            return f"The time budget of {self._budget_s:g} s is used up."
        return "Nothing is left to try." if self._goal is None else "Nothing is left to try, and the goal is not met."

    def _equalize(self) -> None:
        ways: tuple[By, ...] = ("activations", "weights")
        for by in ways:

            def change(candidate: Candidate, by: By = by) -> tuple[Candidate, str]:
                done = equalize(candidate.content, channel_extremes(candidate.content, self._inputs()), by)
                found = f"{done.groups} sets of layers, factors up to {done.spread:.3g} apart; {done.skipped} sets cannot be"
                return replace(
                    candidate, content=done.content, ranges=self._base(self._statistics(done.content))
                ), found

            self._try(f"equalise {by}", "", change)

    def _saturate(self) -> None:
        def change(candidate: Candidate) -> tuple[Candidate, str]:
            ranges, changed = saturated_ranges(candidate.content, candidate.ranges)
            if not changed:
                raise CannotRepairError("no range goes beyond what its readers tell apart")
            return replace(candidate, ranges=ranges), f"{len(changed)} ranges cut, such as that of {changed[0]!r}"

        self._try("ranges by saturation", "", change)

    def _split_heads(self) -> None:
        content = self.best.candidate.content
        taken = {part.output for head in self.best.candidate.heads for part in head.parts}
        for output, extremes in output_extremes(content, self._inputs()).items():
            plan = None if output in taken else plan_split(content, output, extremes)
            if plan is None:
                continue

            def change(candidate: Candidate) -> tuple[Candidate, str]:
                assert plan is not None  # noqa: B023, S101 - called before the next turn
                done = split_head(candidate.content, plan)  # noqa: B023
                found = f"{len(plan.groups)} parts along axis {plan.axis}, ranges {plan.ratio:.3g} times apart"  # noqa: B023
                ranges = self._measure_new(done.content, candidate.ranges)
                return replace(
                    candidate, content=done.content, ranges=ranges, heads=(*candidate.heads, done.head)
                ), found

            self._try("split head", output, change)

    def _correct_biases(self) -> None:
        if not self.best.candidate.corrected:
            self._try("correct biases", "", lambda candidate: (replace(candidate, corrected=True), ""))

    def _ranges_of_all(self) -> None:
        for name, method in self._methods.items():
            self._try(f"ranges by {name}", "", lambda candidate, method=method: self._with_all(candidate, method))  # type: ignore[misc]

    def _ranges_of_some(self, most: int) -> None:
        for layer in self._worst(most):
            for name, method in self._methods.items():
                self._try(
                    f"range by {name}",
                    layer.tensor,
                    lambda candidate, method=method, tensor=layer.tensor: self._with_one(candidate, method, tensor),  # type: ignore[misc]
                )

    def _keep_out(self) -> None:
        graph = main_graph(read_graph(self.best.candidate.content))
        for output in [text(graph.tensors[index].name) for index in graph.outputs]:

            def change(candidate: Candidate, output: str = output) -> tuple[Candidate, str]:
                done = keep_out(candidate.content, candidate.heads, output)
                ranges = self._measure_new(done.content, candidate.ranges)
                changed = replace(candidate, content=done.content, ranges=ranges, heads=done.heads)
                return changed, f"left to the device: {', '.join(done.operators)}"

            self._try("keep out", output, change)

    def _int16(self, most: int) -> None:
        for layer in self._worst(most):

            def change(candidate: Candidate, tensor: str = layer.tensor) -> tuple[Candidate, str]:
                wide = int16_tensors(candidate.content, tensor)
                if not wide or set(wide) <= set(candidate.int16):
                    raise CannotRepairError("there is no 16-bit kernel for it, or it has 16 bits already")
                found = f"in 16 bits, with what reads it: {', '.join(wide)}"
                return replace(candidate, int16=tuple(dict.fromkeys((*candidate.int16, *wide)))), found

            self._try("16-bit activations", layer.tensor, change)

    def _with_all(self, candidate: Candidate, method: Method) -> tuple[Candidate, str]:
        ranges = method(self._statistics(candidate.content))
        changed = sum(differ(candidate.ranges, ranges, tensor) for tensor in ranges.minima)
        if not changed:
            raise CannotRepairError("no range differs")
        return replace(candidate, ranges=ranges), f"{changed} ranges differ"

    def _with_one(self, candidate: Candidate, method: Method, tensor: str) -> tuple[Candidate, str]:
        ranges = method(self._statistics(candidate.content))
        if not differ(candidate.ranges, ranges, tensor):
            raise CannotRepairError("the range does not differ")
        old, new = ((r.minima[tensor], r.maxima[tensor]) for r in (candidate.ranges, ranges))
        found = f"{old[0]:.4g} to {old[1]:.4g} became {new[0]:.4g} to {new[1]:.4g}"
        return replace(candidate, ranges=with_ranges_of(candidate.ranges, ranges, [tensor])), found

    def _worst(self, most: int) -> Iterator[Layer]:
        """Single layers to treat: what loses most of its own, outliers alone where there are any. Asked anew after each success; over
        when two in a row were treated in vain."""
        tried: set[str] = set()
        in_vain = 0
        for _ in range(most):
            before = self.best
            layers = self._layers()
            bad = {layer.tensor for layer in outliers(layers)}
            order = [
                layer for layer in most_lossy(self.best.candidate.content, layers) if not bad or layer.tensor in bad
            ]
            layer = next((layer for layer in order if layer.tensor not in tried), None)
            if layer is None:
                return
            tried.add(layer.tensor)
            yield layer
            in_vain = in_vain + 1 if self.best is before else 0
            if in_vain == _IN_VAIN:
                return

    def _layers(self) -> tuple[Layer, ...]:
        if self.best.score is _UNUSABLE:
            return ()
        if self._compared is None or self._compared[0] is not self.best.quantized:
            self._check()
            self._compared = (self.best.quantized, self._layers_of(self.best.quantized))
        return self._compared[1]

    def _try(self, action: str, target: str, change: Change) -> None:
        """Measure one change of the best candidate, keep it if it is better, and note it; once for the same float model."""
        key = action, target, self.best.candidate.content
        if key in self._tried:
            return
        self._tried.add(key)
        self._check()
        started, best = self._clock(), self.best
        step = RepairStep(action=action, target=target, before=_known(best.score), before_db=best.score.sqnr_db)
        try:
            candidate, found = change(best.candidate)
            quantized = self._build(candidate)
            score = self._judge(quantized)
        except CannotRepairError as exc:
            self._note(step.model_copy(update={"seconds": self._clock() - started, "note": f"not possible: {exc}"}))
            return
        except (ModelError, EngineError, ConfigError) as exc:
            self._note(step.model_copy(update={"seconds": self._clock() - started, "note": f"failed: {exc}"}))
            return
        took_ms = self._latency(quantized)
        slower = took_ms / self._first_ms if self._first_ms > 0 else 1.0
        kept = self._better(score, best.score, _WORTH_DB if action in _COSTLY else _LEAST_DB) and slower <= _MOST_SLOWER
        if slower > _MOST_SLOWER:
            found = f"{found}; an inference would take {slower:.1f} times as long".removeprefix("; ")
        measured = {
            "after": score.value,
            "after_db": score.sqnr_db,
            "kept": kept,
            "seconds": self._clock() - started,
            "latency_ratio": took_ms / best.latency_ms if best.latency_ms > 0 else None,
            "note": found,
        }
        self._note(step.model_copy(update=measured))
        if kept:
            self.best = _Best(candidate, quantized, score, took_ms)
            self._stop_if_met()

    def _note(self, step: RepairStep) -> None:
        self.steps.append(step)
        self._progress(step)

    def _better(self, after: Score, before: Score, least_db: float) -> bool:
        """Better in value beyond chance; or no worse in value, and better in SQNR, which may be the value itself."""
        if after.value == after.sqnr_db:
            return after.sqnr_db >= before.sqnr_db + max(least_db, self._noise)
        if after.value > before.value + self._noise:
            return True
        return after.value >= before.value and after.sqnr_db >= before.sqnr_db + least_db

    def _build(self, candidate: Candidate) -> Quantized:
        made = self._quantize(candidate)
        if candidate.corrected:
            few = (tensor for tensor, _ in zip(self._inputs(), range(CORRECTION_SAMPLES), strict=False))
            corrected = correct_biases(candidate.content, made.content, few, self._check)
            made = replace(made, content=corrected.content)
        return Quantized(made, candidate.content, candidate.heads)

    def _statistics(self, content: bytes) -> Statistics:
        """Those of a float model, kept for the last one."""
        if self._measured is None or self._measured[0] != content:
            self._check()
            self._measured = (content, self._measure_of(content))
        return self._measured[1]

    def _measure_new(self, content: bytes, known: Ranges) -> Ranges:
        """The ranges already known, and the base's for tensors that are new."""
        return with_ranges_of(self._base(self._statistics(content)), known, known.minima)

    def _inputs(self) -> Iterable[Array]:
        for tensor in self._inputs_of():
            self._check()
            yield tensor

    def _check(self) -> None:
        if self._clock() >= self._ends:
            raise _TimeOver

    def _stop_if_met(self) -> None:
        if self._goal is not None and self.best.score.value >= self._goal:
            raise _GoalMet
