"""Means of transposed tensors, as PyTorch's channels-first order makes them, become means over the axes as they lay before.

What is computed stays the same but for the order of summing. The transpose falls away, and compilers for accelerators take the mean: over
height and width, not over what they believe to be the depth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, schema, set_constant, shape_of, text


def untranspose_means(model: Any) -> int:
    """Rewrite in place; returns how many means were rewritten. Transposes that nobody reads any more are left for ``drop_unread``."""
    graph = main_graph(model)
    transposes = {int(o.outputs[0]): o for o in graph.operators if operator_name(model, o) == "TRANSPOSE"}
    rewritten = 0
    for operator in graph.operators:
        maker = transposes.get(int(operator.inputs[0])) if operator_name(model, operator) == "MEAN" else None
        axes = None if maker is None else _axes_before(model, maker, operator)
        if maker is None or axes is None:
            continue
        tensor = schema().TensorT()
        tensor.name = f"{text(graph.tensors[operator.outputs[0]].name)}/axes"
        set_constant(model, tensor, axes)
        graph.tensors.append(tensor)
        operator.inputs = np.array([maker.inputs[0], len(graph.tensors) - 1], np.int32)
        rewritten += 1
    return rewritten


def _axes_before(model: Any, transpose: Any, mean: Any) -> Any:
    """The mean's axes in the transpose's input, (axes,) int32; None where the result would lie in another order."""
    tensors = main_graph(model).tensors
    order, axes = (constant_of(model, tensors[o.inputs[1]]) for o in (transpose, mean))
    if order is None or axes is None or mean.builtinOptions is None or mean.builtinOptions.keepDims:
        return None
    reduced = {int(axis) % order.size for axis in axes.reshape(-1)}
    shape = shape_of(tensors[transpose.outputs[0]])
    left = [int(order[axis]) for axis in range(order.size) if axis not in reduced and shape[axis] != 1]
    if left != sorted(left):
        return None
    return np.array(sorted(int(order[axis]) for axis in reduced), np.int32)
