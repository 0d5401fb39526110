"""The proof: a model is integer from end to end, or the operator and tensor that are not are named."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.verify.prove import prove
from edge_sdk.errors import ModelError, NotIntegerError
from tests.tiny_models import TinyModel, image_net


def integer_net() -> tuple[TinyModel, list[int]]:
    net = TinyModel()
    tensors = [net.tensor(name, (1, 4), dtype="INT8") for name in ("input", "middle", "last")]
    for index in tensors:
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = np.array([0.25], np.float32), np.array([3], np.int64)
        net.graph.tensors[index].quantization = quantization
    net.operator("RELU", tensors[0:1], tensors[1:2])
    net.operator("TANH", tensors[1:2], tensors[2:3])
    return net, tensors


def test_integer_model_is_proven_with_its_operators_and_ends() -> None:
    net, tensors = integer_net()
    proven = prove(net.build(tensors[:1], tensors[2:]))
    assert proven.operators == {"RELU": 1, "TANH": 1}
    assert [(spec.name, spec.dtype, spec.scale, spec.zero_point) for spec in proven.inputs] == [
        ("input", "int8", 0.25, 3)
    ]


def test_float_model_is_not() -> None:
    with pytest.raises(NotIntegerError, match=r"'features' of CONV_2D \(operator 0\) is float32.*Choices") as caught:
        prove(image_net())
    assert (caught.value.operator, caught.value.tensor) == ("CONV_2D (operator 0)", "features")


@pytest.mark.parametrize(("place", "named"), [(0, "'input' of RELU"), (1, "'middle' of RELU"), (2, "'last' of TANH")])
def test_one_float_tensor_anywhere_is_found(place: int, named: str) -> None:
    net, tensors = integer_net()
    net.graph.tensors[tensors[place]].type = schema.TensorType.FLOAT32
    with pytest.raises(NotIntegerError, match=named):
        prove(net.build(tensors[:1], tensors[2:]))


def test_float_constant_is_found() -> None:
    net, tensors = integer_net()
    constant = net.constant("alpha", np.ones(4, np.float16))
    net.graph.operators[1].inputs = np.array([tensors[1], constant], np.int32)
    with pytest.raises(NotIntegerError, match=r"'alpha' of TANH \(operator 1\) is float16"):
        prove(net.build(tensors[:1], tensors[2:]))


def test_custom_operator_dynamic_shape_and_second_subgraph_are_no_proof() -> None:
    net, tensors = integer_net()
    net.operator("Mystery", tensors[2:], tensors[2:])
    with pytest.raises(ModelError, match=r"Mystery \(operator 2\) is a custom operator"):
        prove(net.build(tensors[:1], tensors[2:]))
    net, tensors = integer_net()
    net.graph.tensors[tensors[1]].shapeSignature = np.array([-1, 4], np.int32)
    with pytest.raises(ModelError, match=r"'middle' of RELU .* dynamic shape"):
        prove(net.build(tensors[:1], tensors[2:]))
    net, tensors = integer_net()
    net.model.subgraphs.append(net.graph)
    with pytest.raises(ModelError, match="2 subgraphs"):
        prove(net.build(tensors[:1], tensors[2:]))
