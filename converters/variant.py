"""One variant in the making: quantized, proven as far as its recipe goes, and compared with the float model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from converters.calibrate.samples import Samples
from converters.config import Config
from converters.progress import Progress, counted, quiet
from converters.quantize.quantize import QuantizedModel
from converters.quantize.recipe import Recipe
from converters.report.accuracy import Evaluation, Gate, Layer
from converters.report.figures import Histogram, Proof
from converters.verify.evaluate import PerSample, Truth, compare, measure
from converters.verify.gate import decide, decide_without_labels
from converters.verify.layers import SAMPLES, compare_layers
from converters.verify.parity import OutputFigures, compare_outputs
from converters.verify.prove import examine, prove
from converters.verify.remembering import Remembering
from converters.verify.sides import Side, task_for_comparison
from edge_sdk.bundle.manifest import Head
from edge_sdk.engines import Engine


@dataclass(frozen=True)
class Made:
    """A quantized model.

    Attributes:
        recipe: how it was made.
        model: what came out.
        float_content: the float model that it follows tensor by tensor; repair may have changed it.
        heads: outputs that the device puts together.
        side: it, ready to run.
    """

    recipe: Recipe
    model: QuantizedModel
    float_content: bytes
    side: Side
    heads: tuple[Head, ...] = ()


@dataclass(frozen=True)
class Assessed:
    """What a variant is worth.

    Attributes:
        made: the variant.
        proof: what was found in it.
        outputs: parity of its outputs.
        layers, histograms: parity of its layers.
        evaluation: against the right answers, or None without them.
        gate: what ``--max-drop`` came to, or None without it.
    """

    made: Made
    proof: Proof
    outputs: OutputFigures
    layers: tuple[Layer, ...]
    histograms: tuple[Histogram, ...]
    evaluation: Evaluation | None
    gate: Gate | None


@dataclass
class Bench:
    """What every variant is measured against: the float model, on the same samples.

    Attributes:
        told: what the conversion was told.
        float_content: the float model.
        before: the same, ready to run.
        compared: samples to compare outputs on.
        truth: ground truth, or None.
    """

    told: Config
    float_content: bytes
    before: Side
    compared: Samples
    truth: Truth | None
    _float_scores: PerSample | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._reference = Remembering(self.before)

    def side(self, content: bytes | Engine, heads: tuple[Head, ...] = ()) -> Side:
        """A model with the task as outputs are compared by."""
        told = self.told
        return Side(content, told.contract, task_for_comparison(told.task), told.labels, heads)

    def outputs(self, after: Side, progress: Callable[[], None] = lambda: None) -> OutputFigures:
        """Parity of the outputs of ``after``."""
        return compare_outputs(self._reference, after, self.told.task, self.compared, progress)

    def evaluate(
        self,
        content: bytes | Engine,
        heads: tuple[Head, ...] = (),
        progress: Progress = quiet,
    ) -> Evaluation | None:
        """Float and ``content`` against the right answers; float is measured once."""
        if self.truth is None:
            return None
        told, truth = self.told, self.truth
        sides = [] if self._float_scores else [truth.side(self.float_content, told.contract, told.task, told.labels)]
        sides.append(truth.side(content, told.contract, told.task, told.labels, heads))
        *first, scores = measure(truth, sides, progress)
        self._float_scores = first[0] if first else self._float_scores
        assert self._float_scores is not None  # noqa: S101 - measured now or before
        return Evaluation(data=truth.data, samples=len(truth), metrics=compare(self._float_scores, scores))

    def gate(self, evaluation: Evaluation | None, outputs: OutputFigures) -> Gate | None:
        """What ``--max-drop`` says."""
        limit = self.told.max_drop
        if limit is None:
            return None
        if evaluation is not None:
            return decide(limit, evaluation.metrics[0])
        return decide_without_labels(limit, outputs.as_metric())

    def assess(
        self,
        made: Made,
        float16_weights_folded: int,
        notes: tuple[str, ...],
        progress: Progress,
    ) -> Assessed:
        """Prove, compare and evaluate.

        Raises:
            NotIntegerError: if its recipe says integer throughout and it is not.
        """
        content = made.model.content
        proven = prove(content) if made.model.kind in ("tflite-int8", "tflite-int16x8") else examine(content)
        proof = Proof(
            full_integer=proven.full_integer,
            operators=proven.operators,
            inputs=proven.inputs,
            outputs=proven.outputs,
            float_left=proven.float_left,
            rewrites=made.model.rewrites,
            float16_weights_folded=float16_weights_folded,
            notes=(*notes, *made.model.notes),
        )
        layers, histograms = compare_layers(
            made.float_content, content, self.told.contract, self.compared.spread(SAMPLES)
        )
        outputs = self.outputs(made.side, counted(progress, "compare", len(self.compared)))
        evaluation = self.evaluate(content, made.heads, progress)
        return Assessed(made, proof, outputs, layers, histograms, evaluation, self.gate(evaluation, outputs))
