"""Judging outputs without the right answers: how well the quantized model follows the float one, entry by entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from converters.repair.candidate import Judge, Quantized, Score
from edge_sdk.engines.isolation import open_engine
from edge_sdk.heads import Assembler
from edge_sdk.tensors import Array

_BEST_DB = 60.0  # beyond it nothing is gained
_MOST_ENTRIES = 512  # of an axis that is looked at entry by entry


def sqnr_judge(float_content: bytes, inputs: Iterable[Array]) -> Judge:
    """A judge that goes by the SQNR of the outputs, the worst of them.

    Of each output, the SQNR of the whole and, along each axis, the mean of its entries' are taken; the lowest counts. So scores that have
    collapsed beside boxes of 300 pixels are seen, which in the SQNR of the whole do not show.

    Args:
        float_content: the original float model, without heads.
        inputs: its input tensors on samples that are not calibrated on, a few dozen; what it makes of them is kept in memory.
    """
    tensors = [tensor.copy() for tensor in inputs]
    engine = open_engine("litert", float_content, isolation="none")
    reference = [_run(engine.run, engine.input_arrays[0], tensor) for tensor in tensors]

    def judge(quantized: Quantized) -> Score:
        candidate = open_engine("litert", quantized.content, isolation="none")
        assembler = Assembler(quantized.heads, candidate.outputs)
        spec = candidate.inputs[0]
        meters = [Meter(output.shape) for output in assembler.outputs]
        for tensor, wanted in zip(tensors, reference, strict=True):
            stored = _run(candidate.run, candidate.input_arrays[0], spec.quantize(tensor))
            for meter, output, made, real in zip(
                meters, assembler.outputs, assembler.assemble(stored), wanted, strict=True
            ):
                meter.see(real, output.dequantize(made))
        sqnr_db = min(meter.sqnr_db() for meter in meters)
        return Score(sqnr_db, sqnr_db)

    return judge


def _run(run: object, entry: Array, tensor: Array) -> Sequence[Array]:
    entry[...] = tensor
    outputs: Sequence[Array] = run()  # type: ignore[operator]
    return outputs


class Meter:
    """Signal and noise of one output so far: of the whole, and of each entry of each axis."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._axes = [axis for axis, size in enumerate(shape) if 1 < size <= _MOST_ENTRIES]
        self._whole = np.zeros((2, 1))
        self._entries = [np.zeros((2, shape[axis])) for axis in self._axes]

    def see(self, real: Array, made: Array) -> None:
        """One more sample: what the output should be, and what it is."""
        squares = np.square(real, dtype=np.float64), np.square(real - made, dtype=np.float64)
        for row, square in enumerate(squares):
            self._whole[row] += square.sum()
            for axis, sums in zip(self._axes, self._entries, strict=True):
                sums[row] += square.sum(axis=tuple(a for a in range(square.ndim) if a != axis))

    def sqnr_db(self) -> float:
        """The lowest view; 0 to 60 dB."""
        return min(_decibels(sums) for sums in (self._whole, *self._entries))


def _decibels(sums: Array) -> float:
    signal, noise = sums[:, sums[0] > 0]
    if not signal.size:
        return _BEST_DB
    ratio = np.maximum(signal, 1e-30) / np.maximum(noise, signal * 10 ** (-_BEST_DB / 10))
    return float(np.clip(10 * np.log10(ratio), 0.0, _BEST_DB).mean())
