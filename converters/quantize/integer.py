"""The integer graph: every operator of the float graph on its integer kernel, with what the kernel demands around it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converters.calibrate.ranges import Ranges
from converters.graph import main_graph, operator_name, schema
from converters.quantize.assembly import Assembly
from converters.quantize.kernels import KERNELS, WEIGHTED, has_kernel
from converters.quantize.quantization import Quantization, Scheme
from converters.quantize.rewrites import Rewriting
from converters.quantize.scales import choose_quantizations
from converters.quantize.steps import Step, is_float, tensor_name
from converters.quantize.tables import add_table, put_tables
from converters.quantize.weights import fitted_scales, quantize_bias, quantize_weights, weight_scales
from edge_sdk.errors import ModelError, NotIntegerError


@dataclass(frozen=True)
class Rewritten:
    """What became of operators, a sentence each: ``rewrites`` of those that became others, ``notes`` of the rest."""

    rewrites: tuple[str, ...]
    notes: tuple[str, ...]


def make_integer(
    model: Any, ranges: Ranges, schemes: list[Scheme], *, input_dtype: str, per_channel: bool
) -> Rewritten:
    """Make a float graph integer, in place, except for the operators whose scheme is float.

    Args:
        model: the float graph.
        ranges: of its activations.
        schemes: of its operators, one each.
        input_dtype: of the inputs, int8 or int16.
        per_channel: whether weights have a scale each output channel.

    Raises:
        NotIntegerError: if an operator can be made neither a kernel nor a table; the message names it.
        ModelError: if a tensor has no range.
    """
    made_by = {
        int(i): scheme
        for operator, scheme in zip(main_graph(model).operators, schemes, strict=True)
        for i in operator.outputs
    }
    rewriting = Rewriting(model, ranges, schemes)
    steps = put_tables(
        model,
        [
            Step((planned.operator,), (planned.number,), (operator_name(model, planned.operator),), planned.scheme)
            for planned in rewriting.planned
        ],
    )
    notes: list[str] = []
    steps = [_with_kernel(model, step, notes) for step in steps]
    homes = choose_quantizations(model, steps, rewriting.ranges, input_dtype)
    done = _Emission(model, steps, homes, rewriting.ranges, per_channel).run(notes, made_by)
    return replace(done, rewrites=(*rewriting.rewrites, *done.rewrites))


def _with_kernel(model: Any, step: Step, notes: list[str]) -> Step:
    """The step, in the other integer type if only that has a kernel."""
    touched = [i for i in (*step.inputs, *step.outputs) if is_float(model, i)]
    if step.root is not None or step.scheme == "float" or not touched or has_kernel(step.name, step.scheme):
        return step
    other: Scheme = "int8" if step.scheme == "int16" else "int16"
    if has_kernel(step.name, other):
        notes.append(f"{step.label} runs on {other}: it has no {step.scheme} kernel.")
        return Step(step.operators, step.numbers, step.names, other)
    tensor = tensor_name(model, touched[-1])
    raise NotIntegerError(
        f"{step.label} cannot be made integer: there is no integer kernel for it, and it is no table of one input, so tensor {tensor!r} "
        "stays float. Choices: replace it in the model by operators that have one; end the model before it and compute it outside; "
        "or a recipe (--recipe) with allow_float and an override of scheme float for it, and then the model is not full-integer",
        operator=step.label,
        tensor=tensor,
    )


class _Emission:
    """One walk over the steps."""

    def __init__(
        self, model: Any, steps: list[Step], homes: dict[int, Quantization | None], ranges: Ranges, per_channel: bool
    ) -> None:
        self._model, self._steps, self._ranges = model, steps, ranges
        self._per_channel = per_channel
        self._float_outputs = {id(step): [i for i in step.outputs if is_float(model, i)] for step in steps}
        self._names = {index: tensor_name(model, index) for index in homes}
        self._float_model = copy.copy(model)  # tables are computed by the float operators
        self._float_model.subgraphs = [copy.copy(main_graph(model))]
        self._float_model.subgraphs[0].tensors = [copy.copy(tensor) for tensor in main_graph(model).tensors]
        self._to = Assembly(model, homes)

    def run(self, notes: list[str], made_by: dict[int, Scheme]) -> Rewritten:
        rewrites = []
        for step in self._steps:
            if step.root is not None:
                rewrites.append(self._table(step, step.root))
            elif step.scheme == "float":
                self._keep_float(step)
            elif step.name in WEIGHTED and self._float_outputs[id(step)]:
                self._weighted(step)
            else:
                self._plain(step)
        graph = main_graph(self._model)
        graph.outputs = np.array([self._end(int(i), made_by.get(int(i))) for i in graph.outputs], np.int32)
        self._to.finish()
        return Rewritten(tuple(rewrites), tuple(notes))

    def _end(self, index: int, scheme: Scheme | None) -> int:
        """An output in what its operator was to compute in, whatever it does compute in."""
        home = self._to.home(index) if self._to.is_activation(index) else None
        if scheme is None or home is None or home.dtype == scheme:
            return index
        return self._to.requested(index, self._own(index, scheme))

    def _table(self, step: Step, root: int) -> str:
        entry = self._to.home(root) or self._own(root, step.scheme)
        positive = self._ranges.minima[self._names[root]] >= 0
        size = add_table(self._to, self._float_model, step, entry, positive=positive)
        return f"{step.label} became a table of {size:,} values."

    def _keep_float(self, step: Step) -> None:
        operator = self._copied(step)
        operator.inputs = np.array(
            [self._to.requested(int(i), None) if self._to.is_activation(int(i)) else int(i) for i in operator.inputs],
            np.int32,
        )
        self._to.operators.append(operator)

    def _plain(self, step: Step) -> None:
        outputs = self._float_outputs[id(step)]
        kernel = KERNELS.get(step.name)
        joint = self._to.home(outputs[0]) if outputs and kernel is not None and kernel.scales != "own" else None
        operator = self._copied(step)
        operator.inputs = np.array([self._input(int(i), step.scheme, joint) for i in operator.inputs], np.int32)
        self._to.operators.append(operator)

    def _copied(self, step: Step) -> Any:
        operator = copy.copy(step.operators[0])
        if step.name in ("ADD", "SUB") and step.scheme == "int16" and operator.builtinOptions is not None:
            operator.builtinOptions = copy.copy(operator.builtinOptions)
            operator.builtinOptions.potScaleInt16 = False  # scales are any number, not powers of two
        if step.name == "CAST" and self._float_outputs[id(step)] and operator.builtinOptions is not None:
            operator.builtinOptions = copy.copy(operator.builtinOptions)
            operator.builtinOptions.outDataType = getattr(schema().TensorType, step.scheme.upper())
        return operator

    def _input(self, index: int, scheme: Scheme, joint: Quantization | None) -> int:
        """The input as the kernel takes it."""
        if self._to.is_activation(index):
            home = self._to.home(index)
            if joint is not None:
                return self._to.requested(index, joint)
            return (
                index
                if home is not None and home.dtype == scheme
                else self._to.requested(index, self._own(index, scheme))
            )
        if self._to.is_constant(index) and is_float(self._model, index):
            values = self._to.values(index)
            assert values is not None  # noqa: S101 - it is a constant
            return self._to.quantized_constant(
                index, joint or Quantization.of_range(float(values.min()), float(values.max()), scheme)
            )
        return index

    def _own(self, index: int, scheme: Scheme) -> Quantization:
        name = self._names[index]
        return Quantization.of_range(self._ranges.minima[name], self._ranges.maxima[name], scheme)

    def _weighted(self, step: Step) -> None:
        entry_at, weights_at, bias_at, axis = WEIGHTED[step.name]
        operator = self._copied(step)
        inputs = [int(i) for i in operator.inputs]
        weights = self._to.values(inputs[weights_at]) if self._to.is_constant(inputs[weights_at]) else None
        if weights is None:
            self._plain(step)
            return
        inputs[entry_at] = self._input(inputs[entry_at], step.scheme, None)
        entry = self._entry(step.operators[0].inputs[entry_at], step.scheme)
        output = self._to.home(step.outputs[0])
        assert output is not None  # noqa: S101 - the step is integer
        bias_index = inputs[bias_at] if bias_at < len(inputs) else -1
        bias = self._bias(step, bias_index)
        scales = fitted_scales(weight_scales(weights, axis if self._per_channel else None), entry, output, bias)
        inputs[weights_at] = self._constant(inputs[weights_at], quantize_weights(weights, scales, axis), scales, axis)
        if bias is not None:
            steps, bias_scales = quantize_bias(bias, entry, scales)
            inputs[bias_at] = self._constant(bias_index, steps, bias_scales, 0)
        operator.inputs = np.array(inputs, np.int32)
        self._to.operators.append(operator)

    def _bias(self, step: Step, index: int) -> Any:
        if index < 0:
            return None
        if not self._to.is_constant(index):
            raise ModelError(f"{step.label} takes its bias from a tensor that is computed; make it an ADD of its own")
        return self._to.values(index)

    def _entry(self, index: int, scheme: Scheme) -> Quantization:
        home = self._to.home(int(index))
        return home if home is not None and home.dtype == scheme else self._own(int(index), scheme)

    def _constant(self, like: int, values: Any, scales: Any, axis: int) -> int:
        return self._to.constant(tensor_name(self._model, like), values, scales=scales, axis=axis)
