"""One node of an ONNX graph: its names, and its attributes read with their types checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edge_sdk.errors import ModelError

STANDARD = ("", "ai.onnx")  # two names of ONNX's own operators
_KINDS = {"i": 2, "f": 1, "s": 3, "ints": 7, "strings": 8, "g": 5}  # field: AttributeProto.AttributeType


@dataclass(frozen=True, eq=False)
class Node:
    """An operator of an ONNX graph.

    Attributes:
        proto: the ``NodeProto``.
        version: the opset of its domain; 0 if the model imports none.
    """

    proto: Any
    version: int

    @property
    def operator(self) -> str:
        """Such as ``"Conv"``."""
        return str(self.proto.op_type)

    @property
    def standard(self) -> bool:
        """Whether it is one of ONNX's own."""
        return self.proto.domain in STANDARD

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of its inputs; one that is left out is ``""``."""
        return tuple(self.proto.input)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of its outputs; one that is left out is ``""``."""
        return tuple(self.proto.output)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of what it takes, those taken inside its subgraphs among them."""
        inner = (name for graph in self.subgraphs() for node in graph.node for name in Node(node, 0).reads)
        ends = (output.name for graph in self.subgraphs() for output in graph.output)
        return tuple(name for name in (*self.inputs, *inner, *ends) if name)

    def subgraphs(self) -> Iterator[Any]:
        """The ``GraphProto`` of its branches or its loop body."""
        for attribute in self.proto.attribute:
            if attribute.type == _KINDS["g"]:
                yield attribute.g

    def __str__(self) -> str:
        name = self.proto.name or next(iter(self.outputs), "")
        return f"{self.operator} {name!r} (domain {self.proto.domain or 'ai.onnx'})"

    def integer(self, name: str, default: int = 0) -> int:
        """An integer attribute."""
        return int(self._read(name, "i", default))

    def number(self, name: str, default: float) -> float:
        """A floating-point attribute."""
        return float(self._read(name, "f", default))

    def text(self, name: str, default: str = "") -> str:
        """A text attribute."""
        raw = self._read(name, "s", default.encode())
        return bytes(raw).decode("utf-8", "backslashreplace")

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, or None where the attribute is left out."""
        values = self._read(name, "ints", None)
        return None if values is None else tuple(int(value) for value in values)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of texts, or None where the attribute is left out."""
        values = self._read(name, "strings", None)
        return None if values is None else tuple(bytes(value).decode("utf-8", "backslashreplace") for value in values)

    def graph(self, name: str) -> Any:
        """A subgraph."""
        return self._read(name, "g", None)

    def has(self, name: str) -> bool:
        """Whether the attribute is given."""
        return name in self._attributes

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        return {attribute.name: attribute for attribute in self.proto.attribute}

    def _read(self, name: str, field: str, default: Any) -> Any:
        attribute = self._attributes.get(name)
        if attribute is None:
            return default
        if attribute.type != _KINDS[field]:
            raise ModelError(f"its attribute {name!r} is of the wrong type; the model is damaged, export it again")
        return getattr(attribute, field)
