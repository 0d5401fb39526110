"""Names of inputs and outputs: converters call them Identity or args_0; tasks and reports go by the source's own names."""

from __future__ import annotations

from collections.abc import Sequence

from converters.graph import main_graph, read_graph, write_graph


def with_names(content: bytes, entry: str, outputs: Sequence[str]) -> bytes:
    """The .tflite with these names at its ends, the outputs in its order."""
    model = read_graph(content)
    graph = main_graph(model)
    for index, name in zip((*graph.inputs, *graph.outputs), (entry, *outputs), strict=True):
        graph.tensors[index].name = name
    return write_graph(model)
