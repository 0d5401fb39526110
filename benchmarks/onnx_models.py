"""MobileNetV2-224 as ONNX, channels first, made once with fixed seeds and kept in build/bench/onnx: float, and int8 in QDQ form.

The form is that of Sandler et al., arXiv:1801.04381, alpha 1.0, 1,000 classes; its weights are random, as times do not depend on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import BUILD, say

FOLDER = BUILD / "onnx"
FLOAT = FOLDER / "mobilenet_v2_224_float.onnx"
QDQ = FOLDER / "mobilenet_v2_224_qdq.onnx"
# expansion, channels, repeats, first stride
_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def make_onnx_models() -> None:
    """Make what is missing."""
    if FLOAT.is_file() and QDQ.is_file():
        return
    say("building MobileNetV2 as ONNX ...")
    FOLDER.mkdir(parents=True, exist_ok=True)
    beside = FOLDER / "new.onnx"
    beside.write_bytes(_MobileNet().content())
    beside.replace(FLOAT)
    _quantize(FLOAT, beside)
    beside.replace(QDQ)


class _MobileNet:
    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self._node, self._tensor = helper.make_node, numpy_helper.from_array
        self._rng = np.random.default_rng(0)
        self._nodes: list[Any] = []
        self._weights = [self._tensor(np.float32(n), name) for name, n in (("zero", 0), ("six", 6))]

    def content(self) -> bytes:
        """The model's file."""
        from onnx import TensorProto, helper

        channels, x = 32, self._convolution("x", 3, 32, 3, stride=2)
        for expansion, wide, repeats, stride in _BLOCKS:
            for number in range(repeats):
                x = self._block(x, channels, expansion, wide, stride if number == 0 else 1)
                channels = wide
        x = self._convolution(x, channels, 1280, 1)
        self._nodes += [
            self._node("GlobalAveragePool", [x], ["pooled"]),
            self._node("Flatten", ["pooled"], ["flat"]),
            self._node(
                "Gemm", ["flat", self._random("fc", 1000, 1280), self._random("fc_bias", 1000)], ["y"], transB=1
            ),
        ]
        graph = helper.make_graph(
            self._nodes,
            "mobilenet_v2",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 224, 224))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1000))],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        return bytes(model.SerializeToString())

    def _block(self, x: str, channels: int, expansion: int, wide: int, stride: int) -> str:
        inner = channels * expansion
        y = self._convolution(x, channels, inner, 1) if expansion > 1 else x
        y = self._convolution(y, inner, inner, 3, stride=stride, groups=inner)
        y = self._convolution(y, inner, wide, 1, relu=False)
        if stride > 1 or channels != wide:
            return y
        self._nodes.append(self._node("Add", [x, y], [f"{y}_sum"]))
        return f"{y}_sum"

    def _convolution(
        self, x: str, channels: int, filters: int, side: int, *, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> str:
        name = f"conv{len(self._nodes)}"
        weights = self._random(f"{name}_w", filters, channels // groups, side, side)
        how: dict[str, Any] = {"strides": [stride] * 2, "pads": [side // 2] * 4, "group": groups}
        inputs = [x, weights, self._random(f"{name}_b", filters)]
        self._nodes.append(self._node("Conv", inputs, [name], kernel_shape=[side] * 2, **how))
        if not relu:
            return name
        self._nodes.append(self._node("Clip", [name, "zero", "six"], [f"{name}_r"]))
        return f"{name}_r"

    def _random(self, name: str, *shape: int) -> str:
        spread = np.sqrt(2 / max(1, np.prod(shape[1:])))
        self._weights.append(self._tensor(self._rng.normal(0, spread, shape).astype(np.float32), name))
        return name


def _quantize(source: Path, target: Path) -> None:
    """Symmetric int8, weights by channel, in pairs of QuantizeLinear and DequantizeLinear: as TensorRT takes it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rng = np.random.default_rng(1)
            self._left = [{"x": rng.normal(0, 1, (1, 3, 224, 224)).astype(np.float32)} for _ in range(4)]

        def get_next(self) -> dict[str, Any] | None:
            return self._left.pop() if self._left else None

    quantize_static(
        source,
        target,
        Noise(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
