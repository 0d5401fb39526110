"""Centring: an activation that lies on one side of 0 is shifted so that symmetric int8 uses all of its 256 steps.

Behind a Relu half of a symmetric range is empty, which costs one bit. Where a tensor x is read only by layers that are linear in it and pad
nothing (1x1 convolutions, Gemm, MatMul), x - s can take its place: layer(x) = layer(x - s) + W s, and W s goes into the bias. The shift
itself is free where x = clip(y + b, low, high) with a bias b of its own: x - s = clip(y + (b - s), low - s, high - s). Elsewhere it is one
Sub, worth it for small tensors only. It is the zero point of asymmetric quantization moved into the biases ahead of time (compare Nagel et
al., arXiv:1906.04721, section 4.1.3, "absorbing high biases", which moves what lies above 0 for most samples).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, helper

from converters.targets.jetson.layers import Layer, Wiring
from converters.targets.jetson.nodes import attribute, constants, put_constant
from edge_sdk.tensors import Array

_LEAST_SKEW = 0.25  # of the range's length: what less can be won is not worth it
_SMALL = 4096  # values of a tensor that a Sub of its own may shift


@dataclass(frozen=True)
class Centred:
    """A float graph of the same function, and what each shifted tensor was shifted by."""

    model: ModelProto
    shifts: dict[str, float]


def centre(
    model: ModelProto, layers: Sequence[Layer], ends: Mapping[str, tuple[float, float]], sizes: Mapping[str, int]
) -> Centred:
    """Shift every tensor that allows it and gains by it.

    Args:
        model: the float graph.
        layers: those that will be quantized.
        ends: of the range of every activation that they read.
        sizes: how many values a tensor has, where it is known.
    """
    made = ModelProto()
    made.CopyFrom(model)
    shifter = _Shifter(made, {layer.name: layer for layer in layers})
    shifts = {}
    for name, both in ends.items():
        low, high = min(*both, 0.0), max(*both, 0.0)
        shift = (low + high) / 2
        if abs(shift) < _LEAST_SKEW * (high - low) / 2 or not shifter.allows(name):
            continue
        if shifter.shift(name, float(np.float32(shift)), small=sizes.get(name, _SMALL + 1) <= _SMALL):
            shifts[name] = shift
    return Centred(made, shifts)


class _Shifter:
    def __init__(self, model: ModelProto, layers: Mapping[str, Layer]) -> None:
        self._model, self._layers = model, layers
        self._wiring, self._constants = Wiring(model), constants(model)

    def allows(self, name: str) -> bool:
        """Whether all that read a tensor can take a shift into their bias."""
        readers = self._wiring.readers[name]
        if not readers or name not in self._wiring.makers or name in self._wiring.outputs:
            return False
        return all(self._absorbs(node, name) for node in readers)

    def _absorbs(self, node: NodeProto, name: str) -> bool:
        layer = self._layers.get(node.name)
        if layer is None or layer.weights is None or node.op_type not in ("Conv", "Gemm") or node.input[0] != name:
            return False
        if len(node.input) > 2 and node.input[2] and node.input[2] not in self._constants:
            return False
        if node.op_type == "Gemm":
            return bool(attribute(node, "transA", 0) == 0 and attribute(node, "beta", 1.0) == 1.0)
        return not any(attribute(node, "pads", ())) and attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")

    def shift(self, name: str, shift: float, *, small: bool) -> bool:
        """Do it; False where it is not free, and not small."""
        maker = self._wiring.makers[name]
        before = self._wiring.makers.get(maker.input[0]) if maker.op_type in ("Relu", "Clip") else None
        free = before is not None and before.op_type in ("Conv", "ConvTranspose", "Gemm") and self._alone(maker)
        if free and self._clip_limits(maker) is not None:
            assert before is not None  # noqa: S101 - part of ``free``
            self._add_to_bias(before, -shift)
            self._move_clip(maker, shift)
        elif small:
            self._subtract(name, maker, shift)
        else:
            return False
        for node in self._wiring.readers[name]:
            self._absorb(node, shift)
        return True

    def _alone(self, activation: NodeProto) -> bool:
        reader = self._wiring.only_reader(activation.input[0])
        return reader is not None and reader.name == activation.name

    def _clip_limits(self, node: NodeProto) -> tuple[float | None, float | None] | None:
        """Of a Relu or Clip; None for one that is not there; None instead of both where they are computed."""
        if node.op_type == "Relu":
            return 0.0, None
        limits: list[float | None] = []
        for place in (1, 2):
            stated = node.input[place] if len(node.input) > place else ""
            if stated and stated not in self._constants:
                return None
            limits.append(float(self._constants[stated]) if stated else None)
        return limits[0], limits[1]

    def _move_clip(self, node: NodeProto, shift: float) -> None:
        limits = self._clip_limits(node)
        assert limits is not None  # noqa: S101 - checked before
        names = [node.input[0]]
        for side, limit in zip(("low", "high"), limits, strict=True):
            names.append("" if limit is None else f"{node.output[0]}/{side}")
            if limit is not None:
                self._put(names[-1], np.array(limit - shift, np.float32))
        node.op_type = "Clip"
        del node.input[:]
        node.input.extend(names if names[-1] else names[:-1])

    def _subtract(self, name: str, maker: NodeProto, shift: float) -> None:
        raw = f"{name}/unshifted"
        self._put(f"{name}/shift", np.array(shift, np.float32))
        maker.output[list(maker.output).index(name)] = raw
        node = helper.make_node("Sub", [raw, f"{name}/shift"], [name], f"{name}/centre")
        nodes = list(self._model.graph.node)
        place = next(number for number, each in enumerate(nodes) if each.name == maker.name)
        self._model.graph.node.insert(place + 1, node)

    def _absorb(self, node: NodeProto, shift: float) -> None:
        weights = self._constants[node.input[1]].astype(np.float64)
        if node.op_type == "Conv":
            gain = weights.sum(axis=(1, 2, 3)[: weights.ndim - 1])
        else:
            gain = weights.sum(axis=1 if attribute(node, "transB", 0) else 0) * attribute(node, "alpha", 1.0)
        self._add_to_bias(node, shift * gain)

    def _add_to_bias(self, node: NodeProto, amount: Array | float) -> None:
        name = f"{node.output[0]}/centred_bias"
        stated = node.input[2] if len(node.input) > 2 else ""
        channels = self._channels(node)
        old = self._constants[stated].astype(np.float64) if stated else np.zeros(channels)
        self._put(name, np.broadcast_to(old + amount, (channels,)).astype(np.float32))
        if len(node.input) > 2:
            node.input[2] = name
        else:
            node.input.append(name)

    def _channels(self, node: NodeProto) -> int:
        shape = self._constants[node.input[1]].shape
        match node.op_type:
            case "Conv":
                return int(shape[0])
            case "ConvTranspose":
                return int(shape[1]) * int(attribute(node, "group", 1))
        return int(shape[0 if attribute(node, "transB", 0) else 1])

    def _put(self, name: str, values: Array) -> None:
        put_constant(self._model, name, values)
        self._constants[name] = values
