"""How much each operator computes and moves, by the shapes of its tensors."""

from __future__ import annotations

import math
from math import prod

from edge_sdk.tflite import ModelDescription, Operator

Shape = tuple[int, ...]


def tflite_macs(model: ModelDescription, operator: Operator) -> int:
    """Multiply-accumulate operations of one operator of a .tflite model; 0 for kinds that have none."""
    taken = [model.tensors[i].shape if i >= 0 else () for i in operator.inputs]
    made = model.tensors[operator.outputs[0]].shape if operator.outputs else ()
    match operator.name, taken:
        case "CONV_2D", [_, weights, *_]:
            return prod(made) * prod(weights[1:])  # (output channels, height, width, input channels)
        case "DEPTHWISE_CONV_2D", [_, weights, *_]:
            return prod(made) * prod(weights[1:3])  # (1, height, width, output channels)
        case "TRANSPOSE_CONV", [_, weights, image, *_]:
            return prod(image[:3]) * prod(weights)
        case "FULLY_CONNECTED", [_, weights, *_]:
            return prod(made) * weights[-1]
        case "BATCH_MATMUL", [left, *_]:
            return prod(made) * left[-1]
    return 0


def tflite_bytes(model: ModelDescription, operator: Operator) -> int:
    """Bytes of an operator's inputs and outputs, weights included."""
    return sum(model.tensors[i].size_bytes for i in {*operator.inputs, *operator.outputs} if i >= 0)


_WEIGHTS = {"QLinearConv": 3, "ConvInteger": 1, "QLinearMatMul": 3, "QGemm": 3}  # which input; of others the second


def onnx_macs(kind: str, taken: list[Shape], made: Shape) -> int:
    """Multiply-accumulate operations of one ONNX operator, by the shapes of its inputs and of its first output."""
    place = _WEIGHTS.get(kind, 1)
    if len(taken) <= place or not taken[0]:
        return 0
    weights = taken[place]
    if kind in ("Conv", "FusedConv", "QLinearConv", "ConvInteger", "NhwcFusedConv"):
        return prod(made) * prod(weights[1:])  # (output channels, input channels of the group, height, width)
    if kind == "ConvTranspose":
        return prod(taken[0]) * prod(weights[1:])  # (input channels, output channels of the group, height, width)
    if kind in ("Gemm", "FusedGemm", "QGemm", "MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger"):
        depth = prod(taken[0]) * prod(weights) // max(1, prod(made))  # (m k)(k n) / (m n) = k^2, for one matrix
        return prod(made) * math.isqrt(depth)
    return 0
