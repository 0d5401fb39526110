"""Taking entries of one axis of a tensor by rewiring: the operators that make the tensor are doubled for these entries alone.

A slice behind an int8 tensor would share its scale. So the cut is pushed back: a convolution gives fewer channels, a concatenation
has fewer inputs, and what lies between (reshape, transpose, arithmetic) is done on these entries alone.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, shape_of, text
from converters.repair.rewiring import CannotRepairError, add_constant, add_tensor, copied, label, makers

Entries = tuple[int, ...]


class Taker:
    """Takes entries in one graph. What is made is appended to the graph; ``rewiring.finish`` drops what is left over.

    Args:
        model: the float graph, changed in place.
    """

    def __init__(self, model: Any) -> None:
        self._model, self._graph = model, main_graph(model)
        self._makers = makers(model)
        self._done: dict[tuple[int, int, Entries], int] = {}

    def take(self, index: int, axis: int, entries: Entries) -> int:
        """A tensor with these entries of the axis of tensor ``index``, in their order.

        Raises:
            CannotRepairError: if an operator on the way back mixes the entries; the message names it.
        """
        key = (index, axis, entries)
        if key not in self._done:
            self._done[key] = self._take(index, axis, entries)
        return self._done[key]

    def parts(self, index: int, axis: int) -> list[Entries]:
        """How the axis is put together: the entries of each input of the concatenations on the way back; one part if there is none."""
        size = shape_of(self._graph.tensors[index])[axis]
        operator = self._makers.get(index)
        whole: list[Entries] = [tuple(range(size))]
        if operator is None:
            return whole
        name = operator_name(self._model, operator)
        if name == "CONCATENATION":
            return self._parts_of_concatenation(operator, axis)
        if name == "TRANSPOSE":
            return self.parts(int(operator.inputs[0]), self._permutation(operator)[axis])
        if name == "RESHAPE":
            return self._parts_of_reshape(operator, axis) or whole
        if name in _ONE_INPUT:
            return self.parts(int(operator.inputs[0]), axis)
        return whole

    def _parts_of_concatenation(self, operator: Any, axis: int) -> list[Entries]:
        rank = len(shape_of(self._graph.tensors[operator.outputs[0]]))
        if operator.builtinOptions.axis % rank != axis:
            return self.parts(int(operator.inputs[0]), axis)
        found: list[Entries] = []
        start = 0
        for source in operator.inputs:
            inner = self.parts(int(source), axis)
            found += [tuple(start + e for e in entries) for entries in inner]
            start += sum(map(len, inner))
        return found

    def _parts_of_reshape(self, operator: Any, axis: int) -> list[Entries]:
        before, after = self._shapes(operator)
        place = _axis_before(before, after, axis)
        if place is None or before[place[0]] != after[axis]:
            return []
        return self.parts(int(operator.inputs[0]), place[0])

    def _take(self, index: int, axis: int, entries: Entries) -> int:
        tensor = self._graph.tensors[index]
        if entries == tuple(range(shape_of(tensor)[axis])):
            return index
        values = constant_of(self._model, tensor)
        if values is not None:
            return add_constant(self._model, f"{text(tensor.name)}/part", np.take(values, entries, axis))
        operator = self._makers.get(index)
        if operator is None:
            raise CannotRepairError(f"{text(tensor.name)!r} cannot be split: it is the model's input")
        rule = self._rule(operator_name(self._model, operator))
        if rule is None or len(operator.outputs) != 1:
            raise CannotRepairError(
                f"{label(self._model, operator)} cannot be split: what it computes mixes the entries"
            )
        shape = list(shape_of(tensor))
        shape[axis] = len(entries)
        inputs = rule(operator, axis, entries)
        if len(inputs) == 1 and operator_name(self._model, operator) == "CONCATENATION":
            return inputs[0]
        made = add_tensor(self._model, f"{text(tensor.name)}/part", tuple(shape))
        new = copied(operator, inputs, [made])
        if operator_name(self._model, operator) == "RESHAPE" and new.builtinOptions is not None:
            new.builtinOptions.newShape = np.array(shape, np.int32)
        self._graph.operators.append(new)
        return made

    def _rule(self, name: str) -> Callable[[Any, int, Entries], list[int]] | None:
        if name in _ONE_INPUT:
            return self._one_input
        if name in _BY_ELEMENT:
            return self._by_element
        return {
            "CONV_2D": self._layer,
            "FULLY_CONNECTED": self._layer,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "CONCATENATION": self._concatenation,
            "RESHAPE": self._reshape,
            "TRANSPOSE": self._transpose,
            "SOFTMAX": self._softmax,
            **dict.fromkeys(_BY_CHANNEL, self._by_channel),
        }.get(name)

    def _one_input(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        return [self.take(int(operator.inputs[0]), axis, entries), *(int(i) for i in operator.inputs[1:])]

    def _by_channel(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        if axis != 3:
            raise CannotRepairError(f"{label(self._model, operator)} cannot be split along axis {axis}")
        return self._one_input(operator, axis, entries)

    def _softmax(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        if axis == len(shape_of(self._graph.tensors[operator.outputs[0]])) - 1:
            raise CannotRepairError(f"{label(self._model, operator)} cannot be split along its own axis")
        return self._one_input(operator, axis, entries)

    def _by_element(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        rank, inputs = len(shape_of(self._graph.tensors[operator.outputs[0]])), []
        for index in map(int, operator.inputs):
            shape = shape_of(self._graph.tensors[index])
            own = axis - (rank - len(shape))  # broadcasting lines axes up from the last
            inputs.append(index if own < 0 or shape[own] == 1 else self.take(index, own, entries))
        return inputs

    def _layer(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        name, inputs = operator_name(self._model, operator), [int(i) for i in operator.inputs]
        weights = shape_of(self._graph.tensors[inputs[1]])
        channels = shape_of(self._graph.tensors[inputs[0]])[-1]
        if axis != len(shape_of(self._graph.tensors[operator.outputs[0]])) - 1 or (
            name == "CONV_2D" and weights[3] != channels
        ):
            raise CannotRepairError(f"{label(self._model, operator)} cannot be split along axis {axis}")
        return [inputs[0], *(i if i < 0 else self.take(i, 0, entries) for i in inputs[1:])]

    def _depthwise(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        inputs = [int(i) for i in operator.inputs]
        channels = shape_of(self._graph.tensors[inputs[0]])[3]
        if axis != 3 or shape_of(self._graph.tensors[inputs[1]])[3] != channels:
            raise CannotRepairError(f"{label(self._model, operator)} cannot be split along axis {axis}")
        bias = [i if i < 0 else self.take(i, 0, entries) for i in inputs[2:]]
        return [self.take(inputs[0], 3, entries), self.take(inputs[1], 3, entries), *bias]

    def _concatenation(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        sources = [int(i) for i in operator.inputs]
        if operator.builtinOptions.axis % len(shape_of(self._graph.tensors[operator.outputs[0]])) != axis:
            return [self.take(source, axis, entries) for source in sources]
        if list(entries) != sorted(entries):
            raise CannotRepairError(f"{label(self._model, operator)} cannot be split into entries out of order")
        taken, start = [], 0
        for source in sources:
            size = shape_of(self._graph.tensors[source])[axis]
            own = tuple(e - start for e in entries if start <= e < start + size)
            start += size
            if own:
                taken.append(self.take(source, axis, own))
        return taken

    def _reshape(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        before, after = self._shapes(operator)
        place = _axis_before(before, after, axis)
        if place is None:
            raise CannotRepairError(
                f"{label(self._model, operator)} cannot be split along axis {axis}: it is cut up there"
            )
        own, outer, inner = place
        size = after[axis]
        chosen = tuple((o * size + e) * inner + i for o in range(outer) for e in entries for i in range(inner))
        shape = np.array([len(entries) if a == axis else n for a, n in enumerate(after)], np.int32)
        wanted = add_constant(self._model, f"{text(self._graph.tensors[operator.outputs[0]].name)}/part_shape", shape)
        return [self.take(int(operator.inputs[0]), own, chosen), wanted]

    def _transpose(self, operator: Any, axis: int, entries: Entries) -> list[int]:
        own = self._permutation(operator)[axis]
        return [self.take(int(operator.inputs[0]), own, entries), int(operator.inputs[1])]

    def _permutation(self, operator: Any) -> list[int]:
        permutation = constant_of(self._model, self._graph.tensors[operator.inputs[1]])
        if permutation is None:
            raise CannotRepairError(f"{label(self._model, operator)} cannot be split: its permutation is computed")
        return [int(a) % permutation.size for a in permutation]

    def _shapes(self, operator: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        tensors = self._graph.tensors
        return shape_of(tensors[operator.inputs[0]]), shape_of(tensors[operator.outputs[0]])


_ONE_INPUT = (
    "LOGISTIC",
    "TANH",
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "LEAKY_RELU",
    "EXP",
    "HARD_SWISH",
    "GELU",
    "ELU",
    "ABS",
    "SQRT",
    "RSQRT",
)
_BY_ELEMENT = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "POW", "PRELU")
_BY_CHANNEL = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")


def _axis_before(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> tuple[int, int, int] | None:
    """Where an axis was before a reshape: which axis held it, and how many outer and inner steps it shared that axis with."""
    outside, inside = prod(after[:axis]), prod(after[axis + 1 :])
    for place, size in enumerate(before):
        outer_before, inner_before = prod(before[:place]), prod(before[place + 1 :])
        if outside % outer_before or inside % inner_before:
            continue
        outer, inner = outside // outer_before, inside // inner_before
        if size == outer * after[axis] * inner:
            return place, outer, inner
    return None
