"""Symmetric QDQ for TensorRT, beside asymmetric: how often each agrees with the float model, on pictures that it was not calibrated on.

ONNX Runtime's own quantizer (static, QDQ, per channel, true minimum and maximum) is the peer; ours with zero points shows what symmetry
costs; then ours as TensorRT takes it: plain, after the range search, after repair. All are computed as written, by ``ExactEngine``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchmarks.qdq_models import NotHereError, Subject, subjects
from benchmarks.rows import Row
from converters.calibrate.ranges import Statistics, encoded, measure
from converters.report.numbers import count
from converters.targets.jetson.build import Builder
from converters.targets.jetson.graph import Graph
from converters.targets.jetson.make import channels_first
from converters.targets.jetson.prove import prove_qdq
from converters.targets.jetson.qdq import Scale, insert_qdq
from converters.targets.jetson.run import ExactEngine
from converters.targets.jetson.search import JUDGED, Judge, Search
from converters.verify.layers import sqnr_db
from converters.verify.parity import judge_for
from converters.verify.sides import Side, task_for_comparison
from edge_sdk.encoder import Encoder
from edge_sdk.tensors import Array

_CALIBRATED, _COMPARED, _QUICK = 100, 400, 20
_MOST_LOST = 1.0  # points of agreement, symmetric after repair against asymmetric
_BUDGET_S = 300.0


def run(quick: bool) -> list[Row]:
    """Every model that is here."""
    return [row for subject in subjects()[: 1 if quick else None] for row in _rows(subject, quick)]


@dataclass(frozen=True)
class Worth:
    """Agreement with float in percent, and the SQNR of the weakest output in dB."""

    agreement: float
    db: float

    def __str__(self) -> str:
        return f"{self.agreement:.1f} %, {self.db:.1f} dB"


@dataclass(frozen=True)
class Measured:
    """One model: asymmetric by ONNX Runtime and by us; symmetric plain, after the search (by which method), after repair (without how many
    layers)."""

    peer: Worth
    asymmetric: Worth
    plain: Worth
    searched: Worth
    method: str
    repaired: Worth
    left_out: int


def measured(subject: Subject, *, quick: bool) -> Measured:
    """Quantize a model in every way, and prove the last.

    Raises:
        NotHereError: if what makes the model is not installed.
    """
    content = subject.content()
    bench = _Bench(subject, content, quick)
    graph = bench.builder.graph(content)
    peer = bench.worth(bench.onnxruntime(graph.model))
    asymmetric = bench.worth(insert_qdq(graph.model, graph.layers, _with_zero_points(graph)))
    search = bench.search()
    plain = bench.worth(search.built.model)
    search.search_ranges()
    searched, method = bench.worth(search.built.model), search.best.method
    search.repair()
    prove_qdq(search.built.model, frozenset(search.best.left_out))
    repaired = bench.worth(search.built.model)
    return Measured(peer, asymmetric, plain, searched, method, repaired, len(search.best.left_out))


def _rows(subject: Subject, quick: bool) -> Iterator[Row]:
    try:
        found = measured(subject, quick=quick)
    except NotHereError as exc:
        yield Row(subject.name, f"not measured: {exc}")
        return
    lost = max(found.asymmetric.agreement, found.peer.agreement) - found.repaired.agreement
    yield Row(f"{subject.name}: asymmetric by onnxruntime", str(found.peer))
    yield Row("  asymmetric, ours", str(found.asymmetric))
    yield Row("  symmetric, true minimum and maximum", str(found.plain))
    yield Row("  symmetric, ranges searched", f"{found.searched}, by {found.method}")
    yield Row(
        f"  symmetric, repaired, {count(found.left_out, 'layer')} in floating point",
        str(found.repaired),
        f"at most {_MOST_LOST:g} point below asymmetric",
        met=lost <= _MOST_LOST,
    )


class _Bench:
    def __init__(self, subject: Subject, content: bytes, quick: bool) -> None:
        self._subject, self._content = subject, content
        self._calibration = subject.samples(_QUICK if quick else _CALIBRATED, 0)
        self._compared = subject.samples(_QUICK if quick else _COMPARED, 1)
        self._float = Side(content, subject.contract, task_for_comparison(subject.task), ())
        self._encoder = Encoder(subject.contract, self._float.inputs[0])
        self._statistics: dict[bytes, Statistics] = {}
        self.builder = Builder(self._measure, self._inputs, 17, "float32")

    def search(self) -> Search:
        """Not yet begun; it goes on until nothing helps."""
        judge = Judge(self.builder.graph(self._content).model, list(self._inputs())[:JUDGED])
        return Search(self._content, self.builder, judge, self._tensors, None, _BUDGET_S, lambda action: None)

    def worth(self, model: ModelProto) -> Worth:
        """Of a model, on the pictures to compare on."""
        with ExactEngine(model) as engine:
            after = Side(engine, self._subject.contract, task_for_comparison(self._subject.task), ())
            judge = judge_for(self._subject.task)
            sums = np.zeros((len(after.outputs), 2))
            for sample in self._compared:
                judge.see(self._float.run(sample), after.run(sample))
                sums += [_powers(*pair) for pair in zip(self._float.real_outputs(), after.real_outputs(), strict=True)]
        metric = judge.as_metric()
        agreement = np.nan if metric is None else metric.int8_value * (100 if metric.unit != "%" else 1)
        return Worth(float(agreement), min(found for row in sums if (found := sqnr_db(*row)) is not None))

    def onnxruntime(self, model: ModelProto) -> ModelProto:
        """By ONNX Runtime's own quantizer."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "float.onnx", Path(folder) / "qdq.onnx"
            onnx.save(model, source)
            reader = _Reader(model.graph.input[0].name, self._inputs())
            types = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
            quantize_static(source, target, reader, quant_format=QuantFormat.QDQ, per_channel=True, **types)
            return onnx.load(target)

    def _measure(self, content: bytes) -> Statistics:
        if content not in self._statistics:
            self._statistics[content] = measure(content, self._calibration, self._encoder)
        return self._statistics[content]

    def _tensors(self) -> Iterator[Array]:
        return (tensor for _, tensor in encoded(self._calibration, self._encoder))

    def _inputs(self) -> Iterator[Array]:
        return (channels_first(tensor).copy() for tensor in self._tensors())


def _powers(real: Array, made: Array) -> tuple[float, float]:
    """Of an output, and of what it is off."""
    return float(np.square(real, dtype=np.float64).sum()), float(np.square(real - made, dtype=np.float64).sum())


class _Reader(CalibrationDataReader):
    def __init__(self, name: str, inputs: Iterator[Array]) -> None:
        self._name, self._inputs = name, inputs

    def get_next(self) -> dict[str, Array] | None:
        """One sample, or None at their end."""
        tensor = next(self._inputs, None)
        return None if tensor is None else {self._name: tensor}


def _with_zero_points(graph: Graph) -> dict[str, Scale]:
    """True minimum and maximum, 0 included, over all 256 steps: what TensorRT does not take."""
    scales = {}
    for name, known in graph.known.items():
        low, high = min(known.low, 0.0), max(known.high, 0.0)
        scale = max(high - low, 1e-9) / 255
        scales[name] = Scale(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))
    return scales
