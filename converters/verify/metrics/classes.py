"""Top-1 and top-5: how often the right class is the best one, or among the best five."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.verify.metrics.base import Kind, Mean, Measure, Scores, real_output, size_of
from converters.verify.sides import Side
from converters.verify.truth import Answer, read_arrays, read_classes, whole_numbers
from edge_sdk.contract import Contract
from edge_sdk.errors import DataError
from edge_sdk.tasks.scores import descending
from edge_sdk.tensors import TensorSpec

_BEST = 5


class TopK(Measure[int, tuple[bool, bool]]):
    """The right answer is the index of a class; of equal scores the lower index is the better one, as on the device."""

    kinds = (
        Kind("top-1", "%", True, "Share of samples whose best class is the right one."),
        Kind("top-5", "%", True, "Share of samples whose right class is among the best five."),
    )
    tasks = ("classify", "keyword", "raw")
    fits = "one score a class, (1, classes)"

    def read(
        self, path: Path, options: dict[str, str], contract: Contract, labels: tuple[str, ...]
    ) -> list[Answer[int]]:
        """Of class folders, a CSV of file,label, or .npz with ``inputs`` and ``truth``."""
        if path.suffix.lower() != ".npz":
            return read_classes(path, contract, labels)
        samples, truth = read_arrays(path, options, contract)
        indices = whole_numbers(path, truth, len(samples))
        return [Answer(read, index) for read, index in zip(samples, indices, strict=True)]

    def check(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], answers: Sequence[Answer[int]]
    ) -> None:
        """One score a class, and no class beyond them."""
        spec = outputs[self.output(outputs)]
        if len(spec.shape) < 2 or size_of(spec) != spec.shape[-1] or size_of(spec) < 2:
            raise self.refuse(spec)
        classes = size_of(spec)
        if odd := sorted({a.right for a in answers if not 0 <= a.right < classes}):
            shown = ", ".join(map(str, odd[:10]))
            raise DataError(f"ground truth has class {shown}; output {spec.name!r} has classes 0 to {classes - 1}")

    def see(self, side: Side, value: Any, right: int) -> tuple[bool, bool]:
        """Whether the right class is the best, and whether it is among the best five."""
        best = descending(real_output(side, self.output(side.outputs)).reshape(-1), _BEST).tolist()
        return best[0] == right, right in best

    def gather(self, seen: Sequence[tuple[bool, bool]], outputs: Sequence[TensorSpec]) -> tuple[Scores, ...]:
        """Top-1, and top-5 where there are more than five classes."""
        hits = np.array(seen, bool).reshape(-1, 2)
        top_1, top_5 = (Mean(kind, hits[:, column]) for column, kind in enumerate(self.kinds))
        return (top_1, top_5) if size_of(outputs[self.output(outputs)]) > _BEST else (top_1,)
