"""Keeping the end of a head out of the graph: trailing sigmoids, softmaxes and arithmetic with constants are left to the device.

An int8 LOGISTIC or SOFTMAX gives steps of 1/256 of the score, so that all scores below 0.002 are one, and its input pays for the whole
range. The device computes both in float32 on what the graph ends with (``edge_sdk.heads``): factor * activation(x) + offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, read_graph, shape_of, text
from converters.repair.rewiring import (
    CannotRepairError,
    add_tensor,
    copied,
    find_output,
    finish,
    has_activation,
    makers,
    readers,
    replace_output,
)
from edge_sdk.bundle.manifest import Head, Part
from edge_sdk.tensors import Array

_ACTIVATIONS = {"LOGISTIC": "sigmoid", "SOFTMAX": "softmax"}
_ARITHMETIC = ("MUL", "DIV", "ADD", "SUB")
_SHAPES = ("RESHAPE", "TRANSPOSE")


@dataclass(frozen=True)
class KeptOut:
    """A float model that ends earlier, the heads that make up for it, and the operators that were taken out, the last first."""

    content: bytes
    heads: tuple[Head, ...]
    operators: tuple[str, ...]


@dataclass
class _Tail:
    """What is taken off one stored output: factor * activation(x) + offset, each along the head's axis."""

    activation: str
    factor: Array
    offset: Array
    operators: list[str]
    passed: list[Any]  # reshapes and transposes that stay, the last first
    source: int  # the tensor that is left


def keep_out(content: bytes, heads: tuple[Head, ...], output: str) -> KeptOut:
    """Take trailing operators off a stored output.

    Args:
        content: the float model.
        heads: that it has already.
        output: name of an output of the model, which may be a part of a head.

    Raises:
        CannotRepairError: if it does not end in an operator that can be left to the device.
    """
    model = read_graph(content)
    graph, index = main_graph(model), find_output(model, output)
    head = next((h for h in heads if any(part.output == output for part in h.parts)), None)
    shape = shape_of(graph.tensors[index])
    axis = len(shape) - 1 if head is None else head.axis
    known = (
        Part(output=output, runs=((0, shape[axis]),))
        if head is None
        else next(p for p in head.parts if p.output == output)
    )
    tail = _Reader(model, axis, known).read(index)
    if not tail.operators:
        raise CannotRepairError(f"output {output!r} does not end in a sigmoid, a softmax or arithmetic with constants")
    left = _rewire(model, index, tail)
    if left in {*map(int, graph.inputs), *map(int, graph.outputs)}:
        raise CannotRepairError(f"what output {output!r} is made of is an input or output of the model as it is")
    replace_output(model, index, [left])
    part = Part(
        output=text(graph.tensors[left].name),
        runs=known.runs,
        activation=tail.activation,  # type: ignore[arg-type]  # one of the table's
        factor=_short(tail.factor),
        offset=_short(tail.offset),
    )
    if head is None:
        new = Head(name=output, shape=shape, axis=axis, parts=(part,))
        return KeptOut(finish(model), (*heads, new), tuple(tail.operators))
    parts = tuple(part if p.output == output else p for p in head.parts)
    changed = Head(name=head.name, shape=head.shape, axis=head.axis, parts=parts)
    return KeptOut(finish(model), tuple(changed if h is head else h for h in heads), tuple(tail.operators))


class _Reader:
    """Walks back from an output over what the device can do."""

    def __init__(self, model: Any, axis: int, part: Part) -> None:
        self._model, self._axis, self._entries = model, axis, part.entries
        self._makers, self._readers = makers(model), readers(model)
        self._outputs = {int(i) for i in main_graph(model).outputs}
        self._tail = _Tail(part.activation, np.array(part.factor), np.array(part.offset), [], [], -1)

    def read(self, index: int) -> _Tail:
        tail, passed = self._tail, []
        tail.source = index
        while tail.activation == "none" and (operator := self._makers.get(index)) is not None:
            name = operator_name(self._model, operator)
            if name in _SHAPES and len(self._readers[int(operator.inputs[0])]) == 1:
                passed.append(operator)
                index = int(operator.inputs[0])
                continue
            following = self._take_off(operator, name, passed)
            if following is None:
                break
            tail.operators.append(name)
            tail.passed = list(passed)
            index = tail.source = following
        return tail

    def _take_off(self, operator: Any, name: str, passed: list[Any]) -> int | None:
        """Note one operator in the tail; returns the tensor before it, or None if the device cannot do it."""
        if name == "LOGISTIC" or (name == "SOFTMAX" and self._softmax_fits(operator, passed)):
            self._tail.activation = _ACTIVATIONS[name]
            return int(operator.inputs[0])
        if name not in _ARITHMETIC or not has_activation(operator):
            return None
        tensors = main_graph(self._model).tensors
        values = [constant_of(self._model, tensors[i]) for i in operator.inputs]
        place = 0 if values[0] is None else 1
        constant = values[1 - place]
        if constant is None or shape_of(tensors[operator.inputs[place]]) != shape_of(tensors[operator.outputs[0]]):
            return None
        along = self._along(constant, len(shape_of(tensors[operator.outputs[0]])), passed)
        if along is None or (name == "DIV" and place == 1):
            return None
        factor, offset = {
            "MUL": (along, np.zeros(1)),
            "DIV": (1 / along, np.zeros(1)),
            "ADD": (np.ones(1), along),
            "SUB": (np.ones(1), -along) if place == 0 else (-np.ones(1), along),
        }[name]
        self._tail.offset = self._tail.offset + self._tail.factor * offset
        self._tail.factor = self._tail.factor * factor
        return int(operator.inputs[place])

    def _along(self, constant: Array, rank: int, passed: list[Any]) -> Array | None:
        """A constant's numbers along the head's axis: one, or one an entry; None if it varies along another."""
        values = constant.astype(np.float64)
        if values.size == 1:
            return values.reshape(1)
        full = values.reshape((1,) * (rank - values.ndim) + values.shape)
        if passed or full.size != self._entries or full.shape[self._axis] != self._entries:
            return None
        return full.reshape(-1)

    def _softmax_fits(self, operator: Any, passed: list[Any]) -> bool:
        """Whether the softmax stays one over the last axis behind what it is passed by, and over whole parts."""
        if operator.builtinOptions.beta != 1.0:
            return False
        last = shape_of(main_graph(self._model).tensors[operator.outputs[0]])[-1]
        shapes = [shape_of(main_graph(self._model).tensors[o.outputs[0]]) for o in passed]
        return all(operator_name(self._model, o) == "RESHAPE" for o in passed) and all(s[-1] == last for s in shapes)


def _rewire(model: Any, index: int, tail: _Tail) -> int:
    """Let the reshapes and transposes that stay read what is left. Returns the tensor that the model then ends with."""
    left, graph = tail.source, main_graph(model)
    for operator in reversed(tail.passed):
        old = graph.tensors[operator.outputs[0]]
        new = add_tensor(model, f"{text(graph.tensors[left].name)}/reshaped", shape_of(old))
        graph.operators.append(copied(operator, [left, *map(int, operator.inputs[1:])], [new]))
        left = new
    return left


def _short(numbers: Array) -> tuple[float, ...]:
    """One number where all are the same."""
    same = bool((numbers == numbers[0]).all())
    return (float(numbers[0]),) if same else tuple(numbers.tolist())
