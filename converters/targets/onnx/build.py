"""The ONNX graph under construction: nodes, initializers, and the model in the end.

What nothing reads falls away when the model is made, so a transpose may be written before it is known to cancel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.targets.onnx.values import Value
from edge_sdk.tensors import Array

OLDEST_OPSET, NEWEST_OPSET = 13, 21


@dataclass(frozen=True)
class Node:
    """An operator; an input that is left out is ``""``."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class Builder:
    """An ONNX graph under construction. Tensors have names of their own until ``finish``.

    Attributes:
        opset: of ONNX's own operators.
        scope: name of the .tflite tensor being made, which begins the names of new tensors.
    """

    def __init__(self, opset: int) -> None:
        self.opset, self.scope = opset, ""
        self._nodes: list[Node] = []
        self._constants: dict[str, Array] = {}
        self._known: dict[tuple[str, str, tuple[int, ...], bytes], str] = {}  # by the digest of the numbers
        self._wanted: dict[str, str] = {}

    def tensor(self, wanted: str) -> str:
        """A new tensor that is to be called ``wanted`` in the end."""
        name = f"%{len(self._wanted)}"
        self._wanted[name] = wanted
        return name

    def rename(self, name: str, wanted: str) -> None:
        """Call a tensor ``wanted`` in the end."""
        self._wanted[name] = wanted

    def constant(self, values: Array, wanted: str = "") -> str:
        """An initializer; the same numbers under the same wish are stored once."""
        values = np.ascontiguousarray(values).reshape(values.shape)
        digest = hashlib.blake2b(values.tobytes()).digest()
        key = (wanted, values.dtype.name, values.shape, digest)
        if key not in self._known:
            self._known[key] = self.tensor(wanted or f"{self.scope}/constant")
            self._constants[self._known[key]] = values
        return self._known[key]

    def integers(self, values: Iterable[int] | int) -> str:
        """An int64 initializer, such as a shape or axes."""
        return self.constant(np.array(values if isinstance(values, int) else list(values), np.int64))

    def number(self, value: float, dtype: str = "float32") -> str:
        """A scalar initializer."""
        return self.constant(np.array(value, dtype))

    def node(self, operator: str, inputs: Sequence[Value | str], count: int = 1, **attributes: Any) -> tuple[str, ...]:
        """Add an operator; returns its outputs."""
        names = tuple(entry.name if isinstance(entry, Value) else entry for entry in inputs)
        outputs = tuple(self.tensor(f"{self.scope}/{operator}") for _ in range(count))
        self._nodes.append(Node(operator, names, outputs, attributes))
        return outputs

    def emit(
        self,
        operator: str,
        inputs: Sequence[Value | str],
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        dtype: str = "float32",
        **attributes: Any,
    ) -> Value:
        """Add an operator of one output, which has ``shape`` in the .tflite's order and lies as ``axes`` says."""
        return Value(self.node(operator, inputs, **attributes)[0], shape, axes, dtype)

    def like(self, operator: str, value: Value, *others: Value | str, dtype: str = "", **attributes: Any) -> Value:
        """Add an operator whose output has the shape and the order of its first input."""
        return self.emit(operator, [value, *others], value.shape, value.axes, dtype or value.dtype, **attributes)

    @property
    def count(self) -> int:
        """How many tensors there are."""
        return len(self._wanted)

    def made_since(self, name: str, count: int) -> bool:
        """Whether a tensor was made after there were ``count`` of them."""
        return int(name[1:]) >= count

    def finish(self, inputs: Sequence[Value], outputs: Sequence[Value]) -> tuple[Any, dict[str, str]]:
        """The ``ModelProto`` of what ``outputs`` need, and the last name of every tensor that is in it."""
        from onnx import helper, numpy_helper

        nodes = self._needed(outputs)
        names = self._last_names(inputs, outputs, nodes)
        stored = [numpy_helper.from_array(values, names[n]) for n, values in self._constants.items() if n in names]
        protos = [
            helper.make_node(
                node.operator, [names[n] for n in node.inputs], [names[n] for n in node.outputs],
                name=names[node.outputs[0]], **node.attributes,
            )
            for node in nodes
        ]  # fmt: skip
        ends = [[_described(value, names[value.name]) for value in side] for side in (inputs, outputs)]
        graph = helper.make_graph(protos, "edge-sdk", *ends, initializer=stored)
        opsets = [helper.make_opsetid("", self.opset)]
        version = helper.find_min_ir_version_for(opsets)
        return helper.make_model(graph, opset_imports=opsets, ir_version=version, producer_name="edge-sdk"), names

    def _needed(self, outputs: Sequence[Value]) -> list[Node]:
        wanted, kept = {value.name for value in outputs}, []
        for node in reversed(self._nodes):
            if not wanted.isdisjoint(node.outputs):
                wanted.update(node.inputs)
                kept.append(node)
        return kept[::-1]

    def _last_names(self, inputs: Sequence[Value], outputs: Sequence[Value], nodes: list[Node]) -> dict[str, str]:
        """Every name once; inputs and outputs come first, and get the names that they want."""
        ends = [value.name for value in (*inputs, *outputs)]
        inner = [name for node in nodes for name in (*node.outputs, *node.inputs)]
        names, taken = {"": ""}, {""}
        for name in dict.fromkeys([*ends, *inner]):
            if name:
                wanted, number = self._wanted[name], 1
                last = wanted
                while last in taken:
                    last, number = f"{wanted}_{number}", number + 1
                taken.add(last)
                names[name] = last
        return names


def data_type(dtype: str) -> int:
    """ONNX's number of a NumPy type."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _described(value: Value, name: str) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, data_type(value.dtype), value.stored)
