"""The search that repair is: the best candidate so far, changes that are measured against it, and a clock that ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf, isfinite

from converters.calibrate.statistics import Ranges, Statistics
from converters.repair.bias_correction import correct_biases
from converters.repair.candidate import Candidate, Inputs, Judge, Layers, Measure, Quantize, Quantized, Score
from converters.repair.fit_tables import fit_tables
from converters.repair.ranges import Method, most_lossy, outliers, with_ranges_of
from converters.repair.rewiring import CannotRepairError
from converters.report.accuracy import Layer
from converters.report.repair_figures import RepairStep
from edge_sdk.errors import ConfigError, EngineError, ModelError
from edge_sdk.tensors import Array

CORRECTION_SAMPLES, FITTING_SAMPLES = 8, 16
_LEAST_DB, _WORTH_DB = (
    0.1,
    1.0,
)  # gains of SQNR: below the first it is chance; what costs the device time must bring the second
_COSTLY = ("split head", "keep out", "16-bit activations")
_MOST_SLOWER = 2.0  # a step that makes an inference longer than that is no repair
_IN_VAIN = 2  # single layers in a row

_UNUSABLE = Score(-inf, -inf)


def known(score: Score) -> float | None:
    """The value, or None where the model did not run."""
    return score.value if isfinite(score.value) else None


class TimeOver(Exception):
    """The budget is used up."""


class GoalMet(Exception):
    """The best candidate is good enough."""


@dataclass(frozen=True)
class Tools:
    """What a search works with: how candidates are made, judged and timed, and when it ends. See ``repair``."""

    quantize: Quantize
    judge: Judge
    layers: Layers
    inputs: Inputs
    measure: Measure
    base: Method
    goal: float | None
    budget_s: float
    noise: float
    latency: Callable[[Quantized], float]
    clock: Callable[[], float]
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Best:
    """The best so far."""

    candidate: Candidate
    quantized: Quantized
    score: Score
    latency_ms: float


Changed = tuple[Candidate, str]
"""Another candidate, and what was found."""

Change = Callable[[Candidate], Changed]
"""Makes another candidate of one, and says what was found; raises CannotRepairError if it does not apply."""


class Search:
    """One search.

    Args:
        start: the candidate that it begins with.
        tools: what it works with.

    Attributes:
        first: the start's score; None if the start does not run.
        best: the best so far.
        steps: all that was tried.
    """

    def __init__(self, start: Candidate, tools: Tools) -> None:
        self._tools = tools
        self._ends = tools.clock() + tools.budget_s
        self._measured: tuple[bytes, Statistics] | None = None
        self._tried: set[tuple[str, str, bytes]] = set()
        self._compared: tuple[Quantized, tuple[Layer, ...]] | None = None
        self.steps: list[RepairStep] = []
        quantized = self._build(start)
        try:
            self.first: Score | None = tools.judge(quantized)
            self.best = Best(start, quantized, self.first, tools.latency(quantized))
        except EngineError as exc:  # scales that a kernel refuses; equalisation may bring them together
            self.first = None
            self.best = Best(start, quantized, _UNUSABLE, 0.0)
            self.steps.append(RepairStep(action="run as quantized", note=f"failed: {exc}"))
        self._first_ms = self.best.latency_ms

    def worst(self, most: int) -> Iterator[Layer]:
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
            self._compared = (self.best.quantized, self._tools.layers(self.best.quantized))
        return self._compared[1]

    def attempt(self, action: str, target: str, change: Change) -> None:
        """Measure one change of the best candidate, keep it if it is better, and note it; once for the same float model."""
        key = action, target, self.best.candidate.content
        if key in self._tried:
            return
        self._tried.add(key)
        self._check()
        self._tools.progress(action)
        started, best = self._tools.clock(), self.best
        step = RepairStep(action=action, target=target, before=known(best.score), before_db=best.score.sqnr_db)
        try:
            candidate, found = change(best.candidate)
            quantized = self._build(candidate)
            score = self._tools.judge(quantized)
        except CannotRepairError as exc:
            self.steps.append(
                step.model_copy(update={"seconds": self._tools.clock() - started, "note": f"not possible: {exc}"})
            )
            return
        except (ModelError, EngineError, ConfigError) as exc:
            self.steps.append(
                step.model_copy(update={"seconds": self._tools.clock() - started, "note": f"failed: {exc}"})
            )
            return
        took_ms = self._tools.latency(quantized)
        slower = took_ms / self._first_ms if self._first_ms > 0 else 1.0
        kept = self._better(score, best.score, _WORTH_DB if action in _COSTLY else _LEAST_DB) and slower <= _MOST_SLOWER
        if slower > _MOST_SLOWER:
            found = f"{found}; an inference would take {slower:.1f} times as long".removeprefix("; ")
        measured = {
            "after": score.value,
            "after_db": score.sqnr_db,
            "kept": kept,
            "seconds": self._tools.clock() - started,
            "latency_ratio": took_ms / best.latency_ms if best.latency_ms > 0 else None,
            "note": found,
        }
        self.steps.append(step.model_copy(update=measured))
        if kept:
            self.best = Best(candidate, quantized, score, took_ms)
            self.stop_if_met()

    def _better(self, after: Score, before: Score, least_db: float) -> bool:
        """Better in value beyond chance; or no worse in value, and better in SQNR, which may be the value itself."""
        if after.value == after.sqnr_db:
            return after.sqnr_db >= before.sqnr_db + max(least_db, self._tools.noise)
        if after.value > before.value + self._tools.noise:
            return True
        return after.value >= before.value and after.sqnr_db >= before.sqnr_db + least_db

    def _build(self, candidate: Candidate) -> Quantized:
        made = self._tools.quantize(candidate)
        if candidate.fitted:
            few = (tensor for tensor, _ in zip(self.inputs(), range(FITTING_SAMPLES), strict=False))
            made = replace(made, content=fit_tables(candidate.content, made.content, few, self._check).content)
        if candidate.corrected is not None:
            few = (tensor for tensor, _ in zip(self.inputs(), range(CORRECTION_SAMPLES), strict=False))
            corrected = correct_biases(candidate.content, made.content, few, self._check, way=candidate.corrected)
            made = replace(made, content=corrected.content)
        return Quantized(made, candidate.content, candidate.heads)

    def statistics(self, content: bytes) -> Statistics:
        """Those of a float model, kept for the last one."""
        if self._measured is None or self._measured[0] != content:
            self._check()
            self._measured = (content, self._tools.measure(content))
        return self._measured[1]

    def ranges_of_new(self, content: bytes, known: Ranges) -> Ranges:
        """The ranges already known, and the base's for tensors that are new."""
        return with_ranges_of(self._tools.base(self.statistics(content)), known, known.minima)

    def inputs(self) -> Iterable[Array]:
        """The calibration samples, for as long as there is time."""
        for tensor in self._tools.inputs():
            self._check()
            yield tensor

    def _check(self) -> None:
        if self._tools.clock() >= self._ends:
            raise TimeOver

    def stop_if_met(self) -> None:
        """Raise GoalMet if the best is good enough."""
        if self._tools.goal is not None and self.best.score.value >= self._tools.goal:
            raise GoalMet
