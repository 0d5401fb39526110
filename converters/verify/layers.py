"""Parity layer by layer: every activation that float and int8 model both have, compared on a few samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.calibrate.ranges import encoded
from converters.calibrate.samples import RawSample
from converters.interpreter import open_interpreter
from converters.report.figures import Histogram, Layer
from edge_sdk.contract import Contract, Encoder
from edge_sdk.tensors import Array, TensorSpec
from edge_sdk.tflite import Tensor, describe

SAMPLES = 8
_WORST, _BINS = 3, 40


def sqnr_db(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise), both sums of squares; None where that is no number: no difference, or no signal."""
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None


@dataclass
class _Pair:
    """One activation: in the float and in the int8 model, what produces it, and what was seen of it."""

    before: Tensor
    after: Tensor
    spec: TensorSpec
    operator: str
    signal: float = 0.0
    noise: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    kept: list[tuple[Array, Array]] = field(default_factory=list)

    def see(self, real: Array, stored: Array) -> None:
        self.signal += float(np.vdot(real, real))
        gap = self.spec.dequantize(stored)
        np.subtract(real, gap, out=gap)
        self.noise += float(np.vdot(gap, gap))
        self.low, self.high = min(self.low, float(real.min())), max(self.high, float(real.max()))

    def layer(self) -> Layer:
        return Layer(
            tensor=self.before.name,
            operator=self.operator,
            sqnr_db=sqnr_db(self.signal, self.noise),
            float_min=self.low,
            float_max=self.high,
            scale=self.spec.scale,
            zero_point=self.spec.zero_point,
        )


def compare_layers(
    float_content: bytes, int8_content: bytes, contract: Contract, samples: Iterable[RawSample]
) -> tuple[tuple[Layer, ...], tuple[Histogram, ...]]:
    """Run both models on the samples and compare their activations of the same name.

    Args:
        float_content, int8_content: the models.
        contract: what is true of their input.
        samples: few: every activation of both is read on each.

    Returns:
        The layers in the order of execution, and histograms of the worst.

    Raises:
        DataError: if a sample does not fit the contract.
    """
    pairs = _pairs(float_content, int8_content)
    runs = _Runs(float_content, int8_content, contract, samples)
    for sides in runs.each():
        for pair in pairs:
            pair.see(*_values(sides, pair))
    worst = sorted((p for p in pairs if sqnr_db(p.signal, p.noise) is not None), key=lambda p: p.signal / p.noise)[
        :_WORST
    ]
    edges = {id(pair): np.linspace(pair.low, pair.high, _BINS + 1) for pair in worst}
    counts = {id(pair): np.zeros((2, _BINS), np.int64) for pair in worst}
    for sides in runs.each() if worst else ():
        for pair in worst:
            real, stored = _values(sides, pair)
            counts[id(pair)][0] += np.histogram(real, edges[id(pair)])[0]
            counts[id(pair)][1] += np.histogram(
                np.clip(pair.spec.dequantize(stored), pair.low, pair.high), edges[id(pair)]
            )[0]
    histograms = [
        Histogram(
            tensor=pair.before.name,
            edges=tuple(edges[id(pair)].tolist()),
            float_counts=tuple(counts[id(pair)][0].tolist()),
            int8_counts=tuple(counts[id(pair)][1].tolist()),
        )
        for pair in worst
    ]
    return tuple(pair.layer() for pair in pairs), tuple(histograms)


@dataclass(frozen=True)
class _Runs:
    """Both interpreters after each sample, as often as asked."""

    float_content: bytes
    int8_content: bytes
    contract: Contract
    samples: Iterable[RawSample]

    def each(self) -> Iterable[tuple[Any, Any]]:
        sides = []
        for content in (self.float_content, self.int8_content):
            interpreter = open_interpreter(content)
            details = interpreter.get_input_details()[0]
            scale, zero_point = details["quantization"]
            shape = tuple(int(n) for n in details["shape"])
            spec = TensorSpec(details["name"], shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))
            sides.append((interpreter, details["index"], Encoder(self.contract, spec)))
        for sample in self.samples:
            for interpreter, index, encoder in sides:
                for _, tensor in encoded([sample], encoder):
                    interpreter.set_tensor(index, tensor)
                interpreter.invoke()
            yield sides[0][0], sides[1][0]


def _values(sides: tuple[Any, Any], pair: _Pair) -> tuple[Array, Array]:
    return sides[0].get_tensor(pair.before.index), sides[1].get_tensor(pair.after.index)


def _pairs(float_content: bytes, int8_content: bytes) -> list[_Pair]:
    before, after = describe(float_content), describe(int8_content)
    quantized = {
        t.name: t
        for t in after.tensors
        if t.dtype in ("int8", "uint8", "int16") and len(t.scales) == 1 and not t.constant
    }
    pairs = []
    for operator in before.operators:
        for index in operator.outputs:
            tensor = before.tensors[index]
            match = quantized.get(tensor.name)
            if match is None or not tensor.floating or tensor.shape != match.shape:
                continue
            spec = TensorSpec(match.name, match.shape, match.dtype, match.scales[0], match.zero_points[0])
            pairs.append(_Pair(tensor, match, spec, f"{operator.name} (operator {operator.index})"))
    return pairs
