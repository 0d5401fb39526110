"""Which quantization every activation has: tensors that a kernel wants of one scale share the range of all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from converters.calibrate.ranges import Ranges
from converters.graph import is_constant, main_graph
from converters.quantize.kernels import KERNELS
from converters.quantize.quantization import Quantization
from converters.quantize.steps import Step, is_float, tensor_name
from edge_sdk.errors import ModelError


@dataclass
class _Class:
    """Tensors of one quantization."""

    dtype: str
    low: float
    high: float
    fixed: Quantization | None = None
    members: list[int] = field(default_factory=list)

    def quantization(self) -> Quantization:
        return self.fixed or Quantization.of_range(self.low, self.high, self.dtype)


def choose_quantizations(
    model: Any, steps: list[Step], ranges: Ranges, input_dtype: str
) -> dict[int, Quantization | None]:
    """The quantization of every float activation, by its place; None where it stays float.

    Args:
        model: the float graph.
        steps: of the quantized graph, in the order of execution.
        ranges: of the activations.
        input_dtype: of the model's inputs.

    Raises:
        ModelError: if a tensor has no range.
    """
    return _Chooser(model, steps, ranges).run(input_dtype)


class _Chooser:
    def __init__(self, model: Any, steps: list[Step], ranges: Ranges) -> None:
        self._model, self._steps, self._ranges = model, steps, ranges
        self._classes: dict[int, _Class | None] = {}
        self._readers: dict[int, list[Step]] = defaultdict(list)
        for step in steps:
            for index in set(step.inputs):
                self._readers[index].append(step)
        self._ends = {int(i) for i in (*main_graph(model).inputs, *main_graph(model).outputs)}

    def run(self, input_dtype: str) -> dict[int, Quantization | None]:
        for index in main_graph(self._model).inputs:
            self._add(int(index), input_dtype)
        for step in self._steps:
            outputs = [index for index in step.outputs if is_float(self._model, index)]
            for index in outputs:
                self._add(index, step.scheme)
            kernel = KERNELS.get(step.name) if step.root is None and step.scheme != "float" else None
            if outputs and kernel is not None:
                if kernel.fixed:
                    self._class(outputs[0]).fixed = kernel.fixed[step.scheme]
                elif kernel.scales != "own":
                    self._tie(step, outputs, self._always if kernel.scales == "tied" else self._without_harm)
        return {index: None if found is None else found.quantization() for index, found in self._classes.items()}

    def _add(self, index: int, dtype: str) -> None:
        name = tensor_name(self._model, index)
        if dtype == "float":
            self._classes[index] = None
            return
        if name not in self._ranges.minima:
            raise ModelError(f"tensor {name!r} has no range; measure the ranges on this same model")
        self._classes[index] = _Class(dtype, self._ranges.minima[name], self._ranges.maxima[name], None, [index])

    def _class(self, index: int) -> _Class:
        found = self._classes[index]
        assert found is not None  # noqa: S101 - asked of quantized tensors only
        return found

    def _tie(self, step: Step, outputs: list[int], may: Callable[[Step, _Class, _Class], bool]) -> None:
        for index in outputs[1:]:
            self._join(self._class(outputs[0]), self._class(index))
        sources = [i for i in dict.fromkeys(step.inputs) if self._is_activation(i)]
        fixed = {found.fixed if (found := self._classes[i]) else None for i in sources}
        if len(fixed) == 1 and self._is_pure(step):
            self._class(outputs[0]).fixed = next(iter(fixed))
        for index in sources:
            source, target = self._classes[index], self._class(outputs[0])
            if (
                source is not None
                and source is not target
                and source.dtype == step.scheme
                and may(step, source, target)
            ):
                self._join(target, source)

    def _is_activation(self, index: int) -> bool:
        return is_float(self._model, index) and not is_constant(self._model, main_graph(self._model).tensors[index])

    def _is_pure(self, step: Step) -> bool:
        """Whether its output holds nothing but elements of its activations."""
        floats = [i for i in step.inputs if is_float(self._model, i)]
        return all(self._is_activation(i) for i in floats) and all(
            found is not None and found.dtype == step.scheme for i in floats for found in [self._classes[i]]
        )

    @staticmethod
    def _always(step: Step, source: _Class, target: _Class) -> bool:
        return True

    def _without_harm(self, step: Step, source: _Class, target: _Class) -> bool:
        """Whether a wider range of ``source`` is seen by nobody but ``step``; otherwise it is requantized for ``step``."""
        if source.fixed is not None:
            return source.fixed == target.fixed
        return target.fixed is None and all(self._is_inner(member, step, source) for member in source.members)

    def _is_inner(self, member: int, step: Step, source: _Class) -> bool:
        return member not in self._ends and all(
            reader is step or (reader.outputs[0] in source.members) for reader in self._readers[member]
        )

    def _join(self, target: _Class, source: _Class) -> None:
        if source is target:
            return
        target.low, target.high = min(target.low, source.low), max(target.high, source.high)
        target.fixed = target.fixed or source.fixed
        target.members += source.members
        for member in source.members:
            self._classes[member] = target
