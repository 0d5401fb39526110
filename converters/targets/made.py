"""What a target gets, and what it gives: further variants for the bundle, each proven."""

from __future__ import annotations

from dataclasses import dataclass

from converters.calibrate.ranges import Statistics
from converters.calibrate.samples import Samples
from converters.report.target_figures import TargetFigures
from converters.variant import Bench, Made
from edge_sdk.bundle import Variant
from edge_sdk.tensors import Array


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
