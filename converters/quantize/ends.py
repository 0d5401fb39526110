"""The ends of a quantized graph: uint8 inputs and outputs where the recipe asks for them, and the float model's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.graph import main_graph, schema, text, type_name
from converters.quantize.assembly import operator_code
from converters.quantize.quantization import Quantization


def make_ends_uint8(model: Any) -> None:
    """Put a QUANTIZE at every int8 input and output, in place: uint8 stores what int8 does, plus 128."""
    graph = main_graph(model)
    operators = graph.operators
    graph.inputs = np.array([_uint8_of(model, int(i), operators, before=True) for i in graph.inputs], np.int32)
    graph.outputs = np.array([_uint8_of(model, int(i), operators, before=False) for i in graph.outputs], np.int32)


def _uint8_of(model: Any, index: int, operators: list[Any], *, before: bool) -> int:
    tensors = main_graph(model).tensors
    inner = tensors[index]
    if type_name(inner) != "INT8":
        return index
    found = Quantization.of(inner, "int8")
    outer = schema().TensorT()
    outer.name, outer.shape, outer.buffer = f"{text(inner.name)}_as_uint8", inner.shape, 0
    Quantization("uint8", found.scale, found.zero_point + 128).put(outer)
    tensors.append(outer)
    new = len(tensors) - 1
    step = schema().OperatorT()
    step.opcodeIndex = operator_code(model, "QUANTIZE")
    step.inputs, step.outputs = (np.array([place], np.int32) for place in ((new, index) if before else (index, new)))
    operators.insert(0 if before else len(operators), step)
    return new


def end_names(model: Any) -> tuple[list[str], list[str]]:
    """The names of the inputs and of the outputs."""
    graph = main_graph(model)
    inputs, outputs = ([text(graph.tensors[i].name) for i in places] for places in (graph.inputs, graph.outputs))
    return inputs, outputs


def name_ends(model: Any, names: tuple[list[str], list[str]]) -> None:
    """Call inputs and outputs so, in place, and let the signature point at them."""
    graph = main_graph(model)
    for places, wanted in zip((graph.inputs, graph.outputs), names, strict=True):
        for place, name in zip(places, wanted, strict=True):
            for tensor in graph.tensors:
                if text(tensor.name) == name and tensor is not graph.tensors[place]:
                    tensor.name = f"{name}_inner"
            graph.tensors[place].name = name
    for signature in model.signatureDefs or ():
        for entries, indices in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs)):
            for entry, index in zip(entries, indices, strict=True):
                entry.tensorIndex = int(index)
