"""Repair as the conversion calls it: when it is needed, what it goes by, and the variant that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from converters.calibrate.ranges import Statistics, encoded, measure
from converters.calibrate.samples import Samples
from converters.repair.candidate import Candidate, Judge, Quantized, Score, quantize_by
from converters.repair.judge import sqnr_judge
from converters.repair.ranges import outliers
from converters.repair.repair import Repaired, repair
from converters.report.figures import Layer, Metric, RepairStep
from converters.variant import Assessed, Bench, Made
from converters.verify.layers import SAMPLES, compare_layers
from edge_sdk.contract import Encoder
from edge_sdk.tensors import Array

INT16 = "tflite-int16x8"
_JUDGED = 32  # samples, where outputs are judged by SQNR


def wanted(assessed: Assessed) -> str | None:
    """Why a variant should be repaired, or None."""
    if not assessed.made.recipe.integer:
        return None
    if assessed.gate is not None and assessed.gate.verdict == "failed":
        return "the gate failed"
    if low := outliers(assessed.layers):
        return f"layer {low[0].tensor!r} is an outlier"
    return None


class Mending:
    """Repairs one variant.

    Args:
        bench: the float model, and what variants are measured on.
        samples: the calibration samples.
        statistics: what was learnt on them of the original float model.
        boards_take: kinds of variant that every board named takes; empty where none was named.
    """

    def __init__(self, bench: Bench, samples: Samples, statistics: Statistics, boards_take: frozenset[str]) -> None:
        self._bench, self._samples, self._boards_take = bench, samples, boards_take
        self._seen = {bench.float_content: statistics}
        self._encoder = Encoder(bench.told.contract, bench.before.inputs[0])

    def run(self, assessed: Assessed, progress: Callable[[RepairStep], None]) -> tuple[Made, Repaired]:
        """The best that was found, the start itself if nothing helped, and the way there."""
        made, method = assessed.made, assessed.made.recipe.ranges
        judge, value, goal = self._judge(assessed)
        thorough = assessed.gate is not None
        done = repair(
            Candidate(made.float_content, self._measure(made.float_content).ranges(method)),
            quantize=quantize_by(made.recipe),
            judge=judge,
            layers=self._layers,
            inputs=self._inputs,
            measure=self._measure,
            base=lambda statistics: statistics.ranges(method),
            value=value,
            goal=goal,
            noise=self._noise(value),
            budget_s=self._bench.told.budget_s,
            allow_int16=thorough and INT16 in self._boards_take,
            rounds=3 if thorough else 1,
            single_layers=6 if thorough else 2,
            progress=progress,
        )
        best = done.quantized
        if best.content == made.model.content:
            return made, done
        side = self._bench.side(best.content, best.heads)
        return Made(made.recipe, best.made, best.float_content, side, best.heads), done

    def _noise(self, value: str) -> float:
        """Half a sample of a metric in percent."""
        count = len(self._bench.truth or self._bench.compared)
        return 50 / count if value.endswith("%") else 0.0

    def _measure(self, content: bytes) -> Statistics:
        """Of a float model; a rewritten one is run over the samples once."""
        if content not in self._seen:
            self._seen[content] = measure(content, self._samples, self._encoder)
        return self._seen[content]

    def _judge(self, assessed: Assessed) -> tuple[Judge, str, float | None]:
        """The judge, what its value is, and the value that is good enough."""
        bench = self._bench
        if bench.truth is not None:
            metric = _first(assessed)
            return self._by_metric, f"{metric.name}, {metric.unit}".rstrip(", "), self._goal(metric)
        agreement = assessed.outputs.as_metric()
        if agreement is None:
            tensors = (array for _, array in encoded(bench.compared.spread(_JUDGED), self._encoder))
            return sqnr_judge(bench.float_content, tensors), "SQNR of the outputs, dB", None
        return self._by_agreement, f"{agreement.name}, {agreement.unit}".rstrip(", "), self._goal(agreement)

    def _goal(self, metric: Metric) -> float | None:
        """Half of what may be lost; without a limit there is no goal, and repair goes on while it helps."""
        limit = self._bench.told.max_drop
        if limit is None:
            return None
        if not metric.higher_is_better:
            return -metric.float_value * (1 + limit.share / 2)
        return metric.float_value - limit.share / 2 * (100 if metric.unit == "%" else 1)

    def _by_metric(self, quantized: Quantized) -> Score:
        evaluation = self._bench.evaluate(quantized.content, quantized.heads)
        assert evaluation is not None  # noqa: S101 - there is ground truth
        metric = evaluation.metrics[0]
        value = metric.int8_value if metric.higher_is_better else -metric.int8_value
        return Score(value, self._sqnr_db(quantized))

    def _by_agreement(self, quantized: Quantized) -> Score:
        outputs = self._bench.outputs(self._bench.side(quantized.content, quantized.heads))
        agreement = outputs.as_metric()
        assert agreement is not None  # noqa: S101 - asked before
        return Score(
            agreement.int8_value, min((o.sqnr_db for o in outputs.outputs if o.sqnr_db is not None), default=0.0)
        )

    def _sqnr_db(self, quantized: Quantized) -> float:
        outputs = self._bench.outputs(self._bench.side(quantized.content, quantized.heads))
        return min((o.sqnr_db for o in outputs.outputs if o.sqnr_db is not None), default=0.0)

    def _layers(self, quantized: Quantized) -> tuple[Layer, ...]:
        bench = self._bench
        return compare_layers(
            quantized.float_content, quantized.content, bench.told.contract, bench.compared.spread(SAMPLES)
        )[0]

    def _inputs(self) -> Iterable[Array]:
        def each() -> Iterator[Array]:
            for _, array in encoded(self._samples, self._encoder):
                yield array

        return each()


def _first(assessed: Assessed) -> Metric:
    assert assessed.evaluation is not None  # noqa: S101 - there is ground truth
    return assessed.evaluation.metrics[0]
