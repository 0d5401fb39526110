"""Activations that a model spells out in several operators, as the one operator that TensorFlow Lite has for them.

They are recognised by what they compute, not by how they are written: the interpreter runs the operators over a grid, and the result is
compared with the activation's formula. The one operator has an integer kernel, which is as exact as a table and faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.graph import main_graph, operator_name, schema
from converters.quantize.assembly import operator_code
from converters.quantize.quantization import Scheme
from converters.quantize.steps import is_float
from converters.quantize.tables import Regions, evaluate
from edge_sdk.tensors import Array

_GRID = np.linspace(-20, 20, 4001, dtype=np.float32)
_TOLERANCE = 2e-6  # of 1 + |x|: float32 formulas differ by their rounding
_POLYNOMIAL = {"ADD", "SUB", "MUL", "NEG", "SQUARE"}
_MOST_OPERATORS = 12


def _normal_distribution(x: Array) -> Array:
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


_FORMULAS: dict[tuple[str, bool], Callable[[Array], Array]] = {  # (operator, GELU's approximate)
    ("HARD_SWISH", False): lambda x: x * np.clip(x + 3, 0, 6) / 6,
    ("GELU", False): lambda x: x * _normal_distribution(x),
    ("GELU", True): lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ("ELU", False): lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    ("LOGISTIC", False): lambda x: 1 / (1 + np.exp(-x)),
    ("TANH", False): np.tanh,
}  # fmt: skip


def use_natives(model: Any, schemes: list[Scheme]) -> list[str]:
    """Replace the last operator of each such formula by the activation, in place; those before it lose their reader.

    Args:
        model: the float graph.
        schemes: of its operators; formulas of int8 operators only are replaced.

    Returns:
        What was replaced, in words.
    """
    regions, operators = Regions(model), main_graph(model).operators
    known = {key: formula(_GRID.astype(np.float64)) for key, formula in _FORMULAS.items()}
    words, inner = [], set[int]()
    for last in range(len(operators) - 1, -1, -1):
        if last in inner or schemes[last] != "int8":
            continue
        for root, numbers in regions.of(int(operators[last].outputs[0])):
            names = [operator_name(model, operators[n]) for n in numbers]
            bent = any(
                name not in _POLYNOMIAL or _is_fused(operators[n]) for name, n in zip(names, numbers, strict=True)
            )
            if not (bent and 2 <= len(numbers) <= _MOST_OPERATORS and is_float(model, root)):
                continue
            made = evaluate(model, tuple(operators[n] for n in numbers), root, _GRID)
            found = next((key for key, wanted in known.items() if _equal(made, wanted)), None)
            if found is not None:
                _replace(model, operators[last], root, found)
                inner.update(numbers)
                words.append(f"{', '.join(names)} (operators {', '.join(map(str, numbers))}) became {found[0]}.")
                break
    return words[::-1]


def _is_fused(operator: Any) -> bool:
    return bool(getattr(operator.builtinOptions, "fusedActivationFunction", 0))


def _equal(made: Array, wanted: Array) -> bool:
    return made.dtype == np.float32 and bool(np.all(np.abs(made - wanted) <= _TOLERANCE * (1 + np.abs(_GRID))))


def _replace(model: Any, operator: Any, root: int, found: tuple[str, bool]) -> None:
    name, approximate = found
    operator.opcodeIndex = operator_code(model, name)
    operator.inputs = np.array([root], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = 0, None
    if name == "GELU":
        operator.builtinOptionsType, operator.builtinOptions = (
            schema().BuiltinOptions.GeluOptions,
            schema().GeluOptionsT(),
        )
        operator.builtinOptions.approximate = approximate
