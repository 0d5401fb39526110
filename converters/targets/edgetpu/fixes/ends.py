"""The ends of a model: fixed shapes, and integers going in and coming out. Each gives the new model and what was done, or ""."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.graph import main_graph, operator_name, read_graph, shape_of, text, type_name
from converters.load.fold import fold
from converters.repair.rewiring import finish, makers, readers


def static_shapes(content: bytes) -> tuple[bytes, str]:
    """Fix what the model leaves open, such as the batch, at what stands in the file (1 for most), and fold what depends on shapes alone.

    Raises:
        ModelError: if the model does not run with these shapes.
    """
    model = read_graph(content)
    graph = main_graph(model)
    ends = [graph.tensors[i] for i in graph.inputs]
    if not any(-1 in _signature(tensor) for tensor in graph.tensors) or len(model.subgraphs) > 1:
        return content, ""
    fold(model, content)
    found = ", ".join(f"{text(tensor.name)!r} {list(shape_of(tensor))}" for tensor in ends)
    return finish(model), f"its shapes are fixed: {found}"


def integer_ends(content: bytes) -> tuple[bytes, str]:
    """Take integers where the model takes float numbers only to quantize them, and give integers where it only dequantizes."""
    model = read_graph(content)
    graph = main_graph(model)
    if len(model.subgraphs) > 1:
        return content, ""
    made_by, read_by = makers(model), readers(model)
    done = []
    for place, index in enumerate(map(int, graph.inputs)):
        taken = read_by[index]
        if type_name(graph.tensors[index]) == "FLOAT32" and _all(model, taken, "QUANTIZE", 1):
            graph.inputs = _put(graph.inputs, place, int(taken[0].outputs[0]))
            done.append(f"input {text(graph.tensors[index].name)!r}")
    for place, index in enumerate(map(int, graph.outputs)):
        maker = made_by.get(index)
        if maker is not None and _all(model, [maker], "DEQUANTIZE", 1) and not read_by[index]:
            entry = int(maker.inputs[0])
            if entry in map(int, graph.outputs) or type_name(graph.tensors[entry]) not in ("INT8", "UINT8"):
                continue
            graph.outputs = _put(graph.outputs, place, entry)
            done.append(f"output {text(graph.tensors[index].name)!r}")
    if not done:
        return content, ""
    graph.operators = [o for o in graph.operators if not set(map(int, o.outputs)) <= set(map(int, graph.inputs))]
    return finish(model), f"{', '.join(done)}: integers, quantized before and dequantized behind by who calls it"


def _signature(tensor: Any) -> list[int]:
    return [] if tensor.shapeSignature is None else [int(n) for n in tensor.shapeSignature]


def _all(model: Any, operators: list[Any], name: str, count: int) -> bool:
    return len(operators) == count and all(operator_name(model, operator) == name for operator in operators)


def _put(indices: Any, place: int, index: int) -> Any:
    new = np.array(indices, np.int32)
    new[place] = index
    return new
