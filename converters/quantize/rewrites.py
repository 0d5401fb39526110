"""Operators without a good integer kernel as others that have one, in the float graph; what they compute stays the same.

Division by a constant is multiplication by its reciprocal. Division by a tensor is multiplication by its reciprocal too, which becomes
a table; both factors are int16, for a reciprocal in 256 steps of equal size is coarse where the divisor is large. A squared
difference in int16 is a difference and a product, and a sum in int16 a mean times the count, because tflite-runtime's kernel for it
wants input and output of one scale. PRELU in int16 is max(x, 0) + alpha min(x, 0): its int16 kernel computes something else.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converters.calibrate.ranges import Ranges
from converters.graph import constant_of, main_graph, operator_name, schema, set_constant, shape_of
from converters.quantize.assembly import operator_code
from converters.quantize.quantization import Scheme
from converters.quantize.steps import is_float, tensor_name
from converters.quantize.tables import Regions


@dataclass(frozen=True)
class Planned:
    """An operator, what it computes in, and its place in the float model."""

    operator: Any
    scheme: Scheme
    number: int


class Rewriting:
    """Rewrites a float graph in place.

    Args:
        model: the graph.
        ranges: of its activations.
        schemes: of its operators, one each.

    Attributes:
        planned: the operators there are now; also the graph's.
        ranges: with those of new activations.
        rewrites: what was rewritten, in words.
    """

    def __init__(self, model: Any, ranges: Ranges, schemes: list[Scheme]) -> None:
        self._model = model
        self._graph = main_graph(model)
        self._regions, self._schemes = Regions(model), schemes
        self._minima, self._maxima = dict(ranges.minima), dict(ranges.maxima)
        self.rewrites: list[str] = []
        self.planned: list[Planned] = []
        for number, (operator, scheme) in enumerate(zip(self._graph.operators, schemes, strict=True)):
            before = Planned(operator, scheme, number)
            self.planned += self._rewritten(before) if scheme != "float" else [before]
        self._graph.operators = [planned.operator for planned in self.planned]
        self.ranges = replace(ranges, minima=self._minima, maxima=self._maxima)

    def _rewritten(self, before: Planned) -> Iterator[Planned] | list[Planned]:
        name = operator_name(self._model, before.operator)
        if not is_float(self._model, int(before.operator.outputs[0])):
            return [before]
        if name == "DIV":
            return self._division(before)
        if name == "SQUARED_DIFFERENCE" and before.scheme == "int16":
            return self._squared_difference(before)
        if name == "SUM" and before.scheme == "int16":
            return self._sum(before)
        if name == "PRELU" and before.scheme == "int16":
            return self._prelu(before)
        return [before]

    def _division(self, before: Planned) -> list[Planned]:
        over, under = (int(i) for i in before.operator.inputs)
        divisor = constant_of(self._model, self._graph.tensors[under])
        if divisor is not None and (divisor != 0).all():
            with np.errstate(over="ignore"):
                factor = self._constant(
                    f"{tensor_name(self._model, under)}/reciprocal", (1 / divisor).astype(np.float32)
                )
            return [self._like(before, "MUL", [over, factor], before.operator.outputs)]
        regions = self._regions.of(int(before.operator.outputs[0]))
        if any(all(self._schemes[number] != "float" for number in numbers) for _, numbers in regions):
            return [before]  # a function of one tensor: a table
        name = tensor_name(self._model, under)
        low, high = self._minima[name], self._maxima[name]
        if divisor is not None or low <= 0 <= high:
            return [before]  # it is refused: where the divisor comes near zero, no range holds the quotient
        inverse = self._activation(f"{name}/reciprocal", under, 1 / high, 1 / low)
        product = self._like(before, "MUL", [over, inverse], before.operator.outputs)
        root = next(
            (o for o in self._graph.operators if under in o.outputs and operator_name(self._model, o) == "SQRT"), None
        )
        if root is not None:
            self.rewrites.append(f"DIV (operator {before.number}) by a square root became a multiplication by RSQRT.")
            first = self._of_kind(before, "RSQRT", root.inputs, [inverse])
            first.operator.builtinOptionsType, first.operator.builtinOptions = 0, None
            return [first, product]
        one = self._constant(f"{name}/one", np.array(1, np.float32))
        self.rewrites.append(f"DIV (operator {before.number}) became a multiplication by the reciprocal, in int16.")
        first = self._like(before, "DIV", [one, under], [inverse])
        first.operator.builtinOptions = schema().DivOptionsT()
        return [
            replace(first, scheme="int16"),
            replace(self._like(before, "MUL", [over, inverse], before.operator.outputs), scheme="int16"),
        ]

    def _squared_difference(self, before: Planned) -> list[Planned]:
        output = int(before.operator.outputs[0])
        name = tensor_name(self._model, output)
        reach = float(np.sqrt(max(self._maxima[name], 0.0)))
        difference = self._activation(f"{name}/difference", output, -reach, reach)
        return [
            self._like(before, "SUB", before.operator.inputs, [difference]),
            self._like(before, "MUL", [difference, difference], [output]),
        ]

    def _sum(self, before: Planned) -> list[Planned]:
        entry, output = int(before.operator.inputs[0]), int(before.operator.outputs[0])
        count = np.prod(shape_of(self._graph.tensors[entry])) / np.prod(shape_of(self._graph.tensors[output]))
        name = tensor_name(self._model, output)
        mean = self._activation(f"{name}/mean", output, self._minima[name] / count, self._maxima[name] / count)
        number = self._constant(f"{name}/count", np.array(count, np.float32))
        return [
            self._of_kind(before, "MEAN", before.operator.inputs, [mean]),
            self._like(before, "MUL", [mean, number], [output]),
        ]

    def _prelu(self, before: Planned) -> list[Planned]:
        """max(x, 0) + alpha * min(x, 0)."""
        entry, slopes = (int(i) for i in before.operator.inputs)
        alpha = constant_of(self._model, self._graph.tensors[slopes])
        if alpha is None:
            return [before]
        name = tensor_name(self._model, int(before.operator.outputs[0]))
        source = tensor_name(self._model, entry)
        low, high = min(self._minima[source], 0.0), max(self._maxima[source], 0.0)
        above = self._activation(f"{name}/above", entry, 0.0, high)
        below = self._activation(f"{name}/below", entry, low, 0.0)
        bent = self._activation(
            f"{name}/bent", entry, low * max(float(alpha.max()), 0.0), low * min(float(alpha.min()), 0.0)
        )
        zero = self._constant(f"{name}/zero", np.array(0, np.float32))
        return [
            self._of_kind(before, "RELU", [entry], [above]),
            self._of_kind(before, "MINIMUM", [entry, zero], [below]),
            self._like(before, "MUL", [below, slopes], [bent]),
            self._like(before, "ADD", [above, bent], before.operator.outputs),
        ]

    def _like(self, before: Planned, name: str, inputs: Any, outputs: Any) -> Planned:
        """MUL, ADD, SUB or DIV in the place of ``before``; the one that makes its output has its activation."""
        made = self._of_kind(before, name, inputs, outputs)
        options = getattr(schema(), f"{name.title()}OptionsT")()
        if list(made.operator.outputs) == list(before.operator.outputs):
            options.fusedActivationFunction = getattr(before.operator.builtinOptions, "fusedActivationFunction", 0)
        made.operator.builtinOptionsType = getattr(schema().BuiltinOptions, f"{name.title()}Options")
        made.operator.builtinOptions = options
        return made

    def _of_kind(self, before: Planned, name: str, inputs: Any, outputs: Any) -> Planned:
        """Another operator with the same options."""
        operator = copy.copy(before.operator)
        operator.opcodeIndex = operator_code(self._model, name)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        return replace(before, operator=operator)

    def _activation(self, name: str, like: int, low: float, high: float) -> int:
        tensor = schema().TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, self._graph.tensors[like].shape, 0
        tensor.type = schema().TensorType.FLOAT32
        self._graph.tensors.append(tensor)
        self._minima[name], self._maxima[name] = low, high
        return len(self._graph.tensors) - 1

    def _constant(self, name: str, values: Any) -> int:
        index = self._activation(name, 0, 0.0, 0.0)
        set_constant(self._model, self._graph.tensors[index], values)
        return index
