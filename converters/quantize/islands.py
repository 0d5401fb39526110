"""Float islands: operators that litert-quantizer leaves float between DEQUANTIZE and QUANTIZE, although an int8 kernel exists.

Every float tensor of an island becomes int8, the operator runs on its int8 kernel, and the DEQUANTIZE and QUANTIZE around it fall away,
or become one requantization where the scales differ. What a kernel demands of its scales is in ``_RULES``; each entry was tried by
comparing the kernel with the float operator.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from converters.calibrate.ranges import Ranges
from converters.graph import constant_of, is_constant, main_graph, operator_name, schema, set_constant, text, type_name
from edge_sdk.errors import NotIntegerError
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import describe


@dataclass(frozen=True)
class Scale:
    """Quantization of one tensor: real = scale * (stored - zero_point), stored int8."""

    scale: float
    zero_point: int

    @staticmethod
    def of_range(low: float, high: float) -> Scale:
        """The scale whose 256 steps cover ``low`` to ``high`` and zero exactly (arXiv:1712.05877, section 3)."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32(max(high - low, 1e-9) / 255))
        return Scale(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))

    @staticmethod
    def of(tensor: Any) -> Scale:
        """That of an int8 tensor."""
        return Scale(float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0]))

    def put(self, tensor: Any) -> None:
        """Make ``tensor`` int8 with this quantization."""
        tensor.type = schema().TensorType.INT8
        tensor.quantization = schema().QuantizationParametersT()
        tensor.quantization.scale = np.array([self.scale], np.float32)
        tensor.quantization.zeroPoint = np.array([self.zero_point], np.int64)


@dataclass(frozen=True)
class _Rule:
    """What an int8 kernel demands of its output: a scale of its own, that of its input, or a fixed one; ``joint`` is that
    all inputs have the output's scale."""

    output: Literal["own", "input", "fixed"] = "own"
    joint: bool = False
    fixed: Scale | None = None


_OWN, _AS_INPUT = _Rule(), _Rule("input")
_RULES = {
    **dict.fromkeys(("LEAKY_RELU", "PRELU", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "ABS", "EXP", "LOG", "ELU"), _OWN),
    **dict.fromkeys(("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "ARG_MAX", "ARG_MIN", "SQUARED_DIFFERENCE"), _OWN),
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "TILE", "SQUEEZE", "EXPAND_DIMS"), _AS_INPUT),
    **dict.fromkeys(("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "REVERSE_V2", "SPLIT_V", "TOPK_V2"), _AS_INPUT),
    **dict.fromkeys(("MINIMUM", "MAXIMUM", "PADV2", "SELECT", "SELECT_V2"), _Rule(joint=True)),
    "L2_NORMALIZATION": _Rule("fixed", fixed=Scale(1 / 128, 0)),
    "LOG_SOFTMAX": _Rule("fixed", fixed=Scale(16 / 256, 127)),
}  # fmt: skip


def collapse_islands(model: Any, content: bytes, ranges: Ranges) -> tuple[str, ...]:
    """Replace the float operators of a quantized graph by their int8 kernels, in place.

    Args:
        model: the quantized graph.
        content: the float model that it was made from.
        ranges: of the float model's activations.

    Returns:
        The operators replaced, such as ``"PRELU (operator 12)"``, numbered as in the float model.

    Raises:
        NotIntegerError: if a float operator has no rule; the message names it and its tensor.
    """
    return _Collapse(model, content, ranges).run()


class _Collapse:
    """One walk over the operators. ``alias`` maps a tensor that fell away to the one that stands for it."""

    def __init__(self, model: Any, content: bytes, ranges: Ranges) -> None:
        self._model = model
        self._graph = main_graph(model)
        self._ranges = ranges
        self._alias: dict[int, int] = {}
        self._kept: list[Any] = []
        self._collapsed: list[str] = []
        self._float = {
            i for i, tensor in enumerate(self._graph.tensors) if type_name(tensor) == "FLOAT32"
        }  # before the walk
        before = describe(content)
        self._numbers = {
            before.tensors[i].name: operator.index for operator in before.operators for i in operator.outputs
        }
        self._wanted: dict[int, set[Scale]] = defaultdict(set)  # what the QUANTIZEs behind a float tensor ask of it
        for operator in self._graph.operators:
            if operator_name(model, operator) == "QUANTIZE":
                self._wanted[int(operator.inputs[0])].add(Scale.of(self._tensor(operator.outputs[0])))

    def run(self) -> tuple[str, ...]:
        for operator in self._graph.operators:
            name = operator_name(self._model, operator)
            touched = [int(i) for i in (*operator.inputs, *operator.outputs) if int(i) in self._float]
            operator.inputs = np.array([self._alias.get(int(i), int(i)) for i in operator.inputs], np.int32)
            if name == "DEQUANTIZE":
                self._alias[int(operator.outputs[0])] = int(operator.inputs[0])
                continue
            if name == "QUANTIZE" and self._is_identity(operator):
                self._alias[int(operator.outputs[0])] = int(operator.inputs[0])
                continue
            if name != "QUANTIZE" and touched:
                self._collapse(operator, name, touched[-1])
            self._kept.append(operator)
        self._graph.operators = self._kept
        self._graph.outputs = np.array([self._alias.get(int(i), int(i)) for i in self._graph.outputs], np.int32)
        return tuple(self._collapsed)

    def _tensor(self, index: int) -> Any:
        return self._graph.tensors[index]

    def _is_float(self, index: int) -> bool:
        return index >= 0 and type_name(self._tensor(index)) == "FLOAT32"

    def _is_identity(self, operator: Any) -> bool:
        source, target = self._tensor(operator.inputs[0]), self._tensor(operator.outputs[0])
        return source.type == target.type and Scale.of(source) == Scale.of(target)

    def _collapse(self, operator: Any, name: str, touched: int) -> None:
        """Put ``operator``, which had the float tensor ``touched``, on its int8 kernel."""
        label = f"{name} (operator {self._numbers.get(text(self._tensor(operator.outputs[0]).name), '?')})"
        rule = _RULES.get(name)
        if rule is None:
            tensor = text(self._tensor(touched).name)
            raise NotIntegerError(
                f"{label} cannot be made integer: there is no int8 kernel for it, so tensor {tensor!r} stays float. "
                "Replace it in the model by operators that have one, or end the model before it and compute it outside",
                operator=label,
                tensor=tensor,
            )
        outputs = [int(i) for i in operator.outputs if self._is_float(i)]
        for index in outputs:
            self._output_scale(operator, index, rule).put(self._tensor(index))
        joint = Scale.of(self._tensor(outputs[0])) if rule.joint else None
        operator.inputs = np.array([self._input(int(i), joint) for i in operator.inputs], np.int32)
        self._collapsed.append(label)

    def _output_scale(self, operator: Any, index: int, rule: _Rule) -> Scale:
        if rule.fixed is not None:
            return rule.fixed
        if rule.output == "input":
            source = next(i for i in operator.inputs if type_name(self._tensor(i)) == "INT8")
            return Scale.of(self._tensor(source))
        if len(self._wanted[index]) == 1:
            return next(iter(self._wanted[index]))
        name = text(self._tensor(index).name)
        return Scale.of_range(self._ranges.minima[name], self._ranges.maxima[name])

    def _input(self, index: int, joint: Scale | None) -> int:
        """The input as the kernel takes it: a constant as int8, an activation requantized if it must have another scale."""
        if self._is_float(index) and is_constant(self._model, self._tensor(index)):
            return self._quantized_constant(index, joint)
        is_int8 = index >= 0 and type_name(self._tensor(index)) == "INT8"  # not a condition or paddings
        if joint is None or not is_int8 or Scale.of(self._tensor(index)) == joint:
            return index
        return self._requantized(index, joint)

    def _quantized_constant(self, index: int, joint: Scale | None) -> int:
        values = constant_of(self._model, self._tensor(index))
        assert values is not None  # noqa: S101 - the caller asked is_constant
        scale = joint or Scale.of_range(float(values.min()), float(values.max()))
        new = self._new_tensor(index, scale)
        spec = TensorSpec("", values.shape, "int8", scale.scale, scale.zero_point)
        set_constant(self._model, self._tensor(new), spec.quantize(values))
        return new

    def _requantized(self, index: int, scale: Scale) -> int:
        new = self._new_tensor(index, scale)
        quantize = schema().OperatorT()
        quantize.opcodeIndex = self._quantize_code()
        quantize.inputs, quantize.outputs = np.array([index], np.int32), np.array([new], np.int32)
        self._kept.append(quantize)
        return new

    def _new_tensor(self, like: int, scale: Scale) -> int:
        tensor = schema().TensorT()
        tensor.name = f"{text(self._tensor(like).name)}_as_int8_{len(self._graph.tensors)}"
        tensor.shape = self._tensor(like).shape
        tensor.buffer = 0
        scale.put(tensor)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _quantize_code(self) -> int:
        quantize = schema().BuiltinOperator.QUANTIZE
        for index, code in enumerate(self._model.operatorCodes):
            if code.builtinCode == quantize:
                return index
        code = schema().OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = quantize
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1
