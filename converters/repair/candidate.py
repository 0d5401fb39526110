"""What repair works on: a candidate for quantization, what became of it, and how good that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from converters.calibrate.statistics import Ranges, Statistics
from converters.quantize.quantize import QuantizedModel, quantize
from converters.quantize.recipe import Recipe
from converters.repair.int16 import with_int16
from converters.report.accuracy import Layer
from edge_sdk.bundle.manifest import Head
from edge_sdk.tensors import Array

Inputs = Callable[[], Iterable[Array]]
"""Gives the float input tensor of one calibration sample after another, as often as called; each may be overwritten by the next."""

Measure = Callable[[bytes], Statistics]
"""Looks at every activation of a float model over the calibration samples."""


@dataclass(frozen=True)
class Candidate:
    """A float model and all that decides how it is quantized.

    Attributes:
        content: the float model; its output is that of the model it came from, once the heads are put together.
        ranges: of its activations.
        heads: the model's outputs that the device puts together.
        int16: names of the tensors whose operators get activations of 16 bits.
        fitted: whether tables are fitted to what was measured.
        corrected: how biases are corrected after that, or None.
    """

    content: bytes
    ranges: Ranges
    heads: tuple[Head, ...] = ()
    int16: tuple[str, ...] = ()
    fitted: bool = False
    corrected: Literal["linear", "clipped"] | None = None


@dataclass(frozen=True)
class Quantized:
    """A quantized model, the float one that it must follow tensor by tensor, and its heads."""

    made: QuantizedModel
    float_content: bytes
    heads: tuple[Head, ...] = ()

    @property
    def content(self) -> bytes:
        """The quantized model's file."""
        return self.made.content


Quantize = Callable[[Candidate], QuantizedModel]
"""Quantizes a candidate, ``corrected`` aside; raises NotIntegerError, ModelError or ConfigError where that cannot be."""


def quantize_by(recipe: Recipe) -> Quantize:
    """Quantizes candidates by a recipe; a candidate's ``int16`` overrides the recipe."""
    return lambda candidate: quantize(candidate.content, candidate.ranges, with_int16(recipe, candidate.int16))


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
