"""What an operator may break: one method a rule of ``rules.toml``; it says how the rule is broken, or gives None."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from converters.graph import constant_of, is_constant, main_graph, operator_name, shape_of, text, type_name
from converters.targets.edgetpu.rules import Rules
from edge_sdk.tensors import Array

_GENERAL = ("static", "types", "quantized", "dimensions")


class Checks:
    """The rules, of one model and one runtime."""

    def __init__(self, model: Any, rules: Rules, runtime: int) -> None:
        self._model, self._graph = model, main_graph(model)
        self._rules, self._limits, self._runtime = rules, rules.limits, runtime

    def broken(self, operator: Any, name: str) -> tuple[str, str] | None:
        """The first rule that the operator breaks, and how; None where it keeps all."""
        if len(self._model.subgraphs) > 1:
            return "one-subgraph", f"the model has {len(self._model.subgraphs)} subgraphs; the compiler takes one"
        table = self._rules.operators.get(name)
        if table is None:
            return "supported", f"the Edge TPU has no {name}"
        if table.since > self._runtime:
            return "runtime", f"{name} needs runtime {table.since}; this is planned for {self._runtime}"
        for rule in (*_GENERAL, *table.at(self._runtime)):
            check: Callable[[Any], str | None] = getattr(self, "_" + rule.replace("-", "_"))
            if (why := check(operator)) is not None:
                return rule, why
        return None

    def _tensors(self, operator: Any, *, constants: bool = True) -> list[Any]:
        """What it takes and makes; state that an LSTM keeps has types of its own."""
        indices = [int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0]
        tensors = [self._graph.tensors[i] for i in indices]
        return [t for t in tensors if not t.isVariable and (constants or not is_constant(self._model, t))]

    def _shape(self, index: Any) -> tuple[int, ...]:
        return shape_of(self._graph.tensors[int(index)])

    def _values(self, operator: Any, place: int) -> Array | None:
        if len(operator.inputs) <= place or operator.inputs[place] < 0:
            return None
        return constant_of(self._model, self._graph.tensors[int(operator.inputs[place])])

    def _axes_of(self, operator: Any) -> list[int] | None:
        """Of a reduction, counted from the outermost; None where they are computed."""
        values, rank = self._values(operator, 1), len(self._shape(operator.inputs[0]))
        return None if values is None else sorted(int(axis) % max(rank, 1) for axis in values.reshape(-1))

    # Rules of every operator.

    def _static(self, operator: Any) -> str | None:
        for tensor in self._tensors(operator):
            signature = [] if tensor.shapeSignature is None else [int(n) for n in tensor.shapeSignature]
            if -1 in signature[1:] or any(n < 0 for n in shape_of(tensor)):
                return f"{text(tensor.name)!r} has the open shape {signature or list(shape_of(tensor))}"
        return None

    def _types(self, operator: Any) -> str | None:
        for tensor in self._tensors(operator, constants=False):
            if type_name(tensor) not in self._limits.types:
                return f"{text(tensor.name)!r} is {type_name(tensor).lower()}; int8 or uint8 is needed"
        return None

    def _quantized(self, operator: Any) -> str | None:
        for tensor in self._tensors(operator, constants=False):
            quantization = tensor.quantization
            if quantization is None or quantization.scale is None or len(quantization.scale) == 0:
                return f"{text(tensor.name)!r} has no scale"
        return None

    def _dimensions(self, operator: Any) -> str | None:
        inner = self._limits.inner_axes
        for tensor in self._tensors(operator, constants=False):
            shape = shape_of(tensor)
            if any(n > 1 for n in shape[: max(len(shape) - inner, 0)]):
                return f"{text(tensor.name)!r} has shape {list(shape)}: only the {inner} innermost axes may be longer than 1"
        return None

    # Rules of single operators.

    def _constant_weights(self, operator: Any) -> str | None:
        weights = 1
        places = [0, 1, 3] if operator_name(self._model, operator) == "TRANSPOSE_CONV" else [1, 2]
        for place in places:
            if len(operator.inputs) > place and operator.inputs[place] >= 0:
                tensor = self._graph.tensors[int(operator.inputs[place])]
                if not is_constant(self._model, tensor):
                    return f"{text(tensor.name)!r} is computed; weights and biases must be constants"
                if place == weights and type_name(tensor) not in self._limits.types:
                    return f"the weights {text(tensor.name)!r} are {type_name(tensor).lower()}; int8 or uint8 is needed"
        return None

    def _no_activation(self, operator: Any) -> str | None:
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        return "it has a fused activation" if fused else None

    def _constant_parts(self, operator: Any) -> str | None:
        constants = [i for i in map(int, operator.inputs) if is_constant(self._model, self._graph.tensors[i])]
        if not constants:
            return None
        if len(operator.inputs) != 2:
            return "a constant is joined with more than one other part"
        tensor = self._graph.tensors[constants[0]]
        points = None if tensor.quantization is None else tensor.quantization.zeroPoint
        zero = 0 if points is None or len(points) == 0 else int(points[0])
        values = constant_of(self._model, tensor)
        return "its constant part is not all zeros" if values is not None and (values != zero).any() else None

    def _not_batch(self, operator: Any) -> str | None:
        if operator_name(self._model, operator) == "SPLIT":
            values, rank = self._values(operator, 0), len(self._shape(operator.inputs[1]))
            if values is None:
                return "its axis is computed"
            axis = int(values.reshape(-1)[0])
        else:
            axis, rank = int(operator.builtinOptions.axis), len(self._shape(operator.outputs[0]))
        return "it is along the batch" if rank > self._limits.inner_axes and axis % rank == 0 else None

    def _same_dilation(self, operator: Any) -> str | None:
        by = operator.builtinOptions.dilationHFactor, operator.builtinOptions.dilationWFactor
        return f"its dilation is {by[0]} by {by[1]}" if by[0] != by[1] else None

    def _no_dilation(self, operator: Any) -> str | None:
        by = operator.builtinOptions.dilationHFactor, operator.builtinOptions.dilationWFactor
        return f"its dilation is {by[0]} by {by[1]}; runtime {self._runtime} knows none" if max(by) > 1 else None

    def _default_format(self, operator: Any) -> str | None:
        return "its weights are in a shuffled format" if operator.builtinOptions.weightsFormat else None

    def _one_row(self, operator: Any) -> str | None:
        shape = self._shape(operator.outputs[0])
        return f"its output has shape {list(shape)}; one row is supported" if prod(shape[:-1]) > 1 else None

    def _axes(self, operator: Any) -> str | None:
        axes, rank = self._axes_of(operator), len(self._shape(operator.inputs[0]))
        if axes is None:
            return "its axes are computed"
        return "it takes the batch in" if rank > self._limits.inner_axes and 0 in axes else None

    def _mean_channels(self, operator: Any) -> str | None:
        axes, shape = self._axes_of(operator) or [], self._shape(operator.inputs[0])
        multiple = self._limits.mean_channels_multiple
        if len(shape) - 1 in axes and shape[-1] % multiple:
            return f"it is over {shape[-1]} channels, no multiple of {multiple}"
        return None

    def _mean_positions(self, operator: Any) -> str | None:
        axes, shape = self._axes_of(operator) or [], self._shape(operator.inputs[0])
        positions, most = prod(shape[axis] for axis in axes if axis != len(shape) - 1), self._limits.mean_positions
        return f"it is over {positions:,} positions, more than {most:,}" if positions > most else None

    def _plane_only(self, operator: Any) -> str | None:
        axes, rank = self._axes_of(operator) or [], len(self._shape(operator.inputs[0]))
        return f"it is over channels; runtime {self._runtime} knows rows and columns" if rank - 1 in axes else None

    def _pad(self, operator: Any) -> str | None:
        amounts = self._values(operator, 1)
        if amounts is None:
            return "its amounts are computed"
        return "it pads the batch" if len(amounts) > self._limits.inner_axes and amounts[0].any() else None

    def _pad_plane(self, operator: Any) -> str | None:
        amounts = self._values(operator, 1)
        channels = amounts is not None and amounts[-1].any()
        return f"it pads channels; runtime {self._runtime} knows rows and columns" if channels else None

    def _slopes(self, operator: Any) -> str | None:
        shape = self._shape(operator.inputs[1])
        if not is_constant(self._model, self._graph.tensors[int(operator.inputs[1])]):
            return "its slopes are computed"
        return f"its slopes have shape {list(shape)}; one a channel is supported" if prod(shape[:-1]) > 1 else None

    def _reshape(self, operator: Any) -> str | None:
        if len(operator.inputs) > 1 and operator.inputs[1] >= 0 and self._values(operator, 1) is None:
            return "its shape is computed"
        size, most = prod(self._shape(operator.outputs[0])), self._limits.reshape_bytes
        return f"it moves {size:,} bytes, more than {most:,}" if size > most else None

    def _resize(self, operator: Any) -> str | None:
        if self._values(operator, 1) is None:
            return "its size is computed"
        before, after = self._shape(operator.inputs[0])[1:3], self._shape(operator.outputs[0])[1:3]
        factor, side = self._limits.resize_factor, self._limits.resize_side
        if any(b > factor * a for a, b in zip(before, after, strict=True)):
            return f"from {before[0]}x{before[1]} to {after[0]}x{after[1]}: by more than {factor:g}, precision would be lost"
        return f"to {after[0]}x{after[1]}: precision would be lost on so large a side" if max(after) > side else None

    def _no_half_pixels(self, operator: Any) -> str | None:
        half = getattr(operator.builtinOptions, "halfPixelCenters", False)
        return f"it has half pixel centers, which runtime {self._runtime} does not know" if half else None

    def _softmax(self, operator: Any) -> str | None:
        shape, most = self._shape(operator.inputs[0]), self._limits.softmax_elements
        if prod(shape[:-1]) > 1:
            return f"it is over {prod(shape[:-1]):,} rows; one is supported"
        return f"it is over {shape[-1]:,} elements; at most {most:,} are supported" if shape[-1] > most else None

    def _squeeze(self, operator: Any) -> str | None:
        before, after = self._shape(operator.inputs[0]), self._shape(operator.outputs[0])
        return None if before[len(before) - len(after) :] == after else f"from {list(before)} to {list(after)}"

    def _strides(self, operator: Any) -> str | None:
        strides, options = self._values(operator, 3), operator.builtinOptions
        if strides is None:
            return "its strides are computed"
        if any(int(s) != 1 for s in strides.reshape(-1)):
            return f"its strides are {strides.reshape(-1).tolist()}"
        return "it has an ellipsis or a new axis" if options.ellipsisMask or options.newAxisMask else None
