"""The .tflite graph under construction: tensors, operators, and the model in the end.

What nothing reads falls away when the model is made, so a fused form may be built beside what it replaces; and constants are
read only then, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from converters.graph import compact, schema, set_constant
from converters.load.fuse import fuse_activations
from converters.load.onnx.tidy import merge_into_reductions, merge_reshapes
from converters.load.onnx.values import Value
from converters.versions import set_versions
from edge_sdk.tensors import Array

_OPTIONS = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "TRANSPOSE_CONV": "TransposeConv",
    "FULLY_CONNECTED": "FullyConnected",
    "BATCH_MATMUL": "BatchMatMul",
    "AVERAGE_POOL_2D": "Pool2D",
    "MAX_POOL_2D": "Pool2D",
    "MEAN": "Reducer",
    "SUM": "Reducer",
    "REDUCE_MAX": "Reducer",
    "REDUCE_MIN": "Reducer",
    "REDUCE_PROD": "Reducer",
    "SOFTMAX": "Softmax",
    "LEAKY_RELU": "LeakyRelu",
    "RESIZE_BILINEAR": "ResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor",
    "CONCATENATION": "Concatenation",
    "SPLIT_V": "SplitV",
    "SPLIT": "Split",
    "STRIDED_SLICE": "StridedSlice",
    "GATHER": "Gather",
    "RESHAPE": "Reshape",
    "DEPTH_TO_SPACE": "DepthToSpace",
    "SPACE_TO_DEPTH": "SpaceToDepth",
    "ARG_MAX": "ArgMax",
    "ARG_MIN": "ArgMin",
    "CAST": "Cast",
    "MIRROR_PAD": "MirrorPad",
    "GELU": "Gelu",
    "ADD": "Add",
    "SUB": "Sub",
    "MUL": "Mul",
    "DIV": "Div",
    "CUMSUM": "Cumsum",
    "UNPACK": "Unpack",
    "ABS": "Abs",
    "NEG": "Neg",
    "EXP": "Exp",
    "SQUARE": "Square",
    "POW": "Pow",
    "MAXIMUM": "MaximumMinimum",
    "MINIMUM": "MaximumMinimum",
    "PAD": "Pad",
    "PADV2": "PadV2",
    "TILE": "Tile",
    "TRANSPOSE": "Transpose",
    "SLICE": "Slice",
    "TOPK_V2": "TopKV2",
    "COS": "Cos",
    "LOG_SOFTMAX": "LogSoftmax",
    "HARD_SWISH": "HardSwish",
    "SELECT_V2": "SelectV2",
    "LOGICAL_AND": "LogicalAnd",
    "SIGN": "Sign",
    "LOGICAL_OR": "LogicalOr",
    "LOGICAL_NOT": "LogicalNot",
    "EQUAL": "Equal",
    "NOT_EQUAL": "NotEqual",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterEqual",
    "LESS": "Less",
    "LESS_EQUAL": "LessEqual",
    "FLOOR_MOD": "FloorMod",
    "FLOOR_DIV": "FloorDiv",
    "SQUARED_DIFFERENCE": "SquaredDifference",
    "REVERSE_V2": "ReverseV2",
    "L2_NORMALIZATION": "L2Norm",
    "REDUCE_ANY": "Reducer",
    "REDUCE_ALL": "Reducer",
    "LOCAL_RESPONSE_NORMALIZATION": "LocalResponseNormalization",
}  # fmt: skip - without options: RELU, RELU6, LOGISTIC, ... : the schema has none for them

Inputs = Sequence[Value | int] | Sequence[Value] | Sequence[int]
"""What an operator takes: values, and .tflite tensors by their place."""


class Builder:
    """A .tflite graph under construction.

    Attributes:
        scope: name of the ONNX tensor being made, which begins the names of new tensors.
        reshaped_from: of a tensor that a RESHAPE made, the tensor before it and that one's shape.
    """

    def __init__(self) -> None:
        self.scope = ""
        self.reshaped_from: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._tensors: list[Any] = []
        self._operators: list[tuple[str, Any]] = []
        self._constants: dict[int, Callable[[], Array]] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str) -> int:
        """Add a tensor that is computed or given."""
        tensor = schema().TensorT()
        tensor.name, tensor.buffer = name, 0
        tensor.type = getattr(schema().TensorType, dtype.upper())
        tensor.shape = np.array(shape, np.int32)
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, values: Array | Callable[[], Array], what: str = "constant") -> int:
        """Add a constant; one that is large comes as a function, which is called when the model is made."""
        if callable(values):
            index = self._new(what, (), "float32")
            self._constants[index] = values
            return index
        key = (values.dtype.name, values.shape, values.tobytes())
        if key not in self._known:
            self._known[key] = self._new(what, values.shape, values.dtype.name)
            self._constants[self._known[key]] = lambda: values
        return self._known[key]

    def integers(self, values: Sequence[int] | int) -> int:
        """Add an int32 constant, such as axes or a shape."""
        return self.constant(np.array(values, np.int32), "integers")

    def operator(self, name: str, inputs: Inputs, outputs: Sequence[int], **options: Any) -> None:
        """Add an operator; ``options`` are the fields of its options in the schema."""
        operator = schema().OperatorT()
        operator.inputs = np.array([_index(entry) for entry in inputs], np.int32)
        operator.outputs = np.array(outputs, np.int32)
        if name in _OPTIONS:
            kind = f"{_OPTIONS[name]}Options"
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema(), f"{kind}T")()
            for field, value in options.items():
                setattr(operator.builtinOptions, field, value)
        self._operators.append((name, operator))

    def emit(
        self,
        name: str,
        inputs: Inputs,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        dtype: str = "float32",
        **options: Any,
    ) -> Value:
        """Add an operator of one output, which has ``shape`` in ONNX's order and lies as ``axes`` says."""
        stored = tuple(shape[axis] for axis in axes)
        output = self._new(name, stored, dtype)
        self.operator(name, inputs, [output], **options)
        return Value(output, shape, axes, dtype)

    def rename(self, tensor: int, name: str) -> None:
        """Call a tensor ``name``."""
        self._tensors[tensor].name = name

    @property
    def count(self) -> int:
        """How many tensors there are."""
        return len(self._tensors)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        """The ``ModelT`` of what ``outputs`` need."""
        model = schema().ModelT()
        model.version, model.description, model.buffers = 3, "edge-sdk", [schema().BufferT()]
        graph = schema().SubGraphT()
        graph.tensors, graph.inputs, graph.outputs = (
            self._tensors,
            np.array(inputs, np.int32),
            np.array(outputs, np.int32),
        )
        model.subgraphs, model.operatorCodes = [graph], []
        graph.operators = self._with_codes(model, self._needed(outputs))
        for operator in graph.operators:
            for index in operator.inputs:
                if (load := self._constants.pop(int(index), None)) is not None:
                    set_constant(model, self._tensors[index], load())
        merge_reshapes(model)
        merge_into_reductions(model)
        fuse_activations(model)
        set_versions(model)
        compact(model)
        return model

    def _new(self, what: str, shape: tuple[int, ...], dtype: str) -> int:
        return self.tensor(f"{self.scope}/{what.lower()}_{len(self._tensors)}", shape, dtype)

    def _needed(self, outputs: Sequence[int]) -> list[tuple[str, Any]]:
        wanted, kept = {int(i) for i in outputs}, []
        for name, operator in reversed(self._operators):
            if wanted.intersection(operator.outputs.tolist()):
                wanted.update(operator.inputs.tolist())
                kept.append((name, operator))
        return kept[::-1]

    def _with_codes(self, model: Any, operators: list[tuple[str, Any]]) -> list[Any]:
        for name, operator in operators:
            operator.opcodeIndex = len(model.operatorCodes)
            code = schema().OperatorCodeT()
            code.builtinCode = getattr(schema().BuiltinOperator, name)
            code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
            model.operatorCodes.append(code)
        return [operator for _, operator in operators]


def _index(entry: Value | int) -> int:
    return entry.tensor if isinstance(entry, Value) else entry
