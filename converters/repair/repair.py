"""The engine of repair: it tries what may help, the cheapest first, measures every step, and keeps what is better.

What changes the graph (equalisation, heads split or left to the device) goes first, then the ranges of the whole model, then what
measures the finished int8 model (bias correction), then single layers in the order of what they lose: ranges, 16 bits. Rounds are
repeated while they help, as one step may open the way for another. The result is never worse than the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from converters.graph import main_graph, read_graph, text
from converters.repair.bias_correction import Way
from converters.repair.candidate import Candidate, Inputs, Judge, Layers, Measure, Quantize, Quantized, Score
from converters.repair.equalize import By, equalize
from converters.repair.int16 import int16_tensors
from converters.repair.keep_out import keep_out
from converters.repair.latency import median_ms
from converters.repair.observe import channel_extremes
from converters.repair.ranges import METHODS, Method, differ, with_ranges_of
from converters.repair.rewiring import CannotRepairError
from converters.repair.saturation import saturated_ranges
from converters.repair.search import Changed, GoalMet, Search, TimeOver, Tools, known
from converters.repair.split_head import Plan, mixed_outputs, split_head
from converters.report.repair_figures import Repair

_PLANNED_ON = 32  # samples that tell how wide the ranges of an output's entries are


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
    progress: Callable[[str], None] = lambda action: None,
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
        progress: called with each action when it begins.

    Raises:
        NotIntegerError, ModelError: if the start itself cannot be quantized.
    """
    tools = Tools(quantize, judge, layers, inputs, measure, base, goal, budget_s, noise, latency, clock, progress)
    search = Search(start, tools)
    ended = _Actions(search, tools, methods, single_layers).run(
        rounds, allow_heads=allow_heads, allow_int16=allow_int16
    )
    figures = Repair(
        value=value,
        goal=goal,
        before=None if search.first is None else search.first.value,
        after=known(search.best.score),
        reached=goal is None or search.best.score.value >= goal,
        ended=ended,
        steps=tuple(search.steps),
    )
    return Repaired(search.best.candidate, search.best.quantized, search.best.score, figures)


class _Actions:
    """What repair tries, in its order."""

    def __init__(self, search: Search, tools: Tools, methods: Mapping[str, Method], most: int) -> None:
        self._search, self._tools, self._methods, self._most = search, tools, methods, most

    def run(self, rounds: int, *, allow_heads: bool, allow_int16: bool) -> str:
        """Try everything; returns why it ended, in a sentence."""
        try:
            self._search.stop_if_met()
            for _ in range(rounds):
                before = self._search.best
                self._equalize()
                self._saturate()
                if allow_heads:
                    self._split_heads()
                    self._keep_out()
                self._ranges_of_all()
                self._fit_tables()
                self._correct_biases()
                self._ranges_of_some()
                if allow_int16:
                    self._int16()
                if self._search.best is before:
                    break
        except GoalMet:
            return "The goal is met."
        except TimeOver:
            return f"The time budget of {self._tools.budget_s:g} s is used up."
        return "Nothing is left to try" + ("." if self._tools.goal is None else ", and the goal is not met.")

    def _equalize(self) -> None:
        ways: tuple[By, ...] = ("activations", "weights")
        for by in ways:
            self._search.attempt(f"equalise {by}", "", partial(self._equalized, by))

    def _equalized(self, by: By, candidate: Candidate) -> Changed:
        done = equalize(candidate.content, channel_extremes(candidate.content, self._search.inputs()), by)
        ranges = self._tools.base(self._search.statistics(done.content))
        found = f"{done.groups} sets of layers, factors up to {done.spread:.3g} apart; {done.skipped} sets cannot be"
        return replace(candidate, content=done.content, ranges=ranges), found

    def _saturate(self) -> None:
        self._search.attempt("ranges by saturation", "", self._saturated)

    def _saturated(self, candidate: Candidate) -> Changed:
        ranges, changed = saturated_ranges(candidate.content, candidate.ranges)
        if not changed:
            raise CannotRepairError("no range goes beyond what its readers tell apart")
        return replace(candidate, ranges=ranges), f"{len(changed)} ranges cut, such as that of {changed[0]!r}"

    def _split_heads(self) -> None:
        best = self._search.best.candidate
        taken = {part.output for head in best.heads for part in head.parts}
        for plan in mixed_outputs(best.content, islice(self._search.inputs(), _PLANNED_ON)):
            if plan.output not in taken:
                self._search.attempt("split head", plan.output, partial(self._split, plan))

    def _split(self, plan: Plan, candidate: Candidate) -> Changed:
        done = split_head(candidate.content, plan)
        ranges = self._search.ranges_of_new(done.content, candidate.ranges)
        found = f"{len(plan.groups)} parts along axis {plan.axis}, ranges {plan.ratio:.3g} times apart"
        return replace(candidate, content=done.content, ranges=ranges, heads=(*candidate.heads, done.head)), found

    def _keep_out(self) -> None:
        graph = main_graph(read_graph(self._search.best.candidate.content))
        for output in [text(graph.tensors[index].name) for index in graph.outputs]:
            self._search.attempt("keep out", output, partial(self._kept_out, output))

    def _kept_out(self, output: str, candidate: Candidate) -> Changed:
        done = keep_out(candidate.content, candidate.heads, output)
        ranges = self._search.ranges_of_new(done.content, candidate.ranges)
        found = f"left to the device: {', '.join(done.operators)}"
        return replace(candidate, content=done.content, ranges=ranges, heads=done.heads), found

    def _ranges_of_all(self) -> None:
        for name, method in self._methods.items():
            self._search.attempt(f"ranges by {name}", "", partial(self._with_all, method))

    def _with_all(self, method: Method, candidate: Candidate) -> Changed:
        ranges = method(self._search.statistics(candidate.content))
        if not saturated_ranges(candidate.content, candidate.ranges)[1]:  # what was cut stays cut
            ranges, _ = saturated_ranges(candidate.content, ranges)
        changed = sum(differ(candidate.ranges, ranges, tensor) for tensor in ranges.minima)
        if not changed:
            raise CannotRepairError("no range differs")
        return replace(candidate, ranges=ranges), f"{changed} ranges differ"

    def _fit_tables(self) -> None:
        if not self._search.best.candidate.fitted:
            self._search.attempt("fit tables", "", lambda candidate: (replace(candidate, fitted=True), ""))

    def _correct_biases(self) -> None:
        ways: tuple[Way, ...] = ("linear", "clipped")
        for way in ways:
            if self._search.best.candidate.corrected != way:
                self._search.attempt(f"correct biases, {way}", "", partial(self._corrected, way))

    def _corrected(self, way: Way, candidate: Candidate) -> Changed:
        return replace(candidate, corrected=way), ""

    def _ranges_of_some(self) -> None:
        for layer in self._search.worst(self._most):
            for name, method in self._methods.items():
                self._search.attempt(f"range by {name}", layer.tensor, partial(self._with_one, method, layer.tensor))

    def _with_one(self, method: Method, tensor: str, candidate: Candidate) -> Changed:
        ranges = method(self._search.statistics(candidate.content))
        if not differ(candidate.ranges, ranges, tensor):
            raise CannotRepairError("the range does not differ")
        old, new = ((r.minima[tensor], r.maxima[tensor]) for r in (candidate.ranges, ranges))
        found = f"{old[0]:.4g} to {old[1]:.4g} became {new[0]:.4g} to {new[1]:.4g}"
        return replace(candidate, ranges=with_ranges_of(candidate.ranges, ranges, [tensor])), found

    def _int16(self) -> None:
        for layer in self._search.worst(self._most):
            self._search.attempt("16-bit activations", layer.tensor, partial(self._widened, layer.tensor))

    def _widened(self, tensor: str, candidate: Candidate) -> Changed:
        wide = int16_tensors(candidate.content, tensor)
        if not wide or set(wide) <= set(candidate.int16):
            raise CannotRepairError("there is no 16-bit kernel for it, or it has 16 bits already")
        found = f"in 16 bits with what it goes by: {', '.join(wide)}"
        return replace(candidate, int16=tuple(dict.fromkeys((*candidate.int16, *wide)))), found
