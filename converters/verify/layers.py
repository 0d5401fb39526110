"""Parity layer by layer: every activation that float and int8 model both have, compared on a few samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.calibrate.ranges import encoded
from converters.calibrate.samples import RawSample
from converters.interpreter import open_interpreter
from converters.report.accuracy import Layer
from converters.report.figures import Histogram
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
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
    measured = [pair for pair in pairs if sqnr_db(pair.signal, pair.noise) is not None]
    worst = [_Counts(pair) for pair in sorted(measured, key=lambda p: p.signal / p.noise)[:_WORST]]
    for sides in runs.each() if worst else ():
        for counts in worst:
            counts.see(*_values(sides, counts.pair))
    return tuple(pair.layer() for pair in pairs), tuple(counts.histogram() for counts in worst)


class _Counts:
    """How often values of one pair occur, between float's extremes."""

    def __init__(self, pair: _Pair) -> None:
        self.pair = pair
        self._edges = np.linspace(pair.low, pair.high, _BINS + 1)
        self._counts = np.zeros((2, _BINS), np.int64)

    def see(self, real: Array, stored: Array) -> None:
        near = np.clip(self.pair.spec.dequantize(stored), self.pair.low, self.pair.high)
        for row, values in enumerate((real, near)):
            self._counts[row] += np.histogram(values, self._edges)[0]

    def histogram(self) -> Histogram:
        before, after = (tuple(row.tolist()) for row in self._counts)
        return Histogram(
            tensor=self.pair.before.name, edges=tuple(self._edges.tolist()), float_counts=before, int8_counts=after
        )


class _Runs:
    """Both interpreters after each sample, as often as asked."""

    def __init__(
        self, float_content: bytes, int8_content: bytes, contract: Contract, samples: Iterable[RawSample]
    ) -> None:
        self._samples = samples
        self._sides = [_opened(content, contract) for content in (float_content, int8_content)]

    def each(self) -> Iterator[tuple[Any, Any]]:
        (before, *_), (after, *_) = self._sides
        for sample in self._samples:
            for interpreter, index, encoder in self._sides:
                for _, tensor in encoded([sample], encoder):
                    interpreter.set_tensor(index, tensor)
                interpreter.invoke()
            yield before, after


def _opened(content: bytes, contract: Contract) -> tuple[Any, int, Encoder]:
    """An interpreter, the index of its input, and what encodes samples for it."""
    interpreter = open_interpreter(content)
    details = interpreter.get_input_details()[0]
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    spec = TensorSpec(details["name"], shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))
    return interpreter, details["index"], Encoder(contract, spec)


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
