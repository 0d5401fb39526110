"""Options of operators: a file may leave them out, or name those of another operator; interpreters take the defaults then."""

from __future__ import annotations

from functools import cache
from typing import Any

from converters.graph import main_graph, operator_name, schema

_SHARED = {"Pool2D": ("AVERAGE_POOL_2D", "MAX_POOL_2D"), "SequenceRNN": ("UNIDIRECTIONAL_SEQUENCE_RNN",)} | {
    "Reducer": ("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY", "REDUCE_ALL")
}
_MEAN_SOMETHING_LEFT_OUT = ("RESHAPE", "SQUEEZE")


def fill_options(model: Any) -> int:
    """Give every operator that takes options its own kind of them, in place.

    Returns:
        How many had none, or those of another operator.
    """
    filled = 0
    for operator in main_graph(model).operators:
        kind = _kinds().get(operator_name(model, operator))
        if kind is not None and type(operator.builtinOptions).__name__ != f"{kind}T":
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema(), f"{kind}T")()
            filled += 1
    return filled


@cache
def _kinds() -> dict[str, str]:
    """The options' class by operator; their names are those of the schema but for case."""
    kinds = {kind.lower(): kind for kind in vars(schema().BuiltinOptions) if kind.endswith("Options")}
    found = {
        name: kinds[plain]
        for name in vars(schema().BuiltinOperator)
        if (plain := f"{name.replace('_', '')}options".lower()) in kinds and name not in _MEAN_SOMETHING_LEFT_OUT
    }
    return found | {name: f"{kind}Options" for kind, names in _SHARED.items() for name in names}
