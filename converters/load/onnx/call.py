"""One node being translated: what its translator asks of it, and with what it writes the .tflite graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.axes import plain
from converters.load.onnx.build import Builder
from converters.load.onnx.layout import Layout
from converters.load.onnx.linear import Kernel, Linear
from converters.load.onnx.node import Node
from converters.load.onnx.values import Constant, Operand, Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


@dataclass
class Graph:
    """The translation so far.

    Attributes:
        build: the .tflite graph.
        layout: brings values into the order that is needed.
        calls: the node that made each ONNX tensor.
        readers: the nodes that take each ONNX tensor; a graph output is read by None.
        linear: what can take a scale and a shift into its weights, by its .tflite tensor.
        least: known lower bounds of .tflite tensors.
        constants: names of the initializers.
    """

    build: Builder
    layout: Layout
    calls: dict[str, Call] = field(default_factory=dict)
    readers: dict[str, list[Node | None]] = field(default_factory=dict)
    linear: dict[int, Linear] = field(default_factory=dict)
    least: dict[int, float] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)


@dataclass(frozen=True, eq=False)
class Call:
    """A node with its inputs translated.

    Attributes:
        node: the node.
        graph: the translation so far.
        inputs: as many as the node names; one that is left out is None.
        shapes: of its outputs, in ONNX's order.
        dtypes: of its outputs.
    """

    node: Node
    graph: Graph
    inputs: tuple[Operand | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @property
    def build(self) -> Builder:
        """The .tflite graph."""
        return self.graph.build

    @property
    def layout(self) -> Layout:
        """Brings values into the order that is needed."""
        return self.graph.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its first output."""
        return self.shapes[0]

    @property
    def dtype(self) -> str:
        """Of its first output."""
        return self.dtypes[0]

    def given(self, place: int) -> Operand | None:
        """An input, or None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def value(self, place: int) -> Value:
        """An input as a tensor of the .tflite graph; a constant is stored as it is."""
        operand = self.given(place)
        if isinstance(operand, Value):
            return operand
        if operand is None:
            raise ModelError(f"its input {place} is missing; export the model again")
        tensor = self.build.constant(operand.array() if operand.size < 1 << 16 else operand.array)
        return Value(tensor, operand.shape, plain(len(operand.shape)), operand.dtype)

    def constant(self, place: int, what: str) -> Constant:
        """An input that must be known.

        Raises:
            ModelError: if it is computed while the model runs; ``what`` names it.
        """
        operand = self.given(place)
        if not isinstance(operand, Constant):
            state = "missing" if operand is None else "computed while the model runs"
            raise ModelError(f"{what} is {state}; a constant is allowed. Export the model with it fixed")
        return operand

    def integers(self, attribute: str, place: int) -> tuple[int, ...] | None:
        """Integers that are an attribute in old opsets and an input in new ones; None where left out."""
        if self.given(place) is None:
            return self.node.integers(attribute)
        return tuple(int(n) for n in self.constant(place, f"{attribute!r}").array().reshape(-1))

    def number(self, place: int, attribute: str, default: float) -> float:
        """A number that is an attribute in old opsets and an input in new ones."""
        if self.given(place) is None:
            return self.node.number(attribute, default)
        return float(self.constant(place, f"{attribute!r}").array().reshape(-1)[0])

    def axis(self, default: int = 0, *, rank: int | None = None) -> int:
        """The attribute ``axis``, counted from the front."""
        return checked_axis(self.node.integer("axis", default), rank or len(self.value(0).shape))

    def source(self, place: int) -> Call | None:
        """The node that made an input, or None for the graph's input and for constants."""
        return self.graph.calls.get(self.node.inputs[place]) if place < len(self.node.inputs) else None

    def alone(self, place: int) -> bool:
        """Whether nothing but this node reads the input."""
        return len(self.graph.readers.get(self.node.inputs[place], ())) == 1

    def linear(self, place: int) -> Linear | None:
        """The linear operator that made an input for this node only."""
        operand = self.given(place)
        if not isinstance(operand, Value) or not self.alone(place):
            return None
        return self.graph.linear.get(operand.tensor)

    def made_linear(self, kernel: Kernel, emit: Callable[[Kernel], Value]) -> Value:
        """Write a linear operator, its channels innermost, and remember that its kernel may still change."""
        value = emit(kernel)
        self.graph.linear[value.tensor] = Linear(kernel, lambda changed: self.made_linear(changed, emit))
        return value

    def bounded(self, value: Value, least: float) -> Value:
        """Remember that no number of ``value`` is below ``least``."""
        self.graph.least[value.tensor] = max(least, self.graph.least.get(value.tensor, -np.inf))
        return value


Translator = Callable[[Call], Value | Sequence[Operand | None]]
Translators = Mapping[str, Translator]


def checked_axis(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        ModelError: if there is no such axis.
    """
    if not -rank <= axis < max(rank, 1):
        raise ModelError(f"its axis {axis} is not one of the {rank} that there are; export the model again")
    return axis % rank if rank else 0


def floats(values: Array | float | list[float]) -> Array:
    """As float32."""
    return np.asarray(values, np.float32)
