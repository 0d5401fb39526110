"""Bias correction on the ONNX graph: what rounding moves the mean of each layer's output channels by goes into its float bias.

Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, arXiv:1906.04721, section 4.2. Layers are corrected in
the order of execution, each on what the corrected ones before it give. The mean is taken before the activation function. Biases are float32
in TensorRT's form, so that a correction costs the device nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from converters.targets.jetson.nodes import constants, put_constant
from converters.targets.jetson.run import Runner
from edge_sdk.tensors import Array

_CORRECTED = ("Conv", "ConvTranspose", "Gemm")
SAMPLES = 8


def correct_biases(
    model: ModelProto, quantized: ModelProto, inputs: Iterable[Array], check: Callable[[], None] = lambda: None
) -> ModelProto:
    """A copy of a quantized graph with corrected biases.

    Args:
        model: the float graph that it was made of; nodes have the same names.
        quantized: the same with QuantizeLinear and DequantizeLinear.
        inputs: input tensors of a few samples; they are held in memory.
        check: called between layers.
    """
    kept = [tensor.copy() for tensor in inputs]
    made = ModelProto()
    made.CopyFrom(quantized)
    layers = [node for node in made.graph.node if node.op_type in _CORRECTED and _is_quantized(node)]
    for node in layers:
        _give_bias(made, node)
    outputs = [node.output[0] for node in layers]
    wanted = _means(Runner(model, outputs), outputs, kept, {})
    free = {node.input[2]: values for node in layers if (values := constants(made).get(node.input[2])) is not None}
    runner = Runner(_with_free(made, free), outputs)
    for node in layers:
        check()
        found = _means(runner, [node.output[0]], kept, free)[node.output[0]]
        bias = free[node.input[2]]
        free[node.input[2]] = (bias + (wanted[node.output[0]] - found)).astype(np.float32)
    for name, values in free.items():
        put_constant(made, name, values)
    return made


def _is_quantized(node: NodeProto) -> bool:
    return node.input[1].endswith("/dequantized")


def _give_bias(model: ModelProto, node: NodeProto) -> None:
    """A bias of its own, as others may share it; zeros where there was none."""
    known = constants(model)
    name = f"{node.output[0]}/corrected_bias"
    if len(node.input) > 2 and node.input[2]:
        values = np.array(known[node.input[2]], np.float32)
        node.input[2] = name
    else:
        scales = known[f"{node.input[1].removesuffix('/dequantized')}/scale"]
        values = np.zeros(_channels(model, node, scales), np.float32)
        if len(node.input) > 2:
            node.input[2] = name
        else:
            node.input.append(name)
    put_constant(model, name, values)


def _channels(model: ModelProto, node: NodeProto, scales: Array) -> int:
    if scales.ndim:
        return int(scales.size)
    pair = next(n for n in model.graph.node if n.output[0] == node.input[1])  # a transposed convolution in groups
    maker = next((n for n in model.graph.node if n.output[0] == pair.input[0]), None)
    shape = constants(model)[pair.input[0] if maker is None else maker.input[0]].shape
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    return int(shape[1]) * groups


def _with_free(model: ModelProto, free: dict[str, Array]) -> ModelProto:
    """The same with these initializers as inputs too, so that a run may give others."""
    opened = ModelProto()
    opened.CopyFrom(model)
    opened.graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name, values in free.items()
    )
    return opened


def _means(runner: Runner, names: list[str], inputs: list[Array], free: dict[str, Array]) -> dict[str, Array]:
    """The mean of each channel of some layers' outputs: float64, (channels,)."""
    sums = dict.fromkeys(names, np.zeros(()))
    for tensor in inputs:
        values = runner.run(tensor, free)
        for name in names:
            output = values[name]
            axis = 1 if output.ndim > 2 else output.ndim - 1
            others = tuple(a for a in range(output.ndim) if a != axis)
            sums[name] = sums[name] + output.mean(axis=others, dtype=np.float64) / len(inputs)
    return sums
