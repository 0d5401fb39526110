"""Builds the model whose WHILE loop never ends, shipped as edge_sdk/engines/endless.tflite: run this file to write it anew."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as s


def _tensor(name: str, kind: int) -> s.TensorT:
    tensor = s.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name, kind, [1], 0
    return tensor


def _operator(code: int, inputs: list[int], outputs: list[int], kind: int, options: object) -> s.OperatorT:
    operator = s.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    return operator


def _graph(
    name: str, tensors: list[s.TensorT], inputs: list[int], outputs: list[int], operator: s.OperatorT
) -> s.SubGraphT:
    graph = s.SubGraphT()
    graph.name, graph.tensors, graph.inputs, graph.outputs, graph.operators = name, tensors, inputs, outputs, [operator]
    return graph


def endless_model() -> bytes:
    """while equal(x, x): x = x + x"""
    number, boolean = s.TensorType.INT32, s.TensorType.BOOL
    loop = s.WhileOptionsT()
    loop.condSubgraphIndex, loop.bodySubgraphIndex = 1, 2
    codes = []
    for builtin in (s.BuiltinOperator.WHILE, s.BuiltinOperator.EQUAL, s.BuiltinOperator.ADD):
        code = s.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        codes.append(code)
    model = s.ModelT()
    model.version, model.operatorCodes, model.buffers = 3, codes, [s.BufferT()]
    model.description = "a loop that never ends: a native hang on any machine"
    model.subgraphs = [
        _graph("main", [_tensor("x", number), _tensor("y", number)], [0], [1],
               _operator(0, [0], [1], s.BuiltinOptions.WhileOptions, loop)),
        _graph("condition", [_tensor("x", number), _tensor("true", boolean)], [0], [1],
               _operator(1, [0, 0], [1], s.BuiltinOptions.EqualOptions, s.EqualOptionsT())),
        _graph("body", [_tensor("x", number), _tensor("y", number)], [0], [1],
               _operator(2, [0, 0], [1], s.BuiltinOptions.AddOptions, s.AddOptionsT())),
    ]  # fmt: skip
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "edge_sdk/engines/endless.tflite"
    target.write_bytes(endless_model())
