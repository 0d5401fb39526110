"""Folding: whatever does not depend on the input is computed once and stored as a constant.

That covers float16 weights behind DEQUANTIZE, sparse weights behind DENSIFY, and the SHAPE arithmetic of a model whose batch is fixed.
The interpreter itself computes the values, so they are those that the float model ran with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.graph import compact, constant_of, is_constant, main_graph, operator_name, set_constant, text, type_name
from converters.interpreter import open_interpreter
from edge_sdk.errors import ModelError

_OF_SHAPE = ("SHAPE", "RANK")  # constant wherever shapes are fixed
_NEVER = ("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL")


def fold(model: Any, content: bytes) -> int:
    """Fold constants and write the interpreter's shapes into ``model``, in place.

    Args:
        model: the graph.
        content: the same graph as a file, known to run.

    Returns:
        How many float16 constants became float32.

    Raises:
        ModelError: if an output does not depend on the input, or the interpreter fails.
    """
    graph = main_graph(model)
    interpreter = open_interpreter(content, optimised=False)
    try:
        interpreter.invoke()
    except (ValueError, RuntimeError) as exc:
        raise ModelError(f"the float model does not run: {exc}") from exc
    for details in interpreter.get_tensor_details()[: len(graph.tensors)]:
        tensor = graph.tensors[details["index"]]
        tensor.shape, tensor.shapeSignature = np.array(details["shape"], np.int32), None
    kept, halves = [], 0
    for operator in graph.operators:
        if not _foldable(model, operator):
            kept.append(operator)
            continue
        halves += sum(type_name(graph.tensors[i]) == "FLOAT16" for i in operator.inputs if i >= 0)
        for index in operator.outputs:
            set_constant(model, graph.tensors[index], interpreter.get_tensor(int(index)))
            graph.tensors[index].sparsity = None
    graph.operators = kept
    for index in graph.outputs:
        if is_constant(model, graph.tensors[index]):
            raise ModelError(
                f"output {text(graph.tensors[index].name)!r} does not depend on the input: it is a constant"
            )
    compact(model)  # what fell away must not be refused
    _refuse_unfolded(model)
    _refuse_nan(model)
    return halves


def _foldable(model: Any, operator: Any) -> bool:
    name = operator_name(model, operator)
    if name in _NEVER:
        return False
    tensors = main_graph(model).tensors
    inputs = [tensors[i] for i in operator.inputs if i >= 0]
    return name in _OF_SHAPE or (bool(inputs) and all(is_constant(model, tensor) for tensor in inputs))


def _refuse_nan(model: Any) -> None:
    for tensor in main_graph(model).tensors:
        values = constant_of(model, tensor) if type_name(tensor) == "FLOAT32" else None
        if values is not None and np.isnan(values.min(initial=0)):  # NaN wins; no array as large as the weights is made
            count = int(np.isnan(values).sum())
            raise ModelError(
                f"{count} of {values.size} numbers of constant {text(tensor.name)!r} are NaN: the training diverged, or the file is "
                "damaged. Give a model whose weights are numbers"
            )


def _refuse_unfolded(model: Any) -> None:
    for tensor in main_graph(model).tensors:
        if tensor.sparsity is not None:
            raise ModelError(f"constant {text(tensor.name)!r} is stored sparse; export the model with dense weights")
        if tensor.isVariable:
            raise ModelError(
                f"tensor {text(tensor.name)!r} keeps state between calls, which this version cannot convert"
            )
        if type_name(tensor) == "FLOAT16":
            raise ModelError(f"tensor {text(tensor.name)!r} is float16; export the model with float32 weights")
