"""Structural proof of a QDQ graph: that TensorRT's parser takes it, and that what should run in int8 does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto

from converters.targets.jetson.layers import Layer, Wiring, channel_axis, find_layers
from converters.targets.jetson.nodes import attribute, constants
from edge_sdk.errors import ModelError

_LEAST_OPSET = 13  # the first with a scale for each channel
_ACTIVATIONS = (
    "Relu",
    "Clip",
    "LeakyRelu",
    "PRelu",
    "HardSwish",
    "HardSigmoid",
    "Sigmoid",
    "Elu",
    "BatchNormalization",
)


@dataclass(frozen=True)
class QdqProof:
    """What was found.

    Attributes:
        quantized: how many layers of each operator read int8.
        left_out: names of the layers that were left in floating point on purpose.
        activations, weights: how many tensors of each are quantized.
        operators: how many of each operator the graph has.
    """

    quantized: dict[str, int]
    left_out: tuple[str, ...]
    activations: int
    weights: int
    operators: dict[str, int]

    def __str__(self) -> str:
        """In one sentence."""
        layers = ", ".join(f"{count} {name}" for name, count in sorted(self.quantized.items()))
        left = f"; left in floating point: {', '.join(self.left_out)}" if self.left_out else ""
        return (
            f"Symmetric int8 by QuantizeLinear and DequantizeLinear: {layers}; {self.activations} activations with one scale each, "
            f"{self.weights} weights with one a channel, every zero point 0{left}."
        )


def prove_qdq(model: ModelProto, left_out: frozenset[str] = frozenset()) -> QdqProof:
    """Prove that a graph is symmetric int8 in TensorRT's explicit form.

    Args:
        model: with QuantizeLinear and DequantizeLinear.
        left_out: names of layers that may read floating point.

    Raises:
        ModelError: at the first thing that is not so; the message names the node.
    """
    return _Prover(model, left_out).prove()


class _Prover:
    def __init__(self, model: ModelProto, left_out: frozenset[str]) -> None:
        self._model, self._left_out = model, left_out
        self._wiring, self._constants = Wiring(model), constants(model)
        self._activations: set[str] = set()
        self._weights: set[str] = set()

    def prove(self) -> QdqProof:
        opset = max((o.version for o in self._model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        if opset < _LEAST_OPSET:
            raise ModelError(f"the graph is of opset {opset}; scales for each channel need {_LEAST_OPSET} or newer")
        for node in self._model.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                self._pair(node)
        layers = find_layers(_without_pairs(self._model))
        nodes = {node.name: node for node in self._model.graph.node}
        quantized = [layer for layer in layers if self._layer(nodes[layer.name], layer)]
        return QdqProof(
            quantized=dict(Counter(layer.operator for layer in quantized)),
            left_out=tuple(layer.name for layer in layers if layer not in quantized),
            activations=len(self._activations),
            weights=len(self._weights),
            operators=dict(Counter(node.op_type for node in self._model.graph.node)),
        )

    def _pair(self, node: NodeProto) -> None:
        """One node of the two, by itself: its parameters, what stands before and behind it."""
        if len(node.input) != 3:
            raise _wrong(node, "states no zero point, which TensorRT needs")
        scale, zero = (self._constants.get(name) for name in node.input[1:])
        if scale is None or zero is None:
            raise _wrong(node, "has a computed scale or zero point")
        if scale.dtype != np.float32 or not (np.isfinite(scale).all() and (scale > 0).all()):
            raise _wrong(node, "has a scale that is no positive float32")
        if zero.dtype != np.int8 or zero.any():
            raise _wrong(node, f"is not symmetric int8: zero point {zero.dtype} {zero.reshape(-1)[:4].tolist()}")
        if scale.shape != zero.shape:
            raise _wrong(node, f"has {scale.size} scales and {zero.size} zero points")
        if node.output[0] in self._wiring.outputs:
            raise _wrong(node, "makes an output of the graph, which stays as it is")
        self._neighbours(node)

    def _neighbours(self, node: NodeProto) -> None:
        source = node.input[0]
        if node.op_type == "QuantizeLinear":
            readers = self._wiring.readers[node.output[0]]
            if any(r.op_type != "DequantizeLinear" or r.input[1:] != node.input[1:] for r in readers) or not readers:
                raise _wrong(node, "is not read by a DequantizeLinear of the same scale")
            if sum(r.op_type == "QuantizeLinear" for r in self._wiring.readers[source]) > 1:
                raise _wrong(node, f"quantizes {source!r} once more; one is shared by all its readers")
            self._not_before_activation(node)
        else:
            maker = self._wiring.makers.get(source)
            values = self._constants.get(source)
            if (maker is None or maker.op_type != "QuantizeLinear") and (values is None or values.dtype != np.int8):
                raise _wrong(node, "dequantizes what is neither quantized nor an int8 constant")

    def _not_before_activation(self, node: NodeProto) -> None:
        maker = self._wiring.makers.get(node.input[0])
        if maker is None or maker.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            return
        for pair in self._wiring.readers[node.output[0]]:
            for reader in self._wiring.readers[pair.output[0]]:
                if reader.op_type in _ACTIVATIONS:
                    raise _wrong(node, f"stands between {maker.name!r} and {reader.name!r}, which are fused")

    def _layer(self, node: NodeProto, layer: Layer) -> bool:
        """Whether it reads int8.

        Raises:
            ModelError: if it does in part, or should and does not.
        """
        places = (*layer.data, *(() if layer.weights is None else (layer.weights,)))
        fed = [self._pair_before(node.input[place]) for place in places]
        if not any(fed) and node.name in self._left_out:
            return False
        if None in fed:
            place = places[fed.index(None)]
            raise _wrong(node, f"reads {node.input[place]!r} in floating point, and is not among those left out")
        for place, pair in zip(places, fed, strict=True):
            assert pair is not None  # noqa: S101 - just looked for
            if place == layer.weights:
                self._of_weights(node, pair)
            elif self._constants[pair.input[1]].size != 1:
                raise _wrong(pair, "has several scales; an activation has one")
            else:
                self._activations.add(pair.input[0])
        if node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.input) > 2 and node.input[2]:
            bias = self._constants.get(node.input[2])
            if bias is None or bias.dtype != np.float32:
                raise _wrong(node, "has a bias that is no float32 constant")
        return True

    def _of_weights(self, node: NodeProto, pair: NodeProto) -> None:
        maker = self._wiring.makers.get(pair.input[0])
        values = self._constants.get(pair.input[0] if maker is None else maker.input[0])
        if values is None:
            raise _wrong(pair, "has weights that are no constant")
        axis = channel_axis(node, values.ndim)
        scales = self._constants[pair.input[1]].size
        wanted = 1 if axis is None else values.shape[axis]
        if scales != wanted or (axis is not None and attribute(pair, "axis", 1) != axis):
            raise _wrong(
                pair, f"has {scales} scales along axis {attribute(pair, 'axis', 1)}; {wanted} along {axis} are needed"
            )
        self._weights.add(pair.input[0])

    def _pair_before(self, name: str) -> NodeProto | None:
        maker = self._wiring.makers.get(name)
        return maker if maker is not None and maker.op_type == "DequantizeLinear" else None


def _without_pairs(model: ModelProto) -> ModelProto:
    """The float graph that the pairs were put into: each layer reads what stands before its pair."""
    plain = ModelProto()
    plain.CopyFrom(model)
    before: dict[str, str] = {}
    for node in plain.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            before[node.output[0]] = before.get(node.input[0], node.input[0])
    kept = [node for node in plain.graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = before.get(name, name)
    del plain.graph.node[:]
    plain.graph.node.extend(kept)
    return plain


def _wrong(node: NodeProto, what: str) -> ModelError:
    return ModelError(f"{node.op_type} {node.name!r} {what}")
