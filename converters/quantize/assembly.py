"""The new operators of a graph while they are put together, and the tensors between them in whichever quantization is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.graph import builtin_code, constant_of, is_constant, main_graph, schema, set_constant, text
from converters.quantize.quantization import Quantization, put_scales
from edge_sdk.tensors import Array


class Assembly:
    """Collects operators; writes tensors into the model at once.

    Args:
        model: the graph, still with its float operators.
        homes: quantization of every float activation, by its place; None where it stays float. The tensors are made so.
    """

    def __init__(self, model: Any, homes: Mapping[int, Quantization | None]) -> None:
        self._model = model
        self._tensors = main_graph(model).tensors
        self._homes = dict(homes)
        self._known: dict[tuple[object, ...], int] = {}
        self._wished: list[tuple[Any, str]] = []
        self.operators: list[Any] = []
        for index, home in homes.items():
            if home is not None:
                home.put(self._tensors[index])

    def home(self, index: int) -> Quantization | None:
        """The quantization of an activation, or None if it is float."""
        return self._homes[index]

    def is_activation(self, index: int) -> bool:
        """Whether the tensor was a float activation."""
        return index in self._homes

    def add(self, name: str, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        """Append an operator; ``options`` is a ``...OptionsT``."""
        operator = schema().OperatorT()
        operator.opcodeIndex = operator_code(self._model, name)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, kind)
            operator.builtinOptions = options
        self.operators.append(operator)

    def finish(self) -> None:
        """Make the operators the graph's; new tensors get the names they were added by, as far as these are free."""
        graph = main_graph(self._model)
        graph.operators = self.operators
        used = {int(i) for operator in self.operators for i in (*operator.inputs, *operator.outputs) if i >= 0}
        taken = {text(self._tensors[i].name) for i in (*used, *graph.inputs, *graph.outputs)}
        for tensor, name in self._wished:
            if name not in taken:
                taken.add(name)
                tensor.name = name

    def tensor(self, name: str, shape: Array, dtype: str) -> int:
        """A new tensor's place."""
        tensor = schema().TensorT()
        tensor.name, tensor.shape, tensor.buffer = f"{name}_{len(self._tensors)}", shape, 0
        tensor.type = getattr(schema().TensorType, dtype.upper())
        self._wished.append((tensor, name))
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def quantized_tensor(self, name: str, shape: Array, quantization: Quantization) -> int:
        """A new quantized tensor's place."""
        index = self.tensor(name, shape, quantization.dtype)
        quantization.put(self._tensors[index])
        return index

    def constant(
        self, name: str, values: Array, *, scales: Array | None = None, axis: int = 0, zero_point: int = 0
    ) -> int:
        """A new constant's place; the same values of the same name and scales are stored once."""
        key = (
            name,
            values.tobytes(),
            values.shape,
            values.dtype.name,
            None if scales is None else scales.tobytes(),
            zero_point,
        )
        if key not in self._known:
            index = self.tensor(name, np.array(values.shape, np.int32), values.dtype.name)
            set_constant(self._model, self._tensors[index], values)
            if scales is not None:
                put_scales(self._tensors[index], scales, axis=axis, zero_point=zero_point)
            self._known[key] = index
        return self._known[key]

    def values(self, index: int) -> Array | None:
        """A constant's numbers, or None."""
        return constant_of(self._model, self._tensors[index])

    def is_constant(self, index: int) -> bool:
        """Whether the tensor is a constant."""
        return index >= 0 and is_constant(self._model, self._tensors[index])

    def quantized_constant(self, index: int, wanted: Quantization) -> int:
        """The float constant at ``index`` in this quantization."""
        key = (index, wanted)
        if key not in self._known:
            values = self.values(index)
            assert values is not None  # noqa: S101 - the caller asked is_constant
            scale = np.array([wanted.scale], np.float32)
            self._known[key] = self.constant(
                text(self._tensors[index].name), wanted.quantize(values), scales=scale, zero_point=wanted.zero_point
            )
        return self._known[key]

    def requested(self, index: int, wanted: Quantization | None) -> int:
        """The activation at ``index`` in this quantization (None is float): itself, or one made of it by QUANTIZE or DEQUANTIZE."""
        if self._homes[index] == wanted:
            return index
        key = (index, wanted)
        if key not in self._known:
            dtype = "float32" if wanted is None else wanted.dtype
            new = self.tensor(self._named(index, dtype), self._tensors[index].shape, dtype)
            if wanted is None:
                self.add("DEQUANTIZE", [index], [new])
            else:
                wanted.put(self._tensors[new])
                self.add("QUANTIZE", [index], [new])
            self._known[key] = new
        return self._known[key]

    def _named(self, index: int, dtype: str) -> str:
        return f"{text(self._tensors[index].name)}_as_{dtype}"


def operator_code(model: Any, name: str) -> int:
    """The place of a builtin operator's code in the model, which is added where there is none."""
    wanted = getattr(schema().BuiltinOperator, name)
    for place, code in enumerate(model.operatorCodes):
        if builtin_code(code) == wanted:
            return place
    code = schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, min(wanted, 127), 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
