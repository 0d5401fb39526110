"""Small things about ONNX nodes and constants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_sdk.tensors import Array


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """An attribute's value, or what holds where it is not stated."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def constants(model: ModelProto) -> dict[str, Array]:
    """The initializers as arrays, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def put_constant(model: ModelProto, name: str, values: Array) -> None:
    """Add an initializer, or replace the one of this name."""
    made: TensorProto = numpy_helper.from_array(values, name)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(made)
            return
    model.graph.initializer.append(made)


def names_read(nodes: Iterable[NodeProto]) -> set[str]:
    """Names of all tensors that nodes read, those read in graphs of their own (Scan, Loop, If) included."""
    found = set[str]()
    for node in nodes:
        found.update(filter(None, node.input))
        for each in node.attribute:
            for graph in (each.g, *each.graphs):
                found |= names_read(graph.node)
    return found


def drop_unused(model: ModelProto) -> None:
    """Take out the initializers that no node reads."""
    used = names_read(model.graph.node)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def name_nodes(model: ModelProto) -> None:
    """Give every node a name of its own."""
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)
