"""The float graph as the steps that the quantized graph will have: an operator each, or a table in place of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from converters.graph import main_graph, text, type_name
from converters.quantize.quantization import Scheme


@dataclass(frozen=True, eq=False)
class Step:
    """One step.

    Attributes:
        operators: of the float graph, one; several where a table stands for them.
        numbers: their places in the float model.
        names: of their kinds, such as ``("EXP", "ADD", "LOG")``.
        scheme: what it computes in.
        root: of a table, the tensor that it is a function of; None of an operator.
    """

    operators: tuple[Any, ...]
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    scheme: Scheme
    root: int | None = None

    @property
    def name(self) -> str:
        """The kind of the last operator."""
        return self.names[-1]

    @property
    def inputs(self) -> list[int]:
        """Places of the tensors that it takes, without those left out."""
        taken = self.operators[0].inputs if self.root is None else [self.root]
        return [int(i) for i in taken if i >= 0]

    @property
    def outputs(self) -> list[int]:
        """Places of the tensors that it makes."""
        return [int(i) for i in self.operators[-1].outputs]

    @property
    def label(self) -> str:
        """Such as ``"ELU (operator 12)"`` or ``"EXP, ADD, LOG (operators 3, 4, 5)"``."""
        plural = "s" if len(self.numbers) > 1 else ""
        return f"{', '.join(self.names)} (operator{plural} {', '.join(map(str, self.numbers))})"


def is_float(model: Any, index: int) -> bool:
    """Whether the tensor at ``index`` is float32 in this graph."""
    return index >= 0 and type_name(main_graph(model).tensors[index]) == "FLOAT32"


def tensor_name(model: Any, index: int) -> str:
    """The name of the tensor at ``index``."""
    return text(main_graph(model).tensors[index].name)
