"""Tidying the finished .tflite graph: RESHAPEs that came of the translation and that nothing needs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from converters.graph import operator_name, shape_of

_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")


def merge_reshapes(model: Any) -> None:
    """Of RESHAPEs in a row only the last counts."""
    graph = model.subgraphs[0]
    makers = {int(i): operator for operator in graph.operators for i in operator.outputs}
    readers = Counter(int(i) for operator in graph.operators for i in operator.inputs)
    readers.update(int(i) for i in graph.outputs)
    gone: set[int] = set()
    for operator in graph.operators:
        if operator_name(model, operator) != "RESHAPE":
            continue
        while (maker := makers.get(int(operator.inputs[0]))) and operator_name(model, maker) == "RESHAPE":
            if readers[int(operator.inputs[0])] > 1:
                readers[int(operator.inputs[0])] -= 1
                readers[int(maker.inputs[0])] += 1
            else:
                gone.add(id(maker))
            operator.inputs[0] = maker.inputs[0]
    graph.operators = [operator for operator in graph.operators if id(operator) not in gone]
    _drop_idle(model)


def _drop_idle(model: Any) -> None:
    """RESHAPEs to the shape that is there already, unless they make an output."""
    graph, kept = model.subgraphs[0], []
    alias: dict[int, int] = {}
    ends = {int(i) for i in graph.outputs}
    for operator in graph.operators:
        operator.inputs = np.array([alias.get(int(i), int(i)) for i in operator.inputs], np.int32)
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        idle = operator_name(model, operator) == "RESHAPE" and target not in ends
        if idle and shape_of(graph.tensors[source]) == shape_of(graph.tensors[target]):
            alias[target] = source
        else:
            kept.append(operator)
    graph.operators = kept


def merge_into_reductions(model: Any) -> None:
    """A reduction drops its axes itself, without a RESHAPE behind it."""
    graph, kept = model.subgraphs[0], []
    makers = {int(i): operator for operator in graph.operators for i in operator.outputs}
    readers = Counter(int(i) for operator in graph.operators for i in operator.inputs)
    readers.update(int(i) for i in graph.outputs)
    for operator in graph.operators:
        maker = makers.get(int(operator.inputs[0]))
        lone = readers[int(operator.inputs[0])] == 1 and operator_name(model, operator) == "RESHAPE"
        if maker is not None and lone and _only_drops(model, maker, operator):
            maker.builtinOptions.keepDims, maker.outputs = False, operator.outputs
        else:
            kept.append(operator)
    graph.operators = kept


def _only_drops(model: Any, maker: Any, reshape: Any) -> bool:
    if operator_name(model, maker) not in _REDUCTIONS or not maker.builtinOptions.keepDims:
        return False
    tensors = model.subgraphs[0].tensors
    dropped = set(model.buffers[tensors[maker.inputs[1]].buffer].data.view(np.int32).tolist())
    before = shape_of(tensors[maker.outputs[0]])
    return shape_of(tensors[reshape.outputs[0]]) == tuple(n for axis, n in enumerate(before) if axis not in dropped)
