"""The .tflite graph made of an ONNX model is in NHWC, and holds no operator that is not needed."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from tests.tiny_onnx import agrees, chain, f32, i64, model, node, operators  # noqa: E402 - needs onnx


def test_convolutional_net_is_nhwc_and_as_small_as_can_be() -> None:
    w = {"k": f32(8, 4, 3, 3), "scale": f32(8), "bias": f32(8), "mean": f32(8), "variance": np.abs(f32(8)) + 0.1}
    w |= {"d": f32(8, 1, 3, 3), "low": np.float32(0), "high": np.float32(6), "w": f32(10, 8), "b": f32(10)}
    net = chain(
        ("Conv", ["k"], {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["scale", "bias", "mean", "variance"], {}),
        ("Clip", ["low", "high"], {}),
        ("Conv", ["d"], {"group": 8, "pads": [1, 1, 1, 1]}),
        ("Relu", [], {}),
        ("GlobalAveragePool", [], {}),
        ("Flatten", [], {}),
        ("Gemm", ["w", "b"], {"transB": 1}),
        ("Softmax", [], {"axis": -1}),
        **w,
    )
    imported = agrees(net)
    assert imported.nhwc_input
    assert imported.nhwc_outputs == (False,)
    assert operators(imported.content) == dict.fromkeys(
        ("CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX"), 1
    )


FUSED = {
    "padding before a convolution": (
        [("Pad", ["pads"], {}), ("Conv", ["k"], {"strides": [2, 2]})],
        {"pads": i64(0, 0, 0, 0, 0, 0, 1, 1), "k": f32(8, 4, 3, 3)},
        {"CONV_2D": 1},
    ),
    "a scale and a shift behind one": (
        [("Conv", ["k"], {}), ("Mul", ["a"], {}), ("Sub", ["s"], {}), ("Neg", [], {})],
        {"k": f32(8, 4, 3, 3), "a": f32(8, 1, 1), "s": f32(1, 8, 1, 1)},
        {"CONV_2D": 1},
    ),
    "a scale behind a turned convolution": (
        [("Conv", ["k"], {}), ("Transpose", [], {"perm": [0, 2, 3, 1]}), ("Mul", ["a"], {}), ("Add", ["a"], {})],
        {"k": f32(8, 4, 3, 3), "a": f32(8)},
        {"CONV_2D": 1},
    ),
    "a mean and the weights behind it": (
        [("ReduceMean", [], {"axes": [2, 3], "keepdims": 0}), ("Reshape", ["s"], {}), ("Conv", ["k"], {})],
        {"k": f32(8, 4, 1, 1), "s": i64(1, 4, 1, 1)},
        {"MEAN": 1, "CONV_2D": 1},
    ),
    "a bias behind MatMul": (
        [("Flatten", [], {}), ("MatMul", ["w"], {}), ("Add", ["b"], {}), ("Relu", [], {})],
        {"w": f32(144, 5), "b": f32(5)},
        {"RESHAPE": 1, "FULLY_CONNECTED": 1},
    ),
    "flattening between a pool and weights": (
        [("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Flatten", [], {}), ("Dropout", [], {}), ("Gemm", ["w"], {})],
        {"w": f32(36, 5)},
        {"MAX_POOL_2D": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1},
    ),
    "a tensor-flow model's turns": (
        [("Transpose", [], {"perm": [0, 3, 1, 2]}), ("Conv", ["k"], {}), ("Relu", [], {}), ("Transpose", [], {"perm": [0, 2, 3, 1]})],
        {"k": f32(8, 6, 3, 3)},
        {"CONV_2D": 1},
    ),
    "a head of a detector": (
        [("Conv", ["k"], {}), ("Transpose", [], {"perm": [0, 2, 3, 1]}), ("Reshape", ["s"], {}), ("Sigmoid", [], {})],
        {"k": f32(8, 4, 3, 3), "s": i64(1, -1, 4)},
        {"CONV_2D": 1, "RESHAPE": 1, "LOGISTIC": 1},
    ),
    "pixel shuffle": (
        [("Conv", ["k"], {}), ("DepthToSpace", [], {"blocksize": 2, "mode": "CRD"})],
        {"k": f32(8, 4, 3, 3)},
        {"CONV_2D": 1, "DEPTH_TO_SPACE": 1},
    ),
    "channel shuffle": (
        [("Conv", ["k"], {}), ("Reshape", ["a"], {}), ("Transpose", [], {"perm": [0, 2, 1, 3, 4]}), ("Reshape", ["b"], {}),
         ("Conv", ["l"], {})],
        {"k": f32(8, 4, 3, 3), "a": i64(1, 2, 4, 4, 4), "b": i64(1, 8, 4, 4), "l": f32(2, 8, 1, 1)},
        {"CONV_2D": 2, "RESHAPE": 2, "TRANSPOSE": 1},
    ),
    "a pool behind an activation": (
        [("Relu", [], {}), ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})],
        {},
        {"RELU": 1, "PAD": 1, "MAX_POOL_2D": 1},
    ),
    "a written-out group normalisation": (
        [("Reshape", ["a"], {}), ("InstanceNormalization", ["s", "t"], {}), ("Reshape", ["b"], {}), ("Mul", ["m"], {})],
        {"a": i64(0, 2, -1), "s": f32(2), "t": f32(2), "b": i64(1, 4, 6, 6), "m": f32(4, 1, 1)},
        {"RESHAPE": 2, "MEAN": 2, "SUB": 1, "MUL": 4, "ADD": 2, "RSQRT": 1},
    ),
    "squeeze and excitation": (
        [("GlobalAveragePool", [], {}), ("Conv", ["k"], {}), ("HardSigmoid", [], {"alpha": 1 / 6})],
        {"k": f32(8, 4, 1, 1)},
        {"MEAN": 1, "CONV_2D": 1, "MUL": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
def test_no_operator_is_left_that_is_not_needed(name: str) -> None:
    nodes, constants, wanted = FUSED[name]
    assert operators(agrees(chain(*nodes, **constants)).content) == wanted


def test_convolutions_over_a_length_are_fused_with_what_follows() -> None:
    net = [
        node("Conv", ["x", "k"], ["a"], pads=[1, 1]), node("Relu", ["a"], ["b"]), node("Conv", ["b", "l"], ["c"], pads=[1, 1]),
        node("Add", ["c", "a"], ["d"]), node("Relu", ["d"], ["y"]),
    ]  # fmt: skip
    found = operators(agrees(model(net, (1, 4, 9), k=f32(8, 4, 3), l=f32(8, 8, 3))).content)
    assert found == {"RESHAPE": 2, "CONV_2D": 2, "ADD": 1, "RELU": 1}


@pytest.mark.parametrize("written", ["erf", "hard swish", "hard sigmoid", "silu"])
def test_written_out_activation_is_recognised(written: str) -> None:
    constants = {"two": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5), "three": np.float32(3)}
    constants |= {"zero": np.float32(0), "six": np.float32(6)}
    nodes, wanted = {
        "erf": ([node("Div", ["x", "two"], ["a"]), node("Erf", ["a"], ["b"]), node("Add", ["b", "one"], ["c"]),
                 node("Mul", ["x", "c"], ["d"]), node("Mul", ["d", "half"], ["y"])], {"GELU": 1}),
        "hard swish": ([node("Add", ["x", "three"], ["a"]), node("Clip", ["a", "zero", "six"], ["b"]), node("Mul", ["x", "b"], ["c"]),
                        node("Div", ["c", "six"], ["y"])], {"HARD_SWISH": 1}),
        "hard sigmoid": ([node("HardSigmoid", ["x"], ["a"], alpha=1 / 6), node("Mul", ["x", "a"], ["y"])], {"HARD_SWISH": 1}),
        "silu": ([node("Sigmoid", ["x"], ["a"]), node("Mul", ["x", "a"], ["y"])], {"LOGISTIC": 1, "MUL": 1}),
    }[written]  # fmt: skip
    assert operators(agrees(model(nodes, **constants), low=-5, high=5).content) == wanted


def test_logic_and_choice() -> None:
    nodes = [node("Greater", ["x", "zero"], ["a"]), node("Less", ["x", "one"], ["b"]), node("And", ["a", "b"], ["c"]),
             node("Not", ["c"], ["d"]), node("Or", ["d", "a"], ["e"]), node("Xor", ["e", "b"], ["f"]),
             node("Where", ["f", "x", "zero"], ["y"])]  # fmt: skip
    agrees(model(nodes, zero=np.float32(0), one=np.float32(1)))


def test_attention() -> None:
    shape = i64(1, 6, 2, 4)
    nodes = [node("MatMul", ["x", "q"], ["a"]), node("Reshape", ["a", "s"], ["b"]), node("Transpose", ["b"], ["c"], perm=[0, 2, 1, 3]),
             node("MatMul", ["x", "k"], ["d"]), node("Reshape", ["d", "s"], ["e"]),
             node("Transpose", ["e"], ["f"], perm=[0, 2, 3, 1]),
             node("MatMul", ["c", "f"], ["g"]), node("Softmax", ["g"], ["h"], axis=-1), node("MatMul", ["h", "c"], ["i"]),
             node("Transpose", ["i"], ["j"], perm=[0, 2, 1, 3]), node("Reshape", ["j", "t"], ["l"]),
             node("MatMul", ["l", "q"], ["y"])]  # fmt: skip
    content = model(nodes, (1, 6, 8), q=f32(8, 8), k=f32(8, 8), s=shape, t=i64(1, 6, 8))
    assert operators(agrees(content).content)["TRANSPOSE"] == 3


def test_shape_arithmetic_is_folded() -> None:
    nodes = [node("Shape", ["x"], ["a"]), node("Gather", ["a", "two"], ["b"]), node("Mul", ["b", "b"], ["c"]),
             node("Unsqueeze", ["c", "zero"], ["d"]), node("Concat", ["one", "four", "d"], ["e"], axis=0),
             node("Reshape", ["x", "e"], ["f"]),
             node("ConstantOfShape", ["e"], ["g"], value=onnx.numpy_helper.from_array(np.array([2], np.float32))),
             node("Add", ["f", "g"], ["y"])]  # fmt: skip
    content = model(nodes, two=np.int64(2), zero=i64(0), one=i64(1), four=i64(4))
    assert operators(agrees(content).content) == {"RESHAPE": 1, "ADD": 1}


def test_outputs_that_are_the_same_tensor_stay_apart() -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Identity", ["y"], ["z"]), node("Identity", ["x"], ["w"])]
    agrees(model(nodes, outputs=("y", "z", "w")))


def test_float16_and_float64_weights_become_float32() -> None:
    half = chain(("Cast", [], {"to": 10}), ("Mul", ["c"], {}), ("Cast", [], {"to": 1}), c=np.float16(0.3))
    assert "float16" in agrees(half, tolerance=2e-3).notes[0]
    double = chain(("Cast", [], {"to": 11}), ("Mul", ["c"], {}), ("Cast", [], {"to": 1}), c=np.float64(0.3))
    assert "float64" in agrees(double).notes[0]
