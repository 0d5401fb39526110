"""The variance of a normalisation, in int16 inside an int8 graph.

A variance is a mean of squares. Where the spread of a tensor differs from place to place or sample to sample, 256 steps of equal size
hold neither the squares nor their mean nor its inverse root: at a tenth of the largest spread nothing is left of them. int16 does; but
tflite-runtime 2.14 and integer accelerators do not take it, so it is used where it is needed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from converters.calibrate.ranges import Ranges
from converters.graph import main_graph, operator_name
from converters.quantize.quantization import Scheme
from converters.quantize.steps import tensor_name

_MEANS = ("MEAN", "SUM")
_TO_THE_INVERSE = ("ADD", "MAXIMUM", "SQRT", "RSQRT", "POW", "DIV")
_BY_IT = ("MUL", "DIV")
_FEWEST_STEPS = 4.0  # of 256 that the smallest variance must have in int8


def widen_variances(model: Any, schemes: list[Scheme], ranges: Ranges, *, always: bool) -> list[str]:
    """Set the operators from the squares to the multiplication by the inverse root to int16, in place, where they are int8.

    Args:
        model: the float graph.
        schemes: of its operators, one each.
        ranges: of its activations.
        always: also where the smallest variance measured has steps enough in int8.

    Returns:
        What was widened, in words.
    """
    operators = main_graph(model).operators
    names = [operator_name(model, operator) for operator in operators]
    readers: dict[int, list[int]] = defaultdict(list)
    for number, operator in enumerate(operators):
        for index in dict.fromkeys(int(i) for i in operator.inputs):
            readers[index].append(number)
    words = []
    for number, operator in enumerate(operators):
        means = [reader for reader in readers[int(operator.outputs[0])] if names[reader] in _MEANS]
        if not (_squares(names[number], operator) and means):
            continue
        mean = tensor_name(model, int(operators[means[0]].outputs[0]))
        if not always and ranges.minima[mean] * 255 >= _FEWEST_STEPS * ranges.maxima[mean]:
            continue
        wide = {number, *means}
        ahead = means
        while ahead:
            found = [r for n in ahead for r in readers[int(operators[n].outputs[0])] if r not in wide]
            wide.update(r for r in found if names[r] in (*_TO_THE_INVERSE, *_BY_IT))
            ahead = [r for r in found if names[r] in _TO_THE_INVERSE and names[r] not in _BY_IT]
        if all(schemes[n] == "int8" for n in wide):
            for n in wide:
                schemes[n] = "int16"
            words.append(f"The squares that {names[means[0]]} (operator {means[0]}) averages are computed in int16.")
    return words


def _squares(name: str, operator: Any) -> bool:
    return name == "SQUARED_DIFFERENCE" or (name == "MUL" and operator.inputs[0] == operator.inputs[1])
