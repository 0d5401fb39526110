"""A float .tflite as an ONNX graph to be quantized: its layers, and what is known of the activations that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from onnx import ModelProto

from converters.calibrate.histogram import Histogram
from converters.calibrate.statistics import Statistics, TensorStatistics
from converters.targets.jetson.layers import Layer, Wiring, find_layers
from converters.targets.jetson.nodes import name_nodes
from converters.targets.jetson.run import extremes
from converters.targets.onnx import export_onnx
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe

_SAME_NUMBERS = (  # every number of the output is one of the input, or 0
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "MaxPool",
    "Pad",
    "Slice",
    "DepthToSpace",
    "SpaceToDepth",
)
Inputs = Callable[[], Iterable[Array]]
"""Gives the ONNX model's input tensor of one calibration sample after another, as often as called."""


@dataclass(frozen=True)
class Graph:
    """A float graph, ready to be quantized.

    Attributes:
        content: the .tflite that it is of.
        model: of ONNX; every node has a name.
        layers: those that TensorRT runs in int8.
        known: of every activation that they read, by its ONNX name.
        sizes: how many values a tensor has, where it is known.
    """

    content: bytes
    model: ModelProto
    layers: tuple[Layer, ...]
    known: dict[str, TensorStatistics]
    sizes: dict[str, int]

    @staticmethod
    def of(content: bytes, statistics: Statistics, inputs: Inputs, opset: int) -> Graph:
        """Export a float .tflite.

        Args:
            content: the .tflite.
            statistics: of its activations.
            inputs: to look at what has no .tflite tensor.
            opset: of the ONNX model.

        Raises:
            ModelError: if ONNX cannot express it.
        """
        exported = export_onnx(content, opset=opset)
        model = exported.model
        name_nodes(model)
        layers = find_layers(model)
        stands_for = {name: tensor for tensor, name in exported.tensors.items()}
        found = _Known(model, {name: statistics.tensors.get(tensor) for name, tensor in stands_for.items()})
        nodes = {node.name: node for node in model.graph.node}
        read = dict.fromkeys(nodes[layer.name].input[place] for layer in layers for place in layer.data)
        known = {name: told for name in read if (told := found.of(name)) is not None}
        if unknown := [name for name in read if name not in known]:
            known |= {name: _whole(*ends) for name, ends in extremes(model, unknown, inputs()).items()}
        shapes = {tensor.name: tensor.shape for tensor in describe(content).tensors}
        sizes = {name: prod(shapes[tensor]) for name, tensor in stands_for.items() if tensor in shapes}
        return Graph(content, model, layers, known, sizes)

    @cached_property
    def nodes(self) -> dict[str, tuple[str, ...]]:
        """Inputs of every node by its name."""
        return {node.name: tuple(node.input) for node in self.model.graph.node}

    def read_by(self, layers: Iterable[Layer]) -> list[str]:
        """The activations that some layers read, each once."""
        return list(dict.fromkeys(self.nodes[layer.name][place] for layer in layers for place in layer.data))


class _Known:
    def __init__(self, model: ModelProto, known: dict[str, TensorStatistics | None]) -> None:
        self._wiring, self._known = Wiring(model), known

    def of(self, name: str) -> TensorStatistics | None:
        """Of a tensor, or of the one that it has its numbers from."""
        while self._known.get(name) is None:
            maker = self._wiring.makers.get(name)
            if maker is None or maker.op_type not in _SAME_NUMBERS:
                return None
            name = maker.input[0]
        return self._known[name]


def _whole(low: float, high: float) -> TensorStatistics:
    """Of a tensor that only the ends are known of."""
    histogram = Histogram()
    histogram.add(np.array([low, high], np.float32))
    return TensorStatistics(low, high, histogram, None, None, whole=True)
