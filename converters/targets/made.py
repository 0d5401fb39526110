"""What a target gets, and what it gives: further variants for the bundle, each proven."""

from __future__ import annotations

from dataclasses import dataclass

from converters.calibrate.ranges import Statistics
from converters.calibrate.samples import Samples
from converters.config import Config
from converters.quantize.quantize import QuantizedModel
from converters.report.target_figures import TargetFigures
from converters.variant import Bench, Made
from converters.verify.evaluate import Truth
from converters.verify.sides import Side
from edge_sdk.bundle import Variant
from edge_sdk.bundle.manifest import Head
from edge_sdk.tensors import Array


@dataclass(frozen=True)
class IntegerModel:
    """What a target that starts from the integer .tflite needs; of a model that came full-integer there is no more.

    Attributes:
        told: what the conversion was told.
        model: the first .tflite variant.
        side: it, ready to run.
        heads: outputs that the device puts together.
        golden: raw inputs of the golden vectors.
        boards: of ``--board``.
        bench: the float model, and what to compare with it on; None where the model came full-integer.
        truth: ground truth, or None.
    """

    told: Config
    model: QuantizedModel
    side: Side
    heads: tuple[Head, ...]
    golden: tuple[Array, ...]
    boards: tuple[str, ...]
    bench: Bench | None = None
    truth: Truth | None = None


@dataclass(frozen=True)
class Material:
    """What a conversion has once its .tflite variants are made.

    Attributes:
        bench: the float model, what it is told, and the samples that variants are compared on.
        statistics: of the float model's tensors over the calibration samples.
        samples: the calibration samples.
        int8: the first .tflite variant, repaired where it had to be.
        golden: raw inputs of the golden vectors.
        boards: of ``--board``.
    """

    bench: Bench
    statistics: Statistics
    samples: Samples
    int8: Made
    golden: tuple[Array, ...]
    boards: tuple[str, ...]

    @property
    def integer(self) -> IntegerModel:
        """What of it concerns the int8 model."""
        made, bench = self.int8, self.bench
        return IntegerModel(
            bench.told, made.model, made.side, made.heads, self.golden, self.boards, bench=bench, truth=bench.truth
        )


@dataclass(frozen=True)
class TargetVariant:
    """A variant for the bundle.

    Attributes:
        variant: as the manifest has it.
        entries: the bundle's entries that it names, by their names.
        figures: what it is worth.
    """

    variant: Variant
    entries: dict[str, bytes]
    figures: TargetFigures


@dataclass(frozen=True)
class Targets:
    """All that was made for the boards, and what stood in the way of more, one sentence each."""

    variants: tuple[TargetVariant, ...] = ()
    warnings: tuple[str, ...] = ()
