"""Rewiring a float graph: who makes and reads a tensor, new tensors and operators, and the way back to a file."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import numpy as np

from converters.graph import compact, main_graph, operator_name, schema, set_constant, text, write_graph
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array


class CannotRepairError(ModelError):
    """A repair does not apply to this model; the message says why. The model is as good or bad as before."""


def makers(model: Any) -> dict[int, Any]:
    """The operator that makes each tensor, by the tensor's index."""
    return {int(i): operator for operator in main_graph(model).operators for i in operator.outputs}


def readers(model: Any) -> dict[int, list[Any]]:
    """The operators that read each tensor, by the tensor's index; one that reads it twice stands twice."""
    found: dict[int, list[Any]] = defaultdict(list)
    for operator in main_graph(model).operators:
        for index in operator.inputs:
            if index >= 0:
                found[int(index)].append(operator)
    return found


def add_tensor(model: Any, name: str, shape: tuple[int, ...]) -> int:
    """A float32 tensor that an operator will make; the name gets a number if it is taken."""
    tensor = schema().TensorT()
    tensor.name, tensor.shape = free_name(model, name), np.array(shape, np.int32)
    tensor.type, tensor.buffer = schema().TensorType.FLOAT32, 0
    main_graph(model).tensors.append(tensor)
    return len(main_graph(model).tensors) - 1


def add_constant(model: Any, name: str, values: Array) -> int:
    """A constant of these values."""
    index = add_tensor(model, name, values.shape)
    set_constant(model, main_graph(model).tensors[index], values)
    return index


def free_name(model: Any, wanted: str) -> str:
    """``wanted``, or the same with the lowest number that makes it unique among the tensors."""
    taken = {text(tensor.name) for tensor in main_graph(model).tensors}
    name, number = wanted, 1
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def copied(operator: Any, inputs: list[int], outputs: list[int]) -> Any:
    """The same operator on other tensors."""
    new = copy.copy(operator)
    new.builtinOptions = copy.copy(operator.builtinOptions)
    new.inputs, new.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return new


def has_activation(operator: Any, *allowed: str) -> bool:
    """Whether the operator's fused activation is NONE or one of those allowed."""
    kinds = schema().ActivationFunctionType
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", kinds.NONE)
    return fused in (kinds.NONE, *(getattr(kinds, name) for name in allowed))


def find_output(model: Any, name: str) -> int:
    """Index of the output of this name.

    Raises:
        CannotRepairError: if there is none.
    """
    graph = main_graph(model)
    for index in graph.outputs:
        if text(graph.tensors[index].name) == name:
            return int(index)
    raise CannotRepairError(f"the model has no output {name!r}")


def replace_output(model: Any, old: int, new: list[int]) -> None:
    """Let the tensors ``new`` stand where the output ``old`` stood."""
    graph = main_graph(model)
    outputs = [int(i) for i in graph.outputs]
    place = outputs.index(old)
    graph.outputs = np.array([*outputs[:place], *new, *outputs[place + 1 :]], np.int32)


def finish(model: Any) -> bytes:
    """Drop what nothing needs any more, state the signature again, and write the file."""
    graph = main_graph(model)
    needed, kept = {int(i) for i in graph.outputs}, []
    for operator in reversed(graph.operators):
        if needed.intersection(int(i) for i in operator.outputs):
            needed.update(int(i) for i in operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]
    for signature in model.signatureDefs or ():
        signature.inputs = [_entry(graph, index) for index in graph.inputs]
        signature.outputs = [_entry(graph, index) for index in graph.outputs]
    compact(model)
    return write_graph(model)


def _entry(graph: Any, index: int) -> Any:
    entry = schema().TensorMapT()
    entry.name, entry.tensorIndex = text(graph.tensors[index].name), int(index)
    return entry


def label(model: Any, operator: Any) -> str:
    """Such as ``CONV_2D 'block_3/conv'``, by the name of its first output."""
    return f"{operator_name(model, operator)} {text(main_graph(model).tensors[operator.outputs[0]].name)!r}"
