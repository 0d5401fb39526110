"""Tables: operators whose every output element depends on one input element alone, as a look-up of all that it can store.

An int8 input has 256 values, so that any function of it is 256 numbers, computed by the float operators themselves and then quantized:
exact but for the rounding of the result. That serves operators without an integer kernel (SIN, CEIL, ...) and chains of them with one
tensor at their root (x * tanh(log(1 + exp(x))), x / (1 + |x|)), where a step by step quantization loses what the last step needs.
The look-up is CAST to int32, SUB of the first place, GATHER, which every interpreter runs. An int16 input has a table of 65,536 values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.graph import compact, is_constant, main_graph, operator_name, schema, shape_of, write_graph
from converters.interpreter import open_interpreter
from converters.quantize.assembly import Assembly
from converters.quantize.kernels import has_kernel
from converters.quantize.quantization import Quantization
from converters.quantize.steps import Step, is_float, tensor_name
from edge_sdk.tensors import Array

_GENTLE = {"ADD", "SUB", "MUL", "ABS", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU", "MAXIMUM", "MINIMUM", "LOGISTIC",
           "TANH", "HARD_SWISH", "GELU", "ELU", "RSQRT", "GREATER",
           "GREATER_EQUAL", "LESS", "LESS_EQUAL", "SELECT", "SELECT_V2"}  # fmt: skip
_ELEMENTWISE = _GENTLE | {
    "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SIGN", "NEG", "SQUARE", "SQRT", "EXP", "LOG", "DIV", "POW", "SQUARED_DIFFERENCE",
    "FLOOR_DIV", "FLOOR_MOD", "EQUAL", "NOT_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "CAST", "ATAN2",
}  # fmt: skip
_MOST_OPERATORS = 40  # of one table


class Regions:
    """Chains of elementwise operators in a float graph."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = main_graph(model)
        self._makers = {
            int(operator.outputs[0]): number
            for number, operator in enumerate(self._graph.operators)
            if operator_name(model, operator) in _ELEMENTWISE
        }

    def of(self, output: int) -> Iterator[tuple[int, list[int]]]:
        """Every (root, numbers of the operators between it and ``output``), the earliest root first."""
        if output not in self._makers:
            return
        reached: dict[int, None] = {}
        ahead = [output]
        while ahead and len(reached) <= _MOST_OPERATORS:
            number = self._makers.get(ahead.pop())
            if number is not None and number not in reached:
                reached[number] = None
                ahead += self._activations(number)
        roots = dict.fromkeys(i for number in sorted(reached) for i in self._activations(number))
        for root in roots:
            numbers = self._between(root, output)
            if numbers:
                yield root, numbers

    def _between(self, root: int, output: int) -> list[int]:
        """The operators by which ``output`` is a function of ``root`` alone; none if it is not."""
        shape = shape_of(self._graph.tensors[root])
        found: set[int] = set()
        ahead = [output]
        while ahead:
            index = ahead.pop()
            if index == root:
                continue
            number = self._makers.get(index)
            if number is None or len(found) > _MOST_OPERATORS or shape_of(self._graph.tensors[index]) != shape:
                return []
            if number not in found:
                if not self._has_scalar_constants(number):
                    return []
                found.add(number)
                ahead += self._activations(number)
        return sorted(found)

    def _activations(self, number: int) -> list[int]:
        inputs = self._graph.operators[number].inputs
        return [int(i) for i in inputs if i >= 0 and not is_constant(self._model, self._graph.tensors[i])]

    def _has_scalar_constants(self, number: int) -> bool:
        tensors = [self._graph.tensors[i] for i in self._graph.operators[number].inputs if i >= 0]
        return all(not is_constant(self._model, t) or int(np.prod(shape_of(t))) == 1 for t in tensors)


def put_tables(model: Any, steps: list[Step]) -> list[Step]:
    """Replace steps by tables where an operator has no integer kernel, or where a chain loses by being quantized step by step.

    Args:
        model: the float graph.
        steps: one an operator.

    Returns:
        The steps, without those that only served what is a table now.
    """
    regions = Regions(model)
    needed = {int(i) for i in main_graph(model).outputs}
    kept: list[Step] = []
    for step in reversed(steps):
        if needed.isdisjoint(step.outputs):
            continue
        table = _table(model, regions, steps, step) if step.scheme != "float" else None
        kept.append(table or step)
        needed.update(kept[-1].inputs)
    return kept[::-1]


def _table(model: Any, regions: Regions, steps: list[Step], last: Step) -> Step | None:
    for root, numbers in regions.of(last.outputs[0]):
        of = [steps[number] for number in numbers]
        if is_float(model, root) and all(step.scheme != "float" for step in of) and _gains(of, last.scheme):
            operators, names = tuple(s.operators[0] for s in of), tuple(s.name for s in of)
            return Step(operators, tuple(s.numbers[0] for s in of), names, last.scheme, root)
    return None


def _gains(steps: list[Step], dtype: str) -> bool:
    """Whether these operators are better one table than each a kernel."""
    names = {step.name for step in steps}
    return any(not has_kernel(name, dtype) or name == "CAST" for name in names) or (
        len(steps) > 1 and not names <= _GENTLE
    )


def evaluate(model: Any, operators: tuple[Any, ...], root: int, values: Array) -> Array:
    """What float operators make of ``values`` (one axis, float32) in the place of their root; the interpreter computes it."""
    small = schema().ModelT()
    small.version, small.operatorCodes, small.buffers = model.version, list(model.operatorCodes), list(model.buffers)
    graph, before = schema().SubGraphT(), main_graph(model)
    graph.tensors = [copy.copy(tensor) for tensor in before.tensors]
    graph.operators = [copy.copy(operator) for operator in operators]
    graph.inputs = np.array([root], np.int32)
    graph.outputs = np.array([int(operators[-1].outputs[0])], np.int32)
    for operator in operators:
        for index in (*operator.inputs, *operator.outputs):
            if index >= 0:
                tensor = graph.tensors[index]
                tensor.shape = np.array([] if is_constant(model, tensor) else values.shape, np.int32)
    small.subgraphs, small.signatureDefs = [graph], []
    compact(small)
    interpreter = open_interpreter(write_graph(small), optimised=False)
    interpreter.set_tensor(int(graph.inputs[0]), values)
    with np.errstate(all="ignore"):
        interpreter.invoke()
    made: Array = interpreter.get_tensor(int(graph.outputs[0]))
    return made


def add_table(assembly: Assembly, model: Any, step: Step, entry: Quantization, *, positive: bool) -> int:
    """Append the look-up of a table; returns how many values it has.

    Args:
        assembly: takes the operators.
        model: the float graph.
        step: the table.
        entry: its root's quantization.
        positive: whether the root is never negative: an int16 table is half as long then, and what is negative counts as zero.
    """
    assert step.root is not None  # noqa: S101 - it is a table
    output, name = step.outputs[0], tensor_name(model, step.outputs[0])
    shape = main_graph(model).tensors[output].shape
    stored = entry.stored()
    if positive and entry.dtype == "int16":
        stored = stored[stored >= 0]
    first_stored = int(stored[0])
    values = evaluate(model, step.operators, step.root, entry.real(stored))
    wanted = assembly.home(output) if assembly.is_activation(output) else None
    if wanted is not None:
        values = wanted.quantize(np.nan_to_num(values, nan=0.0, posinf=3e38, neginf=-3e38))
    scales = None if wanted is None else np.array([wanted.scale], np.float32)
    table = assembly.constant(
        f"{name}/table", values, scales=scales, zero_point=0 if wanted is None else wanted.zero_point
    )
    place = _place(assembly, name, assembly.requested(step.root, entry), entry, shape, first_stored)
    assembly.add("GATHER", [table, place], [output], schema().GatherOptionsT())
    return len(values)


def _place(assembly: Assembly, name: str, root: int, entry: Quantization, shape: Array, first_stored: int) -> int:
    """Append what makes places in the table, int32, of ``root``.

    OpenVINO reads CAST of a quantized tensor as that of the real numbers, LiteRT as that of the stored ones. The places are the same in
    both: a multiplication, which leaves what is stored as it is, makes the scale 1, so that real is stored less the zero point; and the
    first place is subtracted as a number of that quantization.
    """
    counted = Quantization(entry.dtype, 1.0, entry.zero_point)
    steps, place = (
        assembly.quantized_tensor(f"{name}/steps", shape, counted),
        assembly.tensor(f"{name}/place", shape, "int32"),
    )
    most = np.array([np.iinfo(entry.dtype).max], entry.dtype)
    factor = np.array([1 / (float(most[0]) * entry.scale)], np.float32)
    operands = [root, assembly.constant("table/factor", most, scales=factor)]
    assembly.add("MUL", operands, [steps], schema().MulOptionsT())
    wide = _cast(assembly, f"{name}/wide", steps, shape, entry.dtype)
    if first_stored == 0:
        zero = assembly.constant("table/zero", np.array(0, np.int32))
        assembly.add("MAXIMUM", [wide, zero], [place], schema().MaximumMinimumOptionsT())
        return place
    scales, first = np.ones(1, np.float32), np.array([first_stored], entry.dtype)
    lowest = assembly.constant("table/lowest", first, scales=scales, zero_point=entry.zero_point)
    offset = _cast(assembly, "table/offset", lowest, np.array([1], np.int32), entry.dtype)
    assembly.add("SUB", [wide, offset], [place], schema().SubOptionsT())
    return place


def _cast(assembly: Assembly, name: str, source: int, shape: Array, dtype: str) -> int:
    """Append CAST to int32."""
    made, cast = assembly.tensor(name, shape, "int32"), schema().CastOptionsT()
    cast.inDataType, cast.outDataType = getattr(schema().TensorType, dtype.upper()), schema().TensorType.INT32
    assembly.add("CAST", [source], [made], cast)
    return made
