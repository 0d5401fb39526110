"""One operator being translated: what its translator asks of it, and with what it writes the ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from converters.targets.onnx.build import Builder
from converters.targets.onnx.layout import Layout
from converters.targets.onnx.values import Constant, Operand, Value, Weight
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


@dataclass
class Graph:
    """The translation so far.

    Attributes:
        build: the ONNX graph.
        layout: brings values into the order that is needed.
        weights: of linear operators, by their initializers.
        padded: what a Pad with zeros made: the value before, and what was put before and behind each .tflite axis.
    """

    build: Builder
    layout: Layout
    weights: dict[str, Weight] = field(default_factory=dict)
    padded: dict[str, tuple[Value, tuple[tuple[int, int], ...]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Call:
    """An operator with its inputs translated.

    Attributes:
        operator: such as ``"CONV_2D"``.
        options: its options in the schema.
        graph: the translation so far.
        inputs: as many as the operator names; one that is left out is None.
        shapes: of its outputs.
        dtypes: of its outputs.
        only_weighed: whether nothing reads its output but fully connected operators with known weights.
    """

    operator: str
    options: Any
    graph: Graph
    inputs: tuple[Operand | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    only_weighed: bool

    @property
    def build(self) -> Builder:
        """The ONNX graph."""
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

    def operand(self, place: int) -> Operand:
        """An input that must be there."""
        operand = self.given(place)
        if operand is None:
            raise ModelError(f"its input {place} is missing; the .tflite model is damaged")
        return operand

    def value(self, place: int) -> Value:
        """An input as a tensor of the ONNX graph; a constant is stored as it is."""
        return self.layout.value(self.operand(place))

    def constant(self, place: int, what: str) -> Array:
        """The numbers of an input that must be known.

        Raises:
            ModelError: if it is computed while the model runs; ``what`` names it.
        """
        operand = self.given(place)
        if not isinstance(operand, Constant):
            state = "missing" if operand is None else "computed while the model runs"
            raise ModelError(f"{what} is {state}; a constant is allowed. Export the model with fixed shapes")
        return operand.values

    def integers(self, place: int, what: str) -> tuple[int, ...]:
        """The same of a list of integers."""
        return tuple(int(number) for number in self.constant(place, what).reshape(-1))

    def option(self, name: str, default: Any = 0) -> Any:
        """A field of the options; the default where the operator came without any."""
        return default if self.options is None else getattr(self.options, name)

    def weight(self, place: int, axes: tuple[int, ...], channels: int) -> str:
        """The ONNX tensor of weights in the order ``axes``, in which the output channels lie at ``channels``."""
        return self.weigh(self.operand(place), axes, channels)

    def weigh(self, operand: Operand, axes: tuple[int, ...], channels: int) -> str:
        """The same of weights that were changed."""
        name = self.layout.laid(operand, axes)
        if isinstance(operand, Constant):
            self.graph.weights[name] = Weight(operand.name, channels)
        return name


Translator = Callable[[Call], Operand | Sequence[Operand | None]]
Translators = Mapping[str, Translator]
