"""Changing an integer graph: new tensors with the quantization of others, new operators, one operator replaced by several."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, schema, set_constant, shape_of, text
from converters.quantize.assembly import operator_code
from converters.repair.rewiring import free_name
from edge_sdk.tensors import Array

ACTIVATIONS = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}  # fused ones that have an operator, by ActivationFunctionType


class Editor:
    """Edits one graph in place.

    Args:
        model: the graph, of integers.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, main_graph(model)

    def shape(self, index: int) -> tuple[int, ...]:
        """Of a tensor, outermost axis first."""
        return shape_of(self.graph.tensors[index])

    def values(self, index: int) -> Array | None:
        """Of a constant in its stored form; None where the tensor is computed."""
        return constant_of(self.model, self.graph.tensors[index])

    def quantization(self, index: int) -> tuple[float, int] | None:
        """(scale, zero point) of a tensor that has one of each."""
        found = self.graph.tensors[index].quantization
        if found is None or found.scale is None or len(found.scale) != 1:
            return None
        return float(found.scale[0]), int(found.zeroPoint[0]) if found.zeroPoint is not None else 0

    def alike(self, *indices: int) -> bool:
        """Whether all these tensors have one type, scale and zero point."""
        forms = {(self.graph.tensors[i].type, self.quantization(i)) for i in indices}
        return len(forms) == 1 and None not in {quantization for _, quantization in forms}

    def tensor(self, like: int, shape: tuple[int, ...], quantization: tuple[float, int] | None = None) -> int:
        """A tensor that an operator will make: of the type of another one, and of its quantization unless another is given."""
        source = self.graph.tensors[like]
        made = copy.copy(source)
        made.name = free_name(self.model, f"{text(source.name)}/part")
        made.shape, made.shapeSignature, made.buffer = np.array(shape, np.int32), None, 0
        if quantization is not None:
            made.quantization = _quantization(*quantization)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def constant(
        self, name: str, values: Array, *, like: int | None = None, quantization: tuple[float, int] | None = None
    ) -> int:
        """A constant of these stored values, with the quantization of another tensor, one given, or none."""
        made = schema().TensorT()
        made.name = free_name(self.model, name)
        set_constant(self.model, made, values)
        if like is not None:
            made.quantization = self.graph.tensors[like].quantization
        elif quantization is not None:
            made.quantization = _quantization(*quantization)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def numbers(self, name: str, numbers: Any) -> int:
        """A constant of int32, such as a shape or axes."""
        return self.constant(name, np.array(numbers, np.int32))

    def operator(self, name: str, inputs: list[int], outputs: list[int], **options: Any) -> Any:
        """A built-in operator; ``options`` are those of its table, such as ``axis=3`` of ``ConcatenationOptions``."""
        made = schema().OperatorT()
        made.opcodeIndex = operator_code(self.model, name)
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        table = _TABLES.get(name)
        if table is not None:
            made.builtinOptionsType = getattr(schema().BuiltinOptions, table)
            made.builtinOptions = getattr(schema(), f"{table}T")()
            for key, value in options.items():
                setattr(made.builtinOptions, key, value)
        return made

    def reshape(self, entry: int, output: int) -> Any:
        """A RESHAPE from one tensor to another's shape."""
        shape = np.array(self.shape(output), np.int32)
        wanted = self.numbers(f"{text(self.graph.tensors[output].name)}/shape", shape)
        return self.operator("RESHAPE", [entry, wanted], [output], newShape=shape)

    def slice(self, entry: int, output: int, begin: list[int]) -> Any:
        """A SLICE that begins there and has the output's size."""
        name = text(self.graph.tensors[output].name)
        size = self.shape(output)
        return self.operator(
            "SLICE", [entry, self.numbers(f"{name}/begin", begin), self.numbers(f"{name}/size", size)], [output]
        )

    def replace(self, operator: Any, made: list[Any]) -> None:
        """Let these operators stand in the place of one."""
        place = next(i for i, each in enumerate(self.graph.operators) if each is operator)
        self.graph.operators[place : place + 1] = made


def quantized(value: float, quantization: tuple[float, int], dtype: Any) -> Array:
    """One real number as it is stored."""
    scale, zero_point = quantization
    limits = np.iinfo(dtype)
    return np.array(np.clip(round(value / scale) + zero_point, limits.min, limits.max), dtype)


def _quantization(scale: float, zero_point: int) -> Any:
    made = schema().QuantizationParametersT()
    made.scale, made.zeroPoint = np.array([scale], np.float32), np.array([zero_point], np.int64)
    return made


_TABLES = {
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MEAN": "ReducerOptions",
    "QUANTIZE": "QuantizeOptions",
    "RESHAPE": "ReshapeOptions",
    "SLICE": "SliceOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}
