"""Matrix products: with constant weights fully connected, else batched; Einsum as one of these."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial

import numpy as np

from converters.axes import plain
from converters.load.onnx.broadcast import add, in_order, last, multiply
from converters.load.onnx.build import Inputs
from converters.load.onnx.call import Call, Translator
from converters.load.onnx.linear import Kernel
from converters.load.onnx.values import Constant, Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


def _gemm(call: Call) -> Value:
    node = call.node
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    left, right = call.value(0), call.given(1)
    if node.integer("transA"):
        left = left.transposed((1, 0))
    if isinstance(right, Constant):
        load = partial(_rows, right, bool(node.integer("transB")))
        made = _fully_connected(call, left, load, call.shape[1], alpha)
    else:
        value = call.value(1)
        made = _scaled(call, matmul(call, left, value.transposed((1, 0)) if node.integer("transB") else value), alpha)
    return _with_addend(call, made, beta)


def _with_addend(call: Call, made: Value, beta: float) -> Value:
    addend = call.given(2)
    if addend is None or beta == 0:
        return made
    if isinstance(addend, Value):
        return add(call.graph, made, _scaled(call, addend, beta))
    numbers = addend.array() * np.float32(beta)
    linear = call.graph.linear.get(made.tensor)
    absorbed = linear.with_affine(np.ones(()), numbers, made) if linear else None
    return absorbed or add(call.graph, made, numbers)


def _scaled(call: Call, value: Value, factor: float) -> Value:
    return value if factor == 1 else multiply(call.graph, value, factor)


def _rows(weights: Constant, turned: bool) -> Array:
    """(outputs, inputs)."""
    stored = weights.array()
    return stored if turned else stored.T


def _matmul(call: Call) -> Value:
    left, right = call.value(0), call.given(1)
    if isinstance(right, Constant) and len(right.shape) == 2 and len(left.shape) >= 2:
        return _fully_connected(call, left, partial(_rows, right, False), right.shape[1], 1.0)
    return matmul(call, left, call.value(1))


def _fully_connected(call: Call, value: Value, load: partial[Array], outputs: int, factor: float) -> Value:
    rank, columns = len(value.shape), value.columns
    value = last(call.graph, value, rank - 1)
    shape, axes = (*value.shape[:-1], outputs), value.axes

    def stored(kernel: Kernel) -> Array:
        weights = kernel.weights()
        return np.ascontiguousarray(weights if columns is None else weights[:, columns])

    def emit(kernel: Kernel) -> Value:
        inputs: Inputs = [
            value,
            call.build.constant(partial(stored, kernel), "weights"),
            call.build.constant(kernel.biases(), "bias"),
        ]
        return call.build.emit("FULLY_CONNECTED", inputs, shape, axes, keepNumDims=rank > 2)

    kernel = Kernel.plain(load, outputs).affine(np.full(outputs, factor), np.zeros(outputs))
    return call.made_linear(kernel, emit)


def weighted(call: Call, value: Value, weights: Array, bias: Array | None = None) -> Value:
    """value times the transposed of ``weights`` (outputs, inputs), plus ``bias``."""
    made = _fully_connected(call, value, partial(np.asarray, weights), len(weights), 1.0)
    if bias is None:
        return made
    shifted = call.graph.linear[made.tensor].with_affine(np.ones(()), bias, made)
    assert shifted is not None  # noqa: S101 - a bias is one number a channel
    return shifted


def matmul(call: Call, left: Value, right: Value) -> Value:
    """A product of matrices or stacks of them, as NumPy's matmul."""
    layout = call.layout
    a = layout.reshaped(left, (1, *left.shape)) if len(left.shape) == 1 else left
    b = layout.reshaped(right, (*right.shape, 1)) if len(right.shape) == 1 else right
    (a, turn_a), (b, turn_b) = _turned(call, a), _turned(call, b)
    full = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    made = call.build.emit("BATCH_MATMUL", [a, b], full, plain(len(full)), adjX=turn_a, adjY=turn_b)
    rows, columns = full[-2:-1] if len(left.shape) > 1 else (), full[-1:] if len(right.shape) > 1 else ()
    return layout.reshaped(made, (*full[:-2], *rows, *columns))


def _turned(call: Call, value: Value) -> tuple[Value, bool]:
    """The value in ONNX's order, or with its last two axes exchanged where it lies so; and whether it does."""
    rank = len(value.shape)
    exchanged = (*range(rank - 2), rank - 1, rank - 2)
    wide = [axis for axis in value.axes if value.shape[axis] != 1]
    if wide != sorted(wide) and wide == [axis for axis in exchanged if value.shape[axis] != 1]:
        return call.layout.arranged(value, exchanged), True
    return in_order(call.graph, value), False


def _einsum(call: Call) -> Value:
    """Products over named axes, of two operands: batch, left and right axes each joined to one."""
    terms, result = _equation(call)
    if len(terms) != 2:
        raise ModelError("an Einsum of two operands is translated. Export it as MatMul")
    left, right = call.value(0), call.value(1)
    sizes = dict(zip(terms[0], left.shape, strict=True)) | dict(zip(terms[1], right.shape, strict=True))
    both = [axis for axis in terms[0] if axis in terms[1]]
    batch, summed = [a for a in both if a in result], [a for a in both if a not in result]
    rows, columns = [a for a in terms[0] if a not in both], [a for a in terms[1] if a not in both]
    if any(a not in result for a in (*rows, *columns)) or len(result) != len(batch) + len(rows) + len(columns):
        raise ModelError(
            "an Einsum that sums an axis of one operand only is not translated. Export it as ReduceSum and MatMul"
        )
    a = _grouped(call, left, terms[0], (batch, rows, summed), sizes)
    b = _grouped(call, right, terms[1], (batch, summed, columns), sizes)
    order = [*batch, *rows, *columns]
    made = call.layout.reshaped(matmul(call, a, b), tuple(sizes[axis] for axis in order))
    return made.transposed(tuple(order.index(axis) for axis in result))


def _equation(call: Call) -> tuple[list[str], str]:
    equation = call.node.text("equation").replace(" ", "")
    inputs, arrow, result = equation.partition("->")
    terms = inputs.split(",")
    ranks = [len(operand.shape) for operand in call.inputs if operand is not None]
    if not arrow:
        counts = Counter(inputs.replace(",", ""))
        result = "".join(sorted(letter for letter, count in counts.items() if count == 1))
    plainly = all(term.isalpha() and len(set(term)) == len(term) for term in terms) and len(set(result)) == len(result)
    if not plainly or [len(term) for term in terms] != ranks:
        raise ModelError(f"Einsum {equation!r} repeats an axis or uses '...'; export it as MatMul")
    return terms, result


def _grouped(
    call: Call, value: Value, term: str, groups: tuple[list[str], list[str], list[str]], sizes: dict[str, int]
) -> Value:
    order = tuple(term.index(axis) for group in groups for axis in group)
    shape = tuple(math.prod(sizes[axis] for axis in group) for group in groups)
    return call.layout.reshaped(value.transposed(order), shape)


TRANSLATORS: dict[str, Translator] = {"Gemm": _gemm, "MatMul": _matmul, "Einsum": _einsum}
