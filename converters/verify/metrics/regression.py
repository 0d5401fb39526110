"""Mean squared and mean absolute error of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.verify.metrics.base import Floats, Kind, Mean, Measure, Scores, real_output, size_of
from converters.verify.sides import Side
from converters.verify.truth import Answer, read_arrays
from edge_sdk.contract import Contract
from edge_sdk.errors import DataError
from edge_sdk.tensors import TensorSpec


class Regression(Measure[Floats, tuple[float, float]]):
    """The right answer is numbers in the shape of the output."""

    kinds = (
        Kind("mse", "", False, "Mean of the squared differences from the right numbers."),
        Kind("mae", "", False, "Mean of the absolute differences from the right numbers."),
    )
    tasks = ("raw",)
    fits = "as many numbers as the ground truth has for one sample"

    def read(
        self, path: Path, options: dict[str, str], contract: Contract, labels: tuple[str, ...]
    ) -> list[Answer[Floats]]:
        """Of .npz with ``inputs`` and ``truth``."""
        samples, truth = read_arrays(path, options, contract)
        return [Answer(read, row.astype(np.float64)) for read, row in zip(samples, truth, strict=True)]

    def check(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], answers: Sequence[Answer[Floats]]
    ) -> None:
        """As many numbers."""
        spec = outputs[self.output(outputs)]
        wanted = answers[0].right
        if wanted.size != size_of(spec):
            raise DataError(
                f"the ground truth has {wanted.size} numbers a sample, shape {wanted.shape}; "
                f"output {spec.name!r} has {size_of(spec)}, shape {spec.shape}"
            )

    def see(self, side: Side, value: Any, right: Floats) -> tuple[float, float]:
        """Mean squared and mean absolute difference of one sample."""
        gap = real_output(side, self.output(side.outputs)).reshape(-1).astype(np.float64) - right.reshape(-1)
        return float(np.square(gap).mean()), float(np.abs(gap).mean())

    def gather(self, seen: Sequence[tuple[float, float]], outputs: Sequence[TensorSpec]) -> tuple[Scores, ...]:
        """Both."""
        errors = np.array(seen, np.float64)
        return tuple(Mean(kind, errors[:, column]) for column, kind in enumerate(self.kinds))
