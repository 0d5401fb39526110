"""The variants for Jetson boards: ``onnx-qdq`` and ``onnx-float16``, searched, repaired, proven, and held to the gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from converters.calibrate.ranges import Statistics, encoded, measure
from converters.calibrate.samples import RawSample
from converters.progress import Progress
from converters.repair.candidate import Quantized
from converters.repair.judge import sqnr_judge
from converters.report.accuracy import Gate
from converters.report.repair_figures import Repair
from converters.report.target_figures import TargetFigures
from converters.targets.compare import compared
from converters.targets.made import Material, TargetVariant
from converters.verify.sides import Side
from edge_sdk.bundle import Variant
from edge_sdk.bundle.golden import difference, golden_outputs
from edge_sdk.encoder import Encoder
from edge_sdk.engines import Engine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import EngineError, ModelError, needs
from edge_sdk.onnx.runtime import refuse_telemetry
from edge_sdk.profiles import our_boards
from edge_sdk.tasks import TaskSettings
from edge_sdk.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

    from converters.targets.jetson.qdq import WeightsAs
    from converters.targets.jetson.search import Search

QDQ, FLOAT16 = "onnx-qdq", "onnx-float16"
_DEFAULT_OPSET = 17
_STORED_WEIGHTS = 10  # the first major version of TensorRT that takes int8 constants
_LEAST_SHARE = {QDQ: 2 / 127, FLOAT16: 1e-2}
"""What golden outputs may differ by at least, relative to the largest value. TensorRT rounds as ONNX does, but fuses layers before it
rounds and computes what lies between in float16: two steps of an int8 output; half precision over a whole network."""


def make(material: Material, kinds: frozenset[str], progress: Progress) -> tuple[TargetVariant, ...]:
    """The variants of these kinds.

    Raises:
        MissingPackageError: if onnx or onnxruntime is not installed.
        ModelError: if ONNX cannot express the model, or ONNX Runtime refuses it.
    """
    with needs("onnx", for_="making an ONNX variant", extra="onnx"):
        import onnx  # noqa: F401
    refuse_telemetry()
    with needs("onnxruntime", for_="proving an ONNX variant", extra="onnx"):
        import onnxruntime  # noqa: F401
    work = _Work(material, progress)
    makers = {QDQ: work.qdq, FLOAT16: work.float16}
    try:
        return tuple(maker() for kind, maker in makers.items() if kind in kinds)
    except EngineError as exc:
        raise ModelError(str(exc)) from exc


@dataclass(frozen=True)
class _Assessed:
    figures: TargetFigures
    side: Side
    task: TaskSettings | None  # its own, where a threshold was measured

    @property
    def refused(self) -> bool:
        """The gate failed, or more was lost than is allowed without the samples proving it."""
        gate: Gate | None = self.figures.gate
        return gate is not None and (gate.verdict == "failed" or (gate.verdict == "open" and gate.drop > gate.limit))


class _Work:
    def __init__(self, material: Material, progress: Progress) -> None:
        self._material, self._bench, self._progress = material, material.bench, progress
        spec = self._bench.before.inputs[0]
        self._encoder = Encoder(self._bench.told.contract, spec)
        self._opset, self._weights_as = _taken_by(material.boards)
        self._seen = {self._bench.float_content: material.statistics}

    def tensors(self) -> Iterator[Array]:
        """The calibration samples as the .tflite takes them; each is overwritten by the next."""
        return (array for _, array in encoded(self._material.samples, self._encoder))

    def inputs(self) -> Iterator[Array]:
        """The same as the ONNX model takes them."""
        return (channels_first(tensor) for tensor in self.tensors())

    def measure(self, content: bytes) -> Statistics:
        """Of a float model; a rewritten one is run over the samples once."""
        if content not in self._seen:
            self._seen[content] = measure(content, self._material.samples, self._encoder)
        return self._seen[content]

    def qdq(self) -> TargetVariant:
        from converters.targets.jetson.prove import prove_qdq

        search, repair = self._search(), None
        assessed = self._assess(QDQ, search.built.model)
        told = self._bench.told
        if told.repair and (search.db < self._goal_db or assessed.refused):
            repair = search.repair()
            assessed = self._assess(QDQ, search.built.model)
            if assessed.refused:
                search.drop_goal()
                repair = search.repair()
                assessed = self._assess(QDQ, search.built.model)
        proof = prove_qdq(search.built.model, frozenset(search.best.left_out))
        notes = (str(proof), *self._said(search, repair))
        figures = assessed.figures.model_copy(update={"notes": notes, "repair": repair})
        return self._variant(replace(assessed, figures=figures), search.built.model, proof.operators)

    def float16(self) -> TargetVariant:
        from collections import Counter

        from converters.targets.jetson.float16 import to_float16
        from converters.targets.jetson.graph import Graph

        graph = Graph.of(self._bench.float_content, self._material.statistics, self.inputs, self._opset)
        made = to_float16(graph.model, self._few())
        kept = [f"{name} ({why})" for name, why in made.kept.items()]
        whole = "Weights and activations in float16, inputs and outputs in float32."
        notes = (whole, *((f"Kept in float32: {'; '.join(kept)}.",) if kept else ()))
        assessed = self._assess(FLOAT16, made.model)
        figures = assessed.figures.model_copy(update={"notes": notes})
        operators = dict(Counter(node.op_type for node in made.model.graph.node))
        return self._variant(replace(assessed, figures=figures), made.model, operators)

    @cached_property
    def _goal_db(self) -> float:
        """What the int8 .tflite reaches on the samples that the search judges by."""
        from converters.targets.jetson.search import JUDGED

        made = self._material.int8
        judge = sqnr_judge(self._bench.float_content, self._spread(JUDGED))
        return judge(Quantized(made.model, made.float_content, made.heads)).sqnr_db

    def _search(self) -> Search:
        from converters.targets.jetson.build import Builder
        from converters.targets.jetson.search import JUDGED, Judge, Search

        start, told = self._bench.float_content, self._bench.told
        builder = Builder(self.measure, self.inputs, self._opset, self._weights_as)
        judge = Judge(builder.graph(start).model, map(channels_first, self._spread(JUDGED)))
        said = self._progress
        search = Search(
            start,
            builder,
            judge,
            self.tensors,
            self._goal_db,
            told.budget_s,
            lambda action: said(f"{QDQ}: {action}", 0, 1),
        )
        search.search_ranges()
        return search

    def _spread(self, most: int) -> Iterator[Array]:
        return (array for _, array in encoded(self._material.samples.spread(most), self._encoder))

    def _few(self) -> Iterator[Array]:
        return map(channels_first, self._spread(16))

    def _assess(self, kind: str, model: ModelProto) -> _Assessed:
        """Run it as a device does, and compare."""
        bench, content = self._bench, model.SerializeToString()
        engine = _opened(content)
        side = bench.side(engine)
        figures = TargetFigures(
            target="jetson", variant=kind, kind=kind, size_bytes=len(content), engine=engine.description
        )
        figures, task = compared(figures, bench, self._material.int8.side, side, engine, (), self._progress)
        return _Assessed(figures, side, task)

    def _said(self, search: Search, repair: Repair | None) -> Iterator[str]:
        best = search.best
        done = [f"ranges by {best.method}"]
        done += ["one-sided activations shifted"] if best.centred else []
        done += ["biases corrected"] if best.corrected else []
        done += ["channels equalised"] if best.content != self._bench.float_content else []
        yield (
            f"Ranges and repair: {', '.join(done)}; SQNR on calibration samples {search.first_db:.1f} dB by minmax, "
            f"{search.db:.1f} dB now, "
            f"{self._goal_db:.1f} dB of the int8 .tflite."
        )
        if repair is not None:
            yield f"Repair tried {len(repair.steps)} steps: {repair.ended}"
        if self._weights_as == "float32":
            yield "Weights are float32 behind QuantizeLinear, as TensorRT 8 takes no others; TensorRT stores them as int8."
        yield f"ONNX opset {self._opset}."

    def _variant(self, assessed: _Assessed, model: ModelProto, operators: dict[str, int]) -> TargetVariant:
        kind = assessed.figures.kind
        outputs, tolerance = _golden(kind, self._material.golden, model, assessed.side)
        variant = Variant(
            id=kind,
            kind=kind,
            file=f"variants/{kind}.onnx",
            inputs=assessed.side.inputs,
            outputs=assessed.side.stored,
            operators=operators,
            golden=f"golden/{kind}.npz",
            golden_tolerance=tolerance,
            task=assessed.task,
        )
        entries = {variant.file: model.SerializeToString(), f"golden/{kind}.npz": golden_outputs(outputs)}
        said = (
            f"Golden vectors: TensorRT may differ by {100 * tolerance:.2g} % of the largest value; it was not run here."
        )
        figures = assessed.figures.model_copy(update={"notes": (*assessed.figures.notes, said)})
        return TargetVariant(variant, entries, figures)


def channels_first(tensor: Array) -> Array:
    """An input of four axes as the ONNX model takes it."""
    return np.ascontiguousarray(tensor.transpose(0, 3, 1, 2)) if tensor.ndim == 4 else tensor


def _opened(content: bytes) -> Engine:
    engine = open_engine("onnx", content, {"providers": "cpu"}, isolation="none")
    engine.inputs = tuple(_with_layout(spec) for spec in engine.inputs)
    return engine


def _with_layout(spec: TensorSpec) -> TensorSpec:
    return replace(spec, layout="nchw") if len(spec.shape) == 4 else spec


def _golden(kind: str, inputs: Sequence[Array], model: ModelProto, side: Side) -> tuple[list[tuple[Array, ...]], float]:
    """The outputs for the raw inputs, and what another device's may differ by: twice what two ways to compute differ by here."""
    from converters.targets.jetson.run import Runner

    exact = Runner(model)
    outputs, gap = list[tuple[Array, ...]](), 0.0
    for number, data in enumerate(inputs):
        side.reset()  # as the first of a stream
        side.run(RawSample(data, "bgr", f"golden vector {number}"))
        stored = tuple(array.copy() for array in side.outputs_now)
        outputs.append(stored)
        others = exact.run(side.input_now).values()
        gap = max(gap, *(difference(s, o, a) for s, o, a in zip(side.stored, others, stored, strict=True)))
    return outputs, max(_LEAST_SHARE[kind], 2 * gap)


def _taken_by(names: Sequence[str]) -> tuple[int, WeightsAs]:
    """The opset, and how weights are stored, that all boards with TensorRT take."""
    with our_boards():
        import boards
    lowest = boards.lowest_tensorrt(names)
    if lowest is None:
        return _DEFAULT_OPSET, "float32"
    return lowest.opset, "int8" if lowest.version[0] >= _STORED_WEIGHTS else "float32"
