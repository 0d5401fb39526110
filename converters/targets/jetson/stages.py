"""Running a graph in stages over several samples: up to a layer, then on from there, with what is still needed kept in memory.

So something can be changed layer after layer, each on what the changed ones before it give, at the cost of running the graph once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnx import ModelProto, NodeProto, helper

from converters.targets.jetson.nodes import names_read
from converters.targets.jetson.run import Runner
from edge_sdk.tensors import Array

_Values = dict[str, Array]


class Stages:
    """A graph of one input, run on samples up to one node after another.

    Args:
        model: its nodes are in the order of execution. It may be changed ahead of where it is run.
        inputs: the input tensor of each sample; what is computed of them is held in memory for as long as a later node reads it.
    """

    def __init__(self, model: ModelProto, inputs: Sequence[Array]) -> None:
        self._model = model
        self._live = [{model.graph.input[0].name: tensor} for tensor in inputs]
        self._done = 0
        self._last_read: dict[str, int] = {}
        for number, node in enumerate(model.graph.node):
            self._last_read |= dict.fromkeys(names_read([node]), number)
        self._places = {name: number for number, node in enumerate(model.graph.node) for name in node.output}

    def up_to(self, tensor: str) -> Iterator[Array]:
        """The value of one more tensor, sample by sample; later than those asked for before."""
        end = self._places[tensor] + 1
        nodes = list(self._model.graph.node[self._done : end])
        made = {name for node in nodes for name in node.output if name}
        keep = [name for name in made if self._last_read.get(name, -1) >= end or name == tensor]
        runner = self._runner(nodes, keep)
        for values in self._live:
            values.update(runner.run_named({name: values[name] for name in runner.fed}))
            for name in [name for name in values if self._last_read.get(name, -1) < end and name != tensor]:
                del values[name]
        self._done = end
        return (values[tensor] for values in self._live)

    def add(self, tensor: str, amount: Array) -> None:
        """Add to the tensor that was run last, in every sample."""
        for values in self._live:
            values[tensor] = values[tensor] + amount

    def _runner(self, nodes: Sequence[NodeProto], outputs: Sequence[str]) -> Runner:
        read = names_read(nodes)
        graph = self._model.graph
        constants = [tensor for tensor in graph.initializer if tensor.name in read]
        fed = sorted(read.intersection(self._live[0]))
        part = helper.make_model(
            helper.make_graph(
                nodes,
                "stage",
                [helper.make_tensor_value_info(n, _element(self._live[0][n]), self._live[0][n].shape) for n in fed],
                [helper.make_empty_tensor_value_info(name) for name in outputs],
                constants,
            ),
            opset_imports=list(self._model.opset_import),
            ir_version=self._model.ir_version,
        )
        return Runner(part)


def _element(array: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))
