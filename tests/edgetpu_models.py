"""Models as the Edge TPU compiler leaves them: one custom operator a partition, around it what stays on the processor."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.tiny_models import TinyModel

OPERATOR = "edgetpu-custom-op"


def compiled_model(
    package: bytes = b"package", *, partitions: int = 1, shape: tuple[int, ...] = (1, 4), dtype: str = "INT8"
) -> bytes:
    """Custom operators one behind the other, each of the input's shape; not with a package that the inspector could read."""
    net = TinyModel()
    entry = last = net.tensor("input", shape, dtype=dtype)
    for number in range(partitions):
        made = net.tensor(f"output{number}", shape, dtype=dtype)
        custom(net, [last], [made], package + bytes([number]) * (number > 0))
        last = made
    for tensor in net.graph.tensors:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array([1.0], np.float32)
        tensor.quantization.zeroPoint = np.array([0], np.int64)
    return net.build([entry], [last])


def custom(net: TinyModel, inputs: list[int], outputs: list[int], package: bytes) -> None:
    """Add a custom operator."""
    net.operator(OPERATOR, inputs, outputs)
    net.graph.operators[-1].customOptions = np.frombuffer(package, np.uint8)
