"""A float .tflite becomes an ONNX model that computes the same."""

from __future__ import annotations

import pytest

from tests.tiny_models import image_net

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

from converters.targets.onnx import Weight
from tests.onnx_twins import twins

OPSETS = (13, 17, 18, 19, 21)


@pytest.mark.parametrize("opset", OPSETS)
def test_a_small_net(opset):
    found = twins(image_net(), opset=opset)
    assert found.worst < 1e-6
    assert found.operators == ["Conv", "Relu", "GlobalAveragePool", "Reshape", "Gemm", "Softmax"]
    assert found.exported.channels_first == {"image", "features", "active"}
    assert found.exported.tensors == {
        name: name for name in ("image", "features", "active", "pooled", "logits", "scores")
    }
    assert found.exported.weights == {"kernel": Weight("kernel", 0), "weights": Weight("weights", 0)}
