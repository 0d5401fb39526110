"""Bias correction on the ONNX graph: what rounding moves the mean of each layer's output channels by goes into its float bias.

Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, arXiv:1906.04721, section 4.2. Layers are corrected in
the order of execution, each on what the corrected ones before it give. The mean is taken before the activation function. Biases are float32
in TensorRT's form, so that a correction costs the device nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from onnx import ModelProto, NodeProto

from converters.targets.jetson.nodes import constants, put_constant
from converters.targets.jetson.stages import Stages
from edge_sdk.tensors import Array

_CORRECTED = ("Conv", "ConvTranspose", "Gemm")
SAMPLES = 48  # fewer tell more of themselves than of the mean


def correct_biases(model: ModelProto, quantized: ModelProto, inputs: Iterable[Array]) -> ModelProto:
    """A copy of a quantized graph with corrected biases.

    Args:
        model: the float graph that it was made of; nodes have the same names.
        quantized: the same with QuantizeLinear and DequantizeLinear.
        inputs: input tensors of a few dozen samples; they are held in memory.
    """
    kept = [tensor.copy() for tensor in inputs]
    made = ModelProto()
    made.CopyFrom(quantized)
    layers = [node for node in made.graph.node if node.op_type in _CORRECTED and _is_quantized(node)]
    before, after = Stages(model, kept), Stages(made, kept)
    for node in layers:
        output = node.output[0]
        wanted, found = _mean(before.up_to(output)), _mean(after.up_to(output))
        # what reads the output has not run yet: the correction goes into it there, and into the file
        after.add(output, _along(wanted - found, node))
        _add_to_bias(made, node, wanted - found)
    return made


def _is_quantized(node: NodeProto) -> bool:
    return bool(node.input[1].endswith("/dequantized"))


def _mean(outputs: Iterator[Array]) -> Array:
    """Of each channel: float64, (channels,)."""
    means = []
    for output in outputs:
        axis = 1 if output.ndim > 2 else output.ndim - 1
        means.append(output.mean(axis=tuple(a for a in range(output.ndim) if a != axis), dtype=np.float64))
    return np.asarray(np.mean(means, axis=0))


def _along(values: Array, node: NodeProto) -> Array:
    """Numbers of the channels in the form of a layer's output, to be added to it."""
    if node.op_type == "Gemm":
        return values.astype(np.float32)
    return values.astype(np.float32).reshape(1, -1, 1, 1)


def _add_to_bias(model: ModelProto, node: NodeProto, amount: Array) -> None:
    """To one of its own, as others may share it."""
    stated = node.input[2] if len(node.input) > 2 else ""
    old = constants(model)[stated].astype(np.float64) if stated else np.zeros(amount.shape)
    name = f"{node.output[0]}/corrected_bias"
    put_constant(model, name, (old + amount).astype(np.float32))
    if len(node.input) > 2:
        node.input[2] = name
    else:
        node.input.append(name)
