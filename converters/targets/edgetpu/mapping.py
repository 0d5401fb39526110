"""Which operators run on the Edge TPU, and why the others do not: the rules of ``rules.toml``, in the order of execution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from converters.graph import main_graph, operator_name, text
from converters.targets.edgetpu.checks import Checks
from converters.targets.edgetpu.partition import Node, partitions
from converters.targets.edgetpu.rules import edgetpu_rules
from edge_sdk.errors import ModelError

CUSTOM_CODE = "edgetpu-custom-op"


@dataclass(frozen=True)
class Mapped:
    """One operator: the rule that keeps it on the processor, and the reason in words; both empty where it maps."""

    operator: Any
    rule: str = ""
    why: str = ""

    @property
    def maps(self) -> bool:
        """Whether it runs on the Edge TPU."""
        return not self.rule


def map_operators(model: Any, *, runtime: int | None = None) -> list[Mapped]:
    """Every operator of the main subgraph, in the order of execution; arguments and errors as of ``divide``."""
    return divide(model, runtime=runtime)[0]


def divide(model: Any, *, runtime: int | None = None) -> tuple[list[Mapped], int]:
    """Every operator, and how many runs the Edge TPU could have, did the compiler not stop at one.

    Args:
        model: the graph.
        runtime: version of the Edge TPU runtime that the compiler shall serve; default the latest.

    Raises:
        ModelError: if the model is compiled already, or an operator lacks what its kind has.
    """
    rules = edgetpu_rules()
    checks = Checks(model, rules, rules.runtime_of() if runtime is None else runtime)
    operators = main_graph(model).operators
    broken = [_broken(checks, model, operator) for operator in operators]
    nodes = [
        Node(frozenset(map(int, o.inputs)), frozenset(map(int, o.outputs)), b is None)
        for o, b in zip(operators, broken, strict=True)
    ]
    runs = partitions(nodes)
    first = set(runs[0]) if runs else set()
    found: list[Mapped] = []
    for place, operator in enumerate(operators):
        reason = broken[place] or (None if place in first else _behind(model, found, operator))
        found.append(Mapped(operator, *(reason or ())))
    return found, len(runs)


def _broken(checks: Checks, model: Any, operator: Any) -> tuple[str, str] | None:
    name = operator_name(model, operator)
    if name == CUSTOM_CODE:
        raise ModelError(
            "this model is compiled for the Edge TPU already: plan the .tflite that it was compiled from. "
            "edge-sdk inspect shows what a compiled one holds"
        )
    with whole(name):
        return checks.broken(operator, name)


@contextmanager
def whole(what: str) -> Iterator[None]:
    """An operator that lacks an input, an option or an axis that its kind has is a ModelError."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, ZeroDivisionError) as exc:
        raise ModelError(
            f"the .tflite model is damaged: {what} lacks an input, an option or an axis that its kind has "
            f"({type(exc).__name__}: {exc}); convert the model again"
        ) from exc


def _behind(model: Any, found: list[Mapped], operator: Any) -> tuple[str, str]:
    """Why an operator that could map does not."""
    takes = set(map(int, operator.inputs))
    for before in reversed(found):
        for index in takes & set(map(int, before.operator.outputs)) if not before.maps else ():
            tensor = text(main_graph(model).tensors[index].name)
            name = operator_name(model, before.operator)
            return "after-cpu", f"it takes {tensor!r} from {name}, which stays on the processor"
    return "after-cpu", "it would start a second run on the Edge TPU; the compiler makes one"
