"""16-bit activations for single layers, where every target takes them: 256 times finer steps, at some cost in time."""

from __future__ import annotations

from collections.abc import Sequence

from converters.report.figures import Layer
from edge_sdk.tflite import describe

# Operators whose 16-bit activations TensorFlow Lite's and LiteRT's kernels take (docs: 16x8 quantization).
TAKE_INT16 = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "ADD",
    "SUB",
    "MUL",
    "LOGISTIC",
    "TANH",
    "SOFTMAX",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
)


def int16_tensors(content: bytes, layers: Sequence[Layer], most: int = 1) -> tuple[str, ...]:
    """The tensors whose operators gain most by 16-bit activations: of the layers given, the first that a kernel exists for.

    Args:
        content: the float model.
        layers: the ones to treat, the most urgent first.
        most: how many to name.
    """
    model = describe(content)
    makers = {model.tensors[index].name: operator.name for operator in model.operators for index in operator.outputs}
    return tuple([layer.tensor for layer in layers if makers.get(layer.tensor) in TAKE_INT16][:most])
