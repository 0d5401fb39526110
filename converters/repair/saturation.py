"""Ranges that end where the reader saturates: what it cannot tell apart needs no steps.

x * sigmoid(x) is -0.003 at x = -8, and nearer to zero below. A channel that goes to -400 stretches the range of x for all others in vain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from converters.calibrate.statistics import Ranges
from converters.graph import main_graph, operator_name, read_graph, text
from converters.repair.rewiring import readers


@dataclass(frozen=True)
class _Band:
    """Where a function is not flat yet, to less than half a step of an int8 output of its usual range."""

    low: float
    high: float = inf


_BANDS = {
    "LOGISTIC": _Band(-8.0, 8.0),  # 0.0003 from its limits; a step of its output is 1/256
    "TANH": _Band(-4.0, 4.0),  # 0.0007; a step is 1/128
    "HARD_SWISH": _Band(-3.0),  # exact
    "GELU": _Band(-4.0),  # -0.0001
    "ELU": _Band(-6.0),  # 0.0025 from -1
    "RELU": _Band(0.0),  # exact
    "RELU6": _Band(0.0, 6.0),  # exact
}
_SWISH = _Band(-8.0)


def saturated_ranges(content: bytes, ranges: Ranges) -> tuple[Ranges, tuple[str, ...]]:
    """Ranges cut to where at least one reader still tells values apart, and the names of the tensors that this changed.

    Args:
        content: the float model.
        ranges: of its activations.
    """
    model = read_graph(content)
    graph, read = main_graph(model), readers(model)
    kept = {int(i) for i in graph.outputs}
    minima, maxima, changed = dict(ranges.minima), dict(ranges.maxima), []
    for index, operators in read.items():
        name = text(graph.tensors[index].name)
        if index in kept or name not in minima:
            continue
        band = _joint(model, index, operators)
        low, high = max(minima[name], band.low), min(maxima[name], band.high)
        if low < high and (low, high) != (minima[name], maxima[name]):
            minima[name], maxima[name] = low, high
            changed.append(name)
    return replace(ranges, minima=minima, maxima=maxima), tuple(changed)


def _joint(model: Any, index: int, operators: list[Any]) -> _Band:
    """The narrowest band that holds for all readers together."""
    names = [operator_name(model, operator) for operator in operators]
    if sorted(names) == ["LOGISTIC", "MUL"]:
        gate, product = (operators[names.index(name)] for name in ("LOGISTIC", "MUL"))
        if {int(i) for i in product.inputs} == {index, int(gate.outputs[0])}:
            return _SWISH
    bands = [_BANDS.get(name, _Band(-inf)) for name in names]
    return _Band(min(band.low for band in bands), max(band.high for band in bands))
