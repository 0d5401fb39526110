"""Operators on single values, as sums, products, minima and maxima of quantized tensors.

NEG and SQUARE are not here: no interpreter runs them on int8.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.targets.edgetpu.fixes import Fix
from converters.targets.edgetpu.fixes.editor import Editor, quantized


def _ends(editor: Editor, operator: Any) -> tuple[int, int, tuple[float, int], tuple[float, int], Any] | None:
    """Input, output, their quantizations and the stored type, where both are of int8 or uint8."""
    entry, output = int(operator.inputs[0]), int(operator.outputs[0])
    one, other = editor.quantization(entry), editor.quantization(output)
    types = {9: np.int8, 3: np.uint8}
    dtype = types.get(editor.graph.tensors[entry].type)
    if (
        one is None
        or other is None
        or dtype is None
        or editor.graph.tensors[output].type != editor.graph.tensors[entry].type
    ):
        return None
    return entry, output, one, other, dtype


def _absolute(editor: Editor, operator: Any) -> list[Any] | None:
    """max(x, -x), both at the output's scale."""
    if (ends := _ends(editor, operator)) is None:
        return None
    entry, output, one, _, dtype = ends
    zero = editor.constant("zero", quantized(0.0, one, dtype), like=entry)
    below, above = editor.tensor(output, editor.shape(output)), editor.tensor(output, editor.shape(output))
    return [
        editor.operator("SUB", [zero, entry], [below]),
        editor.operator("ADD", [entry, zero], [above]),
        editor.operator("MAXIMUM", [above, below], [output]),
    ]


def _squared_difference(editor: Editor, operator: Any) -> list[Any] | None:
    """A difference and its square; the difference at a scale that holds the largest one."""
    one, other = (editor.quantization(int(i)) for i in operator.inputs)
    if one is None or other is None:
        return None
    reach = 127 * (one[0] + other[0]) * 2
    output = int(operator.outputs[0])
    point = 0 if editor.graph.tensors[output].type == 9 else 128
    part = editor.tensor(output, editor.shape(output), (reach / 127, point))
    return [
        editor.operator("SUB", [int(i) for i in operator.inputs], [part]),
        editor.operator("MUL", [part, part], [output]),
    ]


def _between_0_and_1(editor: Editor, operator: Any) -> list[Any] | None:
    if (ends := _ends(editor, operator)) is None or not editor.alike(ends[0], ends[1]):
        return None
    entry, output, one, _, dtype = ends
    part = editor.tensor(output, editor.shape(output))
    zero = editor.constant("zero", quantized(0.0, one, dtype), like=entry)
    top = editor.constant("one", quantized(1.0, one, dtype), like=entry)
    return [editor.operator("MAXIMUM", [entry, zero], [part]), editor.operator("MINIMUM", [part, top], [output])]


def _leaky(editor: Editor, operator: Any) -> list[Any] | None:
    """PRELU with one slope for all channels."""
    if (ends := _ends(editor, operator)) is None:
        return None
    entry, output, _, _, dtype = ends
    slope = float(operator.builtinOptions.alpha)
    if slope == 0:
        return None
    channels = editor.shape(entry)[-1]
    point = 0 if dtype == np.int8 else 128
    alpha = np.full((1, 1, channels), point + np.sign(slope) * 127, dtype)
    slopes = editor.constant("slopes", alpha, quantization=(abs(slope) / 127, point))
    return [editor.operator("PRELU", [entry, slopes], [output])]


def _hard_swish(editor: Editor, operator: Any) -> list[Any] | None:
    """x * min(max(x + 3, 0), 6) / 6, the factor in steps of 1/255 between 0 and 1 (Howard et al. 2019, section 5.2)."""
    if (ends := _ends(editor, operator)) is None:
        return None
    entry, output, _, _, dtype = ends
    low = -128 if dtype == np.int8 else 0
    three = editor.constant("three", np.array(low + 255, dtype), quantization=(3 / 255, low))
    sixth = editor.constant("sixth", np.array(low + 255, dtype), quantization=(1 / 6 / 255, low))
    shape = editor.shape(output)
    clipped, factor = editor.tensor(output, shape, (6 / 255, low)), editor.tensor(output, shape, (1 / 255, low))
    return [
        editor.operator("ADD", [entry, three], [clipped], fusedActivationFunction=3),
        editor.operator("MUL", [clipped, sixth], [factor]),
        editor.operator("MUL", [entry, factor], [output]),
    ]


def _divide(editor: Editor, operator: Any) -> list[Any] | None:
    """Division by constants is multiplication by their reciprocals; for several, where one scale holds them well."""
    entry, divisor, output = int(operator.inputs[0]), int(operator.inputs[1]), int(operator.outputs[0])
    stored, quantization = editor.values(divisor), editor.quantization(divisor)
    if stored is None or quantization is None:
        return None
    real = (stored.astype(np.float64) - quantization[1]) * quantization[0]
    if (real == 0).any():
        return None
    inverse = 1 / real
    point = 0 if stored.dtype == np.int8 else 128
    scale = float(np.abs(inverse).max()) / 127
    values = (np.round(inverse / scale) + point).astype(stored.dtype)
    factor = editor.constant("reciprocal", values, quantization=(scale, point))
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    return [editor.operator("MUL", [entry, factor], [output], fusedActivationFunction=fused)]


FIXES = (
    Fix("absolute", ("ABS",), "the larger of x and -x is a MAXIMUM", 1, _absolute),
    Fix("squared-difference", ("SQUARED_DIFFERENCE",), "a SUB and a MUL", 4, _squared_difference),
    Fix("clip", ("RELU_0_TO_1",), "a MAXIMUM and a MINIMUM", 0, _between_0_and_1),
    Fix("leaky", ("LEAKY_RELU",), "PRELU with one slope", 1, _leaky),
    Fix("hard-swish", ("HARD_SWISH",), "an ADD that is clipped, and two MUL", 2, _hard_swish),
    Fix("divide", ("DIV",), "division by a constant is a MUL", 1, _divide),
)  # fmt: skip
