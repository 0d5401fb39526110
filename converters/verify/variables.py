"""First values of variables: a streaming model's must be given by the model, or its first runs compute with whatever lies in memory."""

from __future__ import annotations

from typing import Any

from converters.graph import operator_name, read_graph, text
from edge_sdk.errors import ModelError


def check_first_values(content: bytes) -> None:
    """Raise ModelError if a variable of the main subgraph has no first value; some interpreters do not notice."""
    model = read_graph(content)
    main = model.subgraphs[0]
    started = {
        getattr(operator.builtinOptions, "initSubgraphIndex", -1)
        for operator in main.operators
        if operator_name(model, operator) == "CALL_ONCE"
    }
    given = {
        name for index, graph in enumerate(model.subgraphs) if index in started for name in _assigned(model, graph)
    }
    if missing := sorted(set(_handles(model, main).values()) - given):
        raise ModelError(
            f"variable {missing[0]!r} has no first value: no subgraph that CALL_ONCE runs assigns one, so the first result would depend on "
            "what lies in memory. Export the model with its variables initialised"
        )


def _assigned(model: Any, graph: Any) -> set[str]:
    handles = _handles(model, graph)
    assigning = (o for o in graph.operators if operator_name(model, o) == "ASSIGN_VARIABLE" and len(o.inputs))
    return {handles[int(o.inputs[0])] for o in assigning if int(o.inputs[0]) in handles}


def _handles(model: Any, graph: Any) -> dict[int, str]:
    """The name of the variable that each tensor of a graph stands for."""
    making = (o for o in graph.operators if operator_name(model, o) == "VAR_HANDLE" and len(o.outputs))
    return {int(o.outputs[0]): text(getattr(o.builtinOptions, "sharedName", None)) for o in making}
