"""Tiny models that keep something from one run to the next."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.tiny_models import TinyModel, options

FIRST = 5  # what the variable holds before the first run; 0 would not tell it from memory that was cleared


def sum_model(*, dtype: str = "INT8", first: float = FIRST, scale: float = 1.0) -> bytes:
    """total = total + input, of shape (1, 4), full-integer, with the variable as converters write those of streaming models.

    The output is the total, which begins at ``first``.
    """
    net = TinyModel()
    main, start = net.graph, schema.SubGraphT()
    start.name, start.tensors, start.operators = "start", [], []
    start.inputs, start.outputs = np.array([], np.int32), np.array([], np.int32)
    net.model.subgraphs.append(start)
    net.operator("CALL_ONCE", [], [], options("CallOnce", initSubgraphIndex=1))
    handle, entry = net.tensor("handle", (), dtype="RESOURCE"), net.tensor("input", (1, 4), dtype=dtype)
    before, after = (net.tensor(name, (1, 4), dtype=dtype) for name in ("before", "after"))
    net.operator("VAR_HANDLE", [], [handle], _named("total"))
    net.operator("READ_VARIABLE", [handle], [before], options("ReadVariable"))
    net.operator("ADD", [before, entry], [after], options("Add"))
    net.operator("ASSIGN_VARIABLE", [handle, after], [], options("AssignVariable"))
    net.graph = start
    handle = net.tensor("handle", (), dtype="RESOURCE")
    begin = net.tensor("first", (1, 4), np.full((1, 4), first, getattr(np, dtype.lower())), dtype=dtype)
    net.operator("VAR_HANDLE", [], [handle], _named("total"))
    net.operator("ASSIGN_VARIABLE", [handle, begin], [], options("AssignVariable"))
    net.graph = main
    for graph in net.model.subgraphs if dtype == "INT8" else ():
        for tensor in graph.tensors:
            if tensor.type == schema.TensorType.INT8:
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale = np.array([scale], np.float32)
                tensor.quantization.zeroPoint = np.array([0], np.int64)
    return net.build([entry], [after])


def sequence_model() -> bytes:
    """A recurrent layer over 3 steps of 2 numbers, with 4 units: state = tanh(input . weights + state)."""
    net = TinyModel()
    entry, last = net.tensor("input", (1, 3, 2)), net.tensor("last", (1, 3, 4))
    weights = net.constant("weights", np.linspace(-0.5, 0.5, 8, dtype=np.float32).reshape(4, 2))
    recurrent = net.constant("recurrent", np.eye(4, dtype=np.float32))
    bias, state = net.constant("bias", np.zeros(4, np.float32)), net.tensor("state", (1, 4))
    net.graph.tensors[state].isVariable = True
    tanh = schema.ActivationFunctionType.TANH
    chosen = options("SequenceRNN", fusedActivationFunction=tanh)
    net.operator("UNIDIRECTIONAL_SEQUENCE_RNN", [entry, weights, recurrent, bias, state], [last], chosen)
    return net.build([entry], [last])


def _named(name: str) -> schema.VarHandleOptionsT:
    return options("VarHandle", sharedName=name, container="")
