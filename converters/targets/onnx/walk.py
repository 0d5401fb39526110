"""The walk over a .tflite graph: every operator is translated, or named as a problem."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from converters.axes import plain
from converters.graph import constant_of, is_constant, main_graph, operator_name, shape_of, text, type_name
from converters.targets.onnx.activations import activated
from converters.targets.onnx.build import Builder
from converters.targets.onnx.call import Call, Graph
from converters.targets.onnx.layout import Layout
from converters.targets.onnx.operators import translators
from converters.targets.onnx.values import Constant, Operand, Value, Weight, channels_first
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

_OWN_ACTIVATION = ("UNIDIRECTIONAL_SEQUENCE_LSTM",)  # whose option is not applied to the output


class Walk:
    """One translation."""

    def __init__(self, model: Any, opset: int, inputs_nchw: bool) -> None:
        self._model, self._main, self._inputs_nchw = model, main_graph(model), inputs_nchw
        build = Builder(opset)
        self._graph = Graph(build, Layout(build))
        self._known: dict[int, Operand] = {}
        self._translators = translators()

    @property
    def weights(self) -> dict[str, Weight]:
        """Of linear operators, by their initializers' names while the graph is built."""
        return self._graph.weights

    def run(self) -> tuple[Any, dict[str, str]]:
        """The ``ModelProto``, and the last name of each tensor in it.

        Raises:
            ModelError: that names what stands in the way.
        """
        self._refuse()
        inputs = [self._enter(int(index)) for index in self._main.inputs]
        for place, operator in enumerate(self._main.operators):
            self._step(place, operator)
        outputs = self._finish_outputs()
        return self._graph.build.finish(inputs, outputs)

    def float_values(self, names: dict[str, str]) -> dict[str, Value]:
        """The computed float tensors that are in the model, by their names in the .tflite."""
        return {
            self._name(index): value
            for index, value in self._known.items()
            if isinstance(value, Value) and value.dtype == "float32" and value.name in names and value.columns is None
        }

    def _refuse(self) -> None:
        model = self._model
        strangers = {operator_name(model, operator) for operator in self._main.operators} - self._translators.keys()
        if strangers:
            raise ModelError(
                f"there is no translation to ONNX of {', '.join(sorted(strangers))}. Known are {', '.join(sorted(self._translators))}"
            )
        for tensor in self._main.tensors:
            quantization = tensor.quantization
            if quantization is not None and quantization.scale is not None and len(quantization.scale):
                raise ModelError(
                    f"tensor {text(tensor.name)!r} is quantized; a float model is exported. Give the one it was made from"
                )

    def _enter(self, index: int) -> Value:
        shape, dtype = self._described(index)
        turned = self._inputs_nchw and len(shape) == 4
        axes = channels_first(4) if turned else plain(len(shape))
        value = Value(self._graph.build.tensor(self._name(index)), shape, axes, dtype)
        self._known[index] = value
        return value

    def _step(self, place: int, operator: Any) -> None:
        build, name = self._graph.build, operator_name(self._model, operator)
        outputs = [int(index) for index in operator.outputs]
        before, build.scope = build.count, self._name(outputs[0])
        described = [self._described(index) for index in outputs]
        try:
            call = Call(
                operator=name,
                options=operator.builtinOptions,
                graph=self._graph,
                inputs=tuple(self._operand(int(index)) for index in operator.inputs),
                shapes=tuple(shape for shape, _ in described),
                dtypes=tuple(dtype for _, dtype in described),
                only_weighed=outputs[0] in self._only_weighed,
            )
            made = self._translators[name](call)
            results = [made] if isinstance(made, Value | Constant) else made
            fused = int(getattr(operator.builtinOptions, "fusedActivationFunction", 0))
            if fused and name not in _OWN_ACTIVATION:
                results = [activated(build, self._as_value(results[0]), fused)]
            self._store(outputs, results, before)
        except ModelError as exc:
            raise ModelError(f"{name} (operator {place}, {build.scope!r}): {exc}") from exc

    def _store(self, outputs: list[int], results: Sequence[Operand | None], before: int) -> None:
        build = self._graph.build
        for index, result in zip(outputs, results, strict=False):
            if result is None:
                continue
            if result.shape != self._described(index)[0]:
                raise ModelError(f"its output came out as {result.shape}: a fault of this converter")
            if isinstance(result, Value) and build.made_since(result.name, before):
                build.rename(result.name, self._name(index))
            self._known[index] = result

    def _operand(self, index: int) -> Operand | None:
        if index < 0:
            return None
        if index not in self._known:
            self._known[index] = Constant(self._name(index), self._numbers(self._main.tensors[index]))
        return self._known[index]

    def _numbers(self, tensor: Any) -> Array:
        """Of a constant; state starts at zero, and what is empty has no buffer."""
        values, shape = constant_of(self._model, tensor), shape_of(tensor)
        if values is None and (tensor.isVariable or 0 in shape):
            return np.zeros(shape, type_name(tensor).lower())
        if values is None:
            raise ModelError(
                f"it takes {text(tensor.name)!r}, which nothing before it makes; the .tflite model is damaged"
            )
        return values

    def _described(self, index: int) -> tuple[tuple[int, ...], str]:
        tensor = self._main.tensors[index]
        return shape_of(tensor), type_name(tensor).lower()

    def _name(self, index: int) -> str:
        return text(self._main.tensors[index].name) or f"tensor_{index}"

    @cached_property
    def _only_weighed(self) -> set[int]:
        """Tensors that nothing reads but fully connected operators with known weights."""
        weighed, otherwise = set[int](), {int(index) for index in self._main.outputs}
        for operator in self._main.operators:
            read = [int(index) for index in operator.inputs]
            name = operator_name(self._model, operator)
            known = name == "FULLY_CONNECTED" and is_constant(self._model, self._main.tensors[read[1]])
            weighed.update(read[:1] if known else ())
            otherwise.update(read[1:] if known else read)
        return weighed - otherwise

    def _finish_outputs(self) -> list[Value]:
        """Every output as a tensor of its own, in the .tflite's order, under its own name."""
        build, outputs = self._graph.build, list[Value]()
        taken = {value.name for value in self._known.values() if isinstance(value, Value) and self._is_input(value)}
        for index in self._main.outputs:
            build.scope = self._name(int(index))
            operand = self._operand(int(index))
            value = self._graph.layout.plain(self._as_value(operand))
            if isinstance(operand, Constant) or value.name in taken:
                value = build.like("Identity", value)
            if isinstance(operand, Value) and operand.name not in {value.name, *taken}:
                build.rename(operand.name, f"{build.scope}/inner")
            taken.add(value.name)
            build.rename(value.name, build.scope)
            outputs.append(value)
            if isinstance(operand, Value):
                self._known[int(index)] = value
        return outputs

    def _as_value(self, operand: Operand | None) -> Value:
        assert operand is not None  # noqa: S101 - only inputs are left out
        return self._graph.layout.value(operand)

    def _is_input(self, value: Value) -> bool:
        entries = (self._known[int(index)] for index in self._main.inputs)
        return any(isinstance(entry, Value) and entry.name == value.name for entry in entries)
