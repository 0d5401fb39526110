"""What repair works on: a candidate for quantization, what became of it, and how good that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from converters.calibrate.ranges import Ranges
from converters.quantize.int8 import Int8Model
from converters.report.figures import Layer
from edge_sdk.bundle.manifest import Head
from edge_sdk.tensors import Array

Check = Callable[[], None]
"""Called often by whatever takes long; raises when the time is over."""

Inputs = Callable[[], Iterable[Array]]
"""Gives the float input tensor of one calibration sample after another, as often as called; each may be overwritten by the next."""

Method = Callable[[bytes], Ranges]
"""Measures the ranges of a float model in one way, such as minimum and maximum, on the calibration samples."""


@dataclass(frozen=True)
class Candidate:
    """A float model and all that decides how it is quantized.

    Attributes:
        content: the float model; its output is that of the model it came from, once the heads are put together.
        ranges: of its activations.
        heads: the model's outputs that the device puts together.
        int16: names of the tensors whose operators get activations of 16 bits.
        corrected: whether biases are corrected after quantization.
    """

    content: bytes
    ranges: Ranges
    heads: tuple[Head, ...] = ()
    int16: tuple[str, ...] = ()
    corrected: bool = False


@dataclass(frozen=True)
class Quantized:
    """A quantized model, the float one that it must follow tensor by tensor, and its heads."""

    content: bytes
    islands: tuple[str, ...]
    float_content: bytes
    heads: tuple[Head, ...] = ()


class Quantize(Protocol):
    """Quantizes a float model.

    Args:
        content, ranges: the model and the ranges of its activations.
        int16: names of the tensors whose operators get activations of 16 bits; empty unless the targets allow it.

    Raises:
        NotIntegerError, ModelError: if that cannot be.
    """

    def __call__(self, content: bytes, ranges: Ranges, int16: tuple[str, ...]) -> Int8Model:
        """Quantize."""


@dataclass(frozen=True)
class Score:
    """How good a quantized model is on samples that it was not calibrated on; higher is better.

    Attributes:
        value: what the gate goes by: a metric, an agreement or, without either, an SQNR in dB.
        sqnr_db: of the outputs; tells apart what the value cannot.
    """

    value: float
    sqnr_db: float = 0.0


Judge = Callable[[Quantized], Score]
Layers = Callable[[Quantized], tuple[Layer, ...]]
