"""What this machine can do: measured here, as data sheets state peaks that no program reaches."""

from __future__ import annotations

from math import prod
from time import perf_counter
from typing import Any

import numpy as np

from edge_sdk.engines.litert import find_interpreter, quiet_native_stderr
from edge_sdk.errors import MissingPackageError
from edge_sdk.profiling.figures import Roof

_MOVED_BYTES, _TRIES = 64 << 20, 5
_SIDE, _CHANNELS = 32, 256  # 67 million multiply-accumulates on 0.5 MB: far to the right of any roof's ridge


def measured_roof(dtype: str) -> Roof:
    """Of one thread, for tensors of this dtype: ``"int8"`` or ``"float32"``.

    The memory's is that of a long copy, which reads and writes. The processor's is what the interpreter reaches on a large 1x1 convolution;
    where there is no interpreter of ai-edge-litert it is not known, and ``origin`` says so.
    """
    gmacs_s, origin = None, f"measured here: a copy of {_MOVED_BYTES >> 20} MB"
    if dtype in ("int8", "float32"):
        try:
            gmacs_s = _gmacs_s(dtype)
            origin += f", and a 1x1 convolution of {_SIDE}x{_SIDE}x{_CHANNELS} in {dtype}"
        except (ImportError, MissingPackageError) as exc:  # of boards with another interpreter, or none
            origin += f"; no convolution, as that needs ai-edge-litert ({exc})"
    return Roof(gmacs_s, _gbytes_s(), f"{origin}; one thread")


def _gbytes_s() -> float:
    source, target = np.ones(_MOVED_BYTES, np.uint8), np.zeros(_MOVED_BYTES, np.uint8)
    return 2 * _MOVED_BYTES / min(_seconds(lambda: np.copyto(target, source)) for _ in range(_TRIES)) * 1e-9


def _gmacs_s(dtype: str) -> float:
    _, module = find_interpreter()
    with quiet_native_stderr():
        interpreter = module.Interpreter(model_content=convolution(dtype), num_threads=1)
        interpreter.allocate_tensors()
    interpreter.invoke()
    macs = _SIDE * _SIDE * _CHANNELS * _CHANNELS
    return macs / min(_seconds(interpreter.invoke) for _ in range(4 * _TRIES)) * 1e-9


def _seconds(step: Any) -> float:
    began = perf_counter()
    step()
    return perf_counter() - began


def convolution(dtype: str) -> bytes:
    """A .tflite model of one 1x1 convolution with weights of ones, in int8 or float32."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, graph.tensors = 3, [schema.BufferT()], []

    def tensor(name: str, shape: tuple[int, ...], type_: str, scale: float, constant: bool = False) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, list(shape), 0
        made.type = getattr(schema.TensorType, type_.upper())
        if dtype == "int8":
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
        if constant:
            buffer = schema.BufferT()
            buffer.data = np.ones(prod(shape), type_).view(np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    image = (1, _SIDE, _SIDE, _CHANNELS)
    inputs = [
        tensor("image", image, dtype, 0.1),
        tensor("weights", (_CHANNELS, 1, 1, _CHANNELS), dtype, 0.01, constant=True),
        tensor("bias", (_CHANNELS,), "int32" if dtype == "int8" else dtype, 0.001, constant=True),
    ]
    output = tensor("out", image, dtype, 1.0)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 3 if dtype == "int8" else 1
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    model.operatorCodes, graph.operators = [code], [operator]
    graph.inputs, graph.outputs = [inputs[0]], [output]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
