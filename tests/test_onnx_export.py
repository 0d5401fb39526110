"""A float .tflite becomes an ONNX model that computes the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edge_sdk.errors import MissingPackageError, ModelError
from tests.tiny_models import TinyModel, conv_options, image_net, options, schema

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

from converters.targets.onnx import Weight, export_onnx
from tests.onnx_twins import OPSETS, one_operator, twins


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


def test_numbers_that_are_not_known_may_be_weights():
    """ONNX Runtime takes them; they are named no weights."""
    inputs = [(1, 4, 4, 3), (2, 3, 3, 3), np.zeros(2, np.float32)]
    found = twins(one_operator("CONV_2D", inputs, conv_options()), nchw=False)
    assert found.worst < 1e-6 and not found.exported.weights


def test_float16_weights_become_float32():
    net = TinyModel()
    entry, half = net.tensor("x", (1, 6)), net.constant("half", np.ones((3, 6), np.float16))
    full, made = net.tensor("full", (3, 6)), net.tensor("y", (1, 3))
    net.operator("DEQUANTIZE", [half], [full], options("Dequantize"))
    net.operator("FULLY_CONNECTED", [entry, full, -1], [made], options("FullyConnected"))
    found = twins(net.build([entry], [made]))
    assert found.operators == ["Gemm"] and found.worst < 1e-6
    assert [weight.tensor for weight in found.exported.weights.values()] == ["half"]


def test_an_operator_that_is_not_known_is_named_with_those_that_are():
    net = TinyModel()
    entry, made = net.tensor("x", (1, 6)), net.tensor("y", (1, 6))
    net.operator("MyOwn", [entry], [made])
    with pytest.raises(ModelError, match=r"no translation to ONNX of MyOwn\. Known are ABS, ADD, .* UNPACK"):
        export_onnx(net.build([entry], [made]))


def test_a_fault_names_the_operator():
    net = TinyModel()
    entry, axes, made = net.tensor("x", (1, 6)), net.tensor("axes", (1,), dtype="INT32"), net.tensor("y", (1,))
    net.operator("MEAN", [entry, axes], [made], options("Reducer"))
    with pytest.raises(ModelError, match=r"MEAN \(operator 0, 'y'\): the axes is computed while the model runs"):
        export_onnx(net.build([entry, axes], [made]))


def test_a_quantized_model_is_refused():
    net = TinyModel()
    entry, made = net.tensor("x", (1, 6), dtype="INT8"), net.tensor("y", (1, 6), dtype="INT8")
    for tensor in net.graph.tensors:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = np.ones(1, np.float32), np.zeros(1, np.int64)
    net.operator("RELU", [entry], [made])
    with pytest.raises(ModelError, match="tensor 'x' is quantized; a float model is exported"):
        export_onnx(net.build([entry], [made]))


@pytest.mark.parametrize("opset", [12, 99])
def test_an_opset_that_is_not_known(opset):
    with pytest.raises(ModelError, match=f"no export to opset {opset}; 13 to 21 are allowed"):
        export_onnx(image_net(), opset=opset)


def test_what_is_no_model():
    with pytest.raises(ModelError, match=r"not a \.tflite model"):
        export_onnx(b"nothing")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"edge-device-sdk\[onnx\]"):
        export_onnx(image_net())
