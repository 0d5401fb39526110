"""Tiny .tflite models, built table by table: one operator, a small net, and the broken kinds."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


class TinyModel:
    """A model under construction; tensors are numbered as they are added."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.operatorCodes, self.model.subgraphs = [], []
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs.append(self.graph)

    def tensor(
        self, name: str, shape: tuple[int, ...], data: Any = None, dtype: str = "FLOAT32", signature: Any = None
    ) -> int:
        """Add a tensor; with ``data`` it is a constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, np.array(shape, np.int32)
        tensor.type = getattr(schema.TensorType, dtype)
        tensor.buffer = 0
        if signature is not None:
            tensor.shapeSignature = np.array(signature, np.int32)
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, data: Any) -> int:
        """Add a constant of the array's own shape and type."""
        data = np.asarray(data)
        return self.tensor(name, data.shape, data, dtype=data.dtype.name.upper())

    def operator(self, name: str, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        """Add an operator; a name that is no built-in is a custom one. ``options`` is a ``...OptionsT``."""
        code = schema.OperatorCodeT()
        builtin = getattr(schema.BuiltinOperator, name, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        if builtin == schema.BuiltinOperator.CUSTOM:
            code.customCode = name
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def build(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The file, without a signature, as old converters wrote it."""
        self.graph.inputs, self.graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def options(kind: str, **fields: Any) -> Any:
    """Options such as ``options("Conv2D", strideW=1)``."""
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


def conv_options(**fields: Any) -> Any:
    """A convolution that keeps the size."""
    wanted = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, **fields}
    return options("Conv2D", padding=schema.Padding.SAME, **wanted)


def image_net(*, classes: int = 4, size: int = 16, seed: int = 0) -> bytes:
    """Image (1, size, size, 3) -> convolution -> ReLU -> mean -> dense -> softmax, with weights of a fixed seed."""
    rng = np.random.default_rng(seed)
    net = TinyModel()
    image = net.tensor("image", (1, size, size, 3))
    kernel = net.constant("kernel", rng.normal(0, 0.5, (8, 3, 3, 3)).astype(np.float32))
    bias = net.constant("bias", rng.normal(0, 0.1, 8).astype(np.float32))
    features, active = net.tensor("features", (1, size, size, 8)), net.tensor("active", (1, size, size, 8))
    net.operator("CONV_2D", [image, kernel, bias], [features], conv_options())
    net.operator("RELU", [features], [active])
    axes, pooled = net.constant("axes", np.array([1, 2], np.int32)), net.tensor("pooled", (1, 8))
    net.operator("MEAN", [active, axes], [pooled], options("Reducer", keepDims=False))
    weights = net.constant("weights", rng.normal(0, 2, (classes, 8)).astype(np.float32))
    offsets = net.constant("offsets", np.zeros(classes, np.float32))
    logits, scores = net.tensor("logits", (1, classes)), net.tensor("scores", (1, classes))
    net.operator("FULLY_CONNECTED", [pooled, weights, offsets], [logits], options("FullyConnected"))
    net.operator("SOFTMAX", [logits], [scores], options("Softmax", beta=1.0))
    return net.build([image], [scores])


def between_convolutions(
    name: str,
    *,
    shape: tuple[int, ...] = (1, 4, 4, 8),
    output_shape: tuple[int, ...] | None = None,
    constants: tuple[Any, ...] = (),
    op_options: Any = None,
    twice: bool = False,
    output_dtype: str = "FLOAT32",
) -> bytes:
    """Input -> 1x1 convolution -> the operator (-> 1x1 convolution where its output is float and has four axes).

    Args:
        name: of the operator.
        shape: of the input and of the convolution's output.
        output_shape: of the operator's output; default ``shape``.
        constants: further inputs of the operator.
        op_options: of the operator.
        twice: the operator takes the convolution's output as its second input too.
        output_dtype: of the operator's output.
    """
    rng = np.random.default_rng(1)
    net = TinyModel()
    entry, before = net.tensor("input", shape), net.tensor("before", shape)
    channels = shape[-1]
    kernel = net.constant("kernel", rng.normal(0, 0.5, (channels, 1, 1, channels)).astype(np.float32))
    bias = net.constant("bias", np.zeros(channels, np.float32))
    net.operator("CONV_2D", [entry, kernel, bias], [before], conv_options())
    after = net.tensor("after", output_shape or shape, dtype=output_dtype)
    inputs = [before, *([entry] if twice else []), *(net.constant(f"c{i}", c) for i, c in enumerate(constants))]
    net.operator(name, inputs, [after], op_options)
    if output_dtype != "FLOAT32" or len(output_shape or shape) != 4:
        return net.build([entry], [after])
    wide = (output_shape or shape)[-1]
    last_kernel = net.constant("last_kernel", rng.normal(0, 0.5, (2, 1, 1, wide)).astype(np.float32))
    last_bias = net.constant("last_bias", np.zeros(2, np.float32))
    last = net.tensor("last", (*(output_shape or shape)[:3], 2))
    net.operator("CONV_2D", [after, last_kernel, last_bias], [last], conv_options())
    return net.build([entry], [last])
