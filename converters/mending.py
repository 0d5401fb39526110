"""Repair as the conversion calls it: when it is needed, what it goes by, and the variant that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from converters.calibrate.ranges import Statistics, encoded, measure
from converters.calibrate.samples import Samples
from converters.repair.candidate import Candidate, Judge, Quantized, Score, quantize_by
from converters.repair.judge import sqnr_judge
from converters.repair.ranges import LOW_DB, outliers
from converters.repair.repair import Repaired, repair
from converters.repair.split_head import mixed_outputs
from converters.report.accuracy import Layer, Metric
from converters.variant import Assessed, Bench, Made
from converters.verify.layers import SAMPLES, compare_layers
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import Array

INT16 = "tflite-int16x8"
_JUDGED = 32  # samples, where outputs are judged by SQNR


def wanted(assessed: Assessed, bench: Bench) -> str | None:
    """Why a variant should be repaired, or None."""
    if not assessed.made.recipe.integer:
        return None
    gate = assessed.gate
    if gate is not None and gate.verdict == "failed":
        return "the gate failed"
    if gate is not None and gate.verdict == "open" and gate.drop > gate.limit:
        return "more was lost than is allowed, though the samples do not prove it"
    if low := outliers(assessed.layers):
        return f"layer {low[0].tensor!r} is an outlier"
    made = assessed.made
    found = sqnr_judge(bench.float_content, _tensors(bench, SAMPLES))(
        Quantized(made.model, made.float_content, made.heads)
    )
    if found.sqnr_db < LOW_DB and (mixed := mixed_outputs(bench.float_content, _tensors(bench, SAMPLES))):
        return f"output {mixed[0].output!r} holds quantities of very different size, and the small ones are lost"
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
        self._by_sqnr: Judge = sqnr_judge(bench.float_content, _tensors(bench, _JUDGED))

    def run(self, assessed: Assessed, progress: Callable[[str], None]) -> tuple[Made, Repaired]:
        """The best that was found, the start itself if nothing helped, and the way there."""
        made, method = assessed.made, assessed.made.recipe.ranges
        metric = self._metric(assessed)
        thorough = assessed.gate is not None
        done = repair(
            Candidate(made.float_content, self._measure(made.float_content).ranges(method)),
            quantize=quantize_by(made.recipe),
            judge=self._by_sqnr if metric is None else self._by_metric,
            layers=self._layers,
            inputs=self._inputs,
            measure=self._measure,
            base=lambda statistics: statistics.ranges(method),
            value="SQNR of the outputs, dB" if metric is None else f"{metric.name}, {metric.unit}".rstrip(", "),
            goal=None if metric is None else self._goal(metric),
            noise=0.0 if metric is None else _noise(metric),
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

    def _measure(self, content: bytes) -> Statistics:
        """Of a float model; a rewritten one is run over the samples once."""
        if content not in self._seen:
            self._seen[content] = measure(content, self._samples, self._encoder)
        return self._seen[content]

    def _metric(self, assessed: Assessed) -> Metric | None:
        """What repair goes by: the metric that counts; or, for a gate without labels, agreement. None: the SQNR of the outputs."""
        if assessed.evaluation is not None:
            return assessed.evaluation.metrics[0]
        return assessed.outputs.as_metric() if assessed.gate is not None else None

    def _goal(self, metric: Metric) -> float | None:
        """Half of what may be lost; without a limit there is no goal, and repair goes on while it helps."""
        limit = self._bench.told.max_drop
        if limit is None or metric.float_value is None:
            return None
        if not metric.higher_is_better:
            return -metric.float_value * (1 + limit.share / 2)
        return metric.float_value - limit.share / 2 * (100 if metric.unit == "%" else 1)

    def _by_metric(self, quantized: Quantized) -> Score:
        evaluation = self._bench.evaluate(quantized.content, quantized.heads)
        if evaluation is not None:
            metric: Metric | None = evaluation.metrics[0]
        else:
            metric = self._bench.outputs(self._bench.side(quantized.content, quantized.heads)).as_metric()
        assert metric is not None  # noqa: S101 - the variant as first quantized had one
        value = metric.int8_value if metric.higher_is_better else -metric.int8_value
        return Score(value, self._by_sqnr(quantized).sqnr_db)

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


def _noise(metric: Metric) -> float:
    """Half a sample of a metric that is a share."""
    if not metric.higher_is_better or metric.samples is None:
        return 0.0
    return (50 if metric.unit == "%" else 0.5) / metric.samples


def _tensors(bench: Bench, most: int) -> Iterator[Array]:
    """Input tensors of the float model, of samples that nothing is calibrated on if there are any."""
    encoder = Encoder(bench.told.contract, bench.before.inputs[0])
    return (array for _, array in encoded(bench.compared.spread(most), encoder))
