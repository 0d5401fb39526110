"""Putting QuantizeLinear and DequantizeLinear into a float ONNX graph, in the form that TensorRT's parser takes.

Zero points are int8 zeros, of the length of their scales and always stated (onnx-tensorrt, ``QuantDequantLinearHelper``: "TRT only
supports symmetric quantization", "requires 3 inputs"). Biases stay float32 (onnx-tensorrt#850).

Weights stay float32 behind a pair of both for TensorRT 8, which says "invalid weights type of Int8" to int8 constants
(NVIDIA/TensorRT#2163, huggingface/optimum#812). TensorRT 10 takes int8 constants behind DequantizeLinear ("Explicit Quantization" in its
documentation: "pre-quantized weights"), a quarter of the size. ONNX Runtime folds the pair of weights into such a constant unless its
graph optimisation is disabled, so that for TensorRT 8 it must be (microsoft/onnxruntime#17312).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from converters.targets.jetson.layers import Layer
from converters.targets.jetson.nodes import constants, drop_unused
from edge_sdk.tensors import Array

WeightsAs = Literal["float32", "int8"]


@dataclass(frozen=True)
class Scale:
    """Of one activation: real = scale * (stored - zero_point), int8. TensorRT takes zero point 0 only."""

    scale: float
    zero_point: int = 0


def insert_qdq(
    model: ModelProto, layers: Sequence[Layer], scales: Mapping[str, Scale], weights_as: WeightsAs = "float32"
) -> ModelProto:
    """A copy of a float model in which these layers read quantized inputs and weights.

    Args:
        model: float, of opset 13 or newer; every node has a name.
        layers: those to quantize.
        scales: of every activation that they read, by name.
        weights_as: how weights are stored.
    """
    made = ModelProto()
    made.CopyFrom(model)
    inserter = _Inserter(made, {layer.name: layer for layer in layers}, scales, weights_as)
    nodes = [node for each in made.graph.node for node in inserter.with_inputs(each)]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    drop_unused(made)
    return made


class _Inserter:
    def __init__(
        self, model: ModelProto, layers: Mapping[str, Layer], scales: Mapping[str, Scale], weights_as: WeightsAs
    ) -> None:
        self._graph, self._layers, self._scales, self._weights_as = model.graph, layers, scales, weights_as
        self._constants = constants(model)
        self._made: dict[str, str] = {}  # tensor: what stands for it behind DequantizeLinear

    def with_inputs(self, node: NodeProto) -> Iterator[NodeProto]:
        """The nodes that a layer's inputs need and are not there yet, and itself."""
        layer = self._layers.get(node.name)
        if layer is not None:
            for place in layer.data:
                yield from self._activation(node, place)
            if layer.weights is not None:
                yield from self._weights(node, layer.weights, layer.axis)
        yield node

    def _activation(self, node: NodeProto, place: int) -> Iterator[NodeProto]:
        name = node.input[place]
        if name not in self._made:
            known = self._scales[name]
            scale, zero = np.array(known.scale, np.float32), np.array(known.zero_point, np.int8)
            yield from self._pair(name, scale, zero, {})
        node.input[place] = self._made[name]

    def _weights(self, node: NodeProto, place: int, axis: int | None) -> Iterator[NodeProto]:
        name = node.input[place]
        if name not in self._made:
            values = self._constants[name]
            scale = weight_scales(values, axis)
            zero = np.zeros(scale.shape, np.int8)
            along = {} if axis is None else {"axis": axis}
            if self._weights_as == "float32":
                yield from self._pair(name, scale, zero, along)
            else:
                yield from self._stored(name, quantize_weights(values, scale, axis), scale, zero, along)
        node.input[place] = self._made[name]

    def _pair(self, name: str, scale: Array, zero: Array, along: dict[str, int]) -> Iterator[NodeProto]:
        parameters = self._parameters(name, scale, zero)
        stored, real = f"{name}/quantized", f"{name}/dequantized"
        yield helper.make_node(
            "QuantizeLinear", [name, *parameters], [stored], f"{name}/quantize", domain=None, **along
        )
        yield helper.make_node(
            "DequantizeLinear", [stored, *parameters], [real], f"{name}/dequantize", domain=None, **along
        )
        self._made[name] = real

    def _stored(
        self, name: str, values: Array, scale: Array, zero: Array, along: dict[str, int]
    ) -> Iterator[NodeProto]:
        parameters = self._parameters(name, scale, zero)
        stored, real = f"{name}/quantized", f"{name}/dequantized"
        self._graph.initializer.append(numpy_helper.from_array(values, stored))
        yield helper.make_node(
            "DequantizeLinear", [stored, *parameters], [real], f"{name}/dequantize", domain=None, **along
        )
        self._made[name] = real

    def _parameters(self, name: str, scale: Array, zero: Array) -> tuple[str, str]:
        names = f"{name}/scale", f"{name}/zero_point"
        for each, values in zip(names, (scale, zero), strict=True):
            self._graph.initializer.append(numpy_helper.from_array(values, each))
        return names


def weight_scales(values: Array, axis: int | None) -> Array:
    """Of each output channel, or of all: largest magnitude / 127, float32, (channels,) or (); 1 where all weights are zero."""
    others = None if axis is None else tuple(a for a in range(values.ndim) if a != axis)
    amax = np.abs(values.astype(np.float32)).max(axis=others)
    return np.asarray(np.where(amax > 0, amax / np.float32(127), np.float32(1)), np.float32)


def quantize_weights(values: Array, scale: Array, axis: int | None) -> Array:
    """As QuantizeLinear does: round half to even, clip."""
    shape = [1] * values.ndim
    if axis is not None:
        shape[axis] = -1
    return np.clip(np.rint(values / scale.reshape(shape)), -128, 127).astype(np.int8)
