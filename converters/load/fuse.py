"""Fusing: an activation that stands alone becomes part of the operator before it, as TensorFlow Lite means it.

What is computed stays the same. The int8 model gains twice: the values in between need no range of their own, so that all 256 steps
serve what is kept, and optimised kernels exist for the fused form only.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from converters.graph import main_graph, operator_name, schema

_ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1")  # the names are the same in ActivationFunctionType
_TAKE_THEM = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D")


def fuse_activations(model: Any) -> int:
    """Fuse in place; returns how many activations were fused. Tensors that fell away are left for ``compact``."""
    graph = main_graph(model)
    readers = Counter(int(i) for operator in graph.operators for i in operator.inputs)
    readers.update(int(i) for i in graph.outputs)
    makers: dict[int, Any] = {}
    kept = []
    for operator in graph.operators:
        name = operator_name(model, operator)
        source = int(operator.inputs[0]) if len(operator.inputs) else -1
        maker = makers.get(source)
        if name in _ACTIVATIONS and maker is not None and readers[source] == 1 and _is_free(model, maker):
            maker.builtinOptions.fusedActivationFunction = getattr(schema().ActivationFunctionType, name)
            maker.outputs = operator.outputs
            makers[int(operator.outputs[0])] = maker
            continue
        kept.append(operator)
        makers.update((int(i), operator) for i in operator.outputs)
    fused = len(graph.operators) - len(kept)
    graph.operators = kept
    return fused


def _is_free(model: Any, operator: Any) -> bool:
    if operator_name(model, operator) not in _TAKE_THEM or operator.builtinOptions is None:
        return False
    return bool(operator.builtinOptions.fusedActivationFunction == schema().ActivationFunctionType.NONE)
