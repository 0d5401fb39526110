"""Operators on operands that broadcast against each other, each in its own order of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converters.axes import plain
from converters.load.onnx.call import Graph
from converters.load.onnx.layout import needs_transpose
from converters.load.onnx.values import Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

Term = Value | Array | float
"""An operand: a value, or numbers."""


def combine(graph: Graph, name: str, terms: Sequence[Term], dtype: str = "float32", **options: Any) -> Value:
    """Write the elementwise operator ``name`` of operands that broadcast as in ONNX.

    The operands are brought into the order of axes that moves the fewest numbers.

    Args:
        graph: the translation so far.
        name: the .tflite operator.
        terms: values and numbers; numbers are of the values' type.
        dtype: of the result.
        options: of the operator.
    """
    values = [term for term in terms if isinstance(term, Value)]
    try:
        shape = np.broadcast_shapes(*(term.shape if isinstance(term, Value) else np.shape(term) for term in terms))
    except ValueError as exc:
        raise ModelError(f"its inputs do not fit each other: {exc}. Export the model again") from exc
    wide = {id(value): _widened(graph, value, len(shape)) for value in values}
    axes = _cheapest(list(wide.values()))
    inputs: list[Value | int] = []
    most = 0
    for term in terms:
        if isinstance(term, Value):
            inputs.append(graph.layout.arranged(wide[id(term)], axes))
        else:
            inputs.append(graph.build.constant(numbers := _laid(np.asarray(term), axes), name))
            most = max(most, numbers.ndim)
    return _emit(graph, name, inputs, Value(-1, shape, axes, dtype), most, options)


def _emit(
    graph: Graph, name: str, inputs: Sequence[Value | int], like: Value, constant_axes: int, options: dict[str, Any]
) -> Value:
    """Write the operator before the RESHAPE where that ends a convolution over a length, so that it still can be fused.

    Args:
        graph: the translation so far.
        name: the .tflite operator.
        inputs: of it.
        like: shape, order and type of the result.
        constant_axes: the most axes that a constant among the inputs has.
        options: of the operator.
    """
    build = graph.build
    values = [entry for entry in inputs if isinstance(entry, Value)]
    before = [build.reshaped_from.get(value.tensor) for value in values]
    shapes = {origin[1] for origin in before if origin}
    image = next(iter(shapes)) if len(shapes) == 1 and None not in before else ()
    if len(image) != 4 or len(like.shape) != 3 or image[-1:] != like.stored[-1:] or constant_axes > 1 or image[1] != 1:
        return build.emit(name, inputs, like.shape, like.axes, like.dtype, **options)
    origins = [build.reshaped_from[entry.tensor][0] if isinstance(entry, Value) else entry for entry in inputs]
    made = build.emit(name, origins, image, plain(4), like.dtype, **options)
    return graph.layout.restored(made, like.shape, like.axes)


def _widened(graph: Graph, value: Value, rank: int) -> Value:
    missing = rank - len(value.shape)
    if not missing:
        return value
    if value.size == 1:
        return graph.layout.reshaped(value, (1,) * rank)
    lying = (*range(missing), *(axis + missing for axis in value.axes))
    return graph.layout.restored(value, (1,) * missing + value.shape, lying)


def _cheapest(values: Sequence[Value]) -> tuple[int, ...]:
    def cost(axes: tuple[int, ...]) -> int:
        return sum(value.size for value in values if needs_transpose(value, axes))

    whole = sorted(values, key=lambda value: -value.size)
    return min((value.axes for value in whole), key=cost)


def _laid(numbers: Array, axes: tuple[int, ...]) -> Array:
    """Numbers in the order of ``axes``, without leading axes of size 1."""
    wide = numbers.reshape((1,) * (len(axes) - numbers.ndim) + numbers.shape).transpose(axes)
    while wide.ndim > 1 and wide.shape[0] == 1:
        wide = wide[0]
    return np.ascontiguousarray(wide)


def unary(graph: Graph, name: str, value: Value, **options: Any) -> Value:
    """Write an operator that keeps shape, order and type."""
    return _emit(graph, name, [value], value, 0, options)


def add(graph: Graph, left: Term, right: Term) -> Value:
    """left + right, of float32."""
    return combine(graph, "ADD", [_float(left), _float(right)])


def subtract(graph: Graph, left: Term, right: Term) -> Value:
    """left - right, of float32."""
    return combine(graph, "SUB", [_float(left), _float(right)])


def multiply(graph: Graph, left: Term, right: Term) -> Value:
    """left * right, of float32."""
    return combine(graph, "MUL", [_float(left), _float(right)])


def divide(graph: Graph, left: Term, right: Term) -> Value:
    """left / right, of float32."""
    return combine(graph, "DIV", [_float(left), _float(right)])


def _float(term: Term) -> Term:
    return term if isinstance(term, Value) else np.asarray(term, np.float32)


def in_order(graph: Graph, value: Value) -> Value:
    """The value in ONNX's own order of axes."""
    return graph.layout.arranged(value, plain(len(value.shape)))


def last(graph: Graph, value: Value, axis: int) -> Value:
    """The value with ``axis`` lying innermost, and the others as they lie."""
    if value.axes[-1] == axis:
        return value
    return graph.layout.arranged(value, (*(other for other in value.axes if other != axis), axis))
