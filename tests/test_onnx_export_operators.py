"""Every operator of TensorFlow Lite that is exported to ONNX computes the same there, in every order of axes and every opset."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

from converters.targets.onnx.operators import translators
from tests.onnx_twins import OPSETS, layers, one_operator, twins
from tests.tiny_models import options

SAME, VALID = 0, 1
IMAGE = (1, 5, 6, 4)
RNG = np.random.default_rng(7)


def case(name, inputs, fields=None, **more):
    """A graph that is built when a test asks for it."""
    return partial(one_operator, name, inputs, fields, **more)


def numbers(*shape):
    return RNG.normal(0, 1, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int32)


def unary(*names, shape=IMAGE, **fields):
    return {name: [case(name, [shape], **fields)] for name in names}


def binary(*names, **fields):
    pairs = [
        (IMAGE, IMAGE),
        (IMAGE, numbers(4)),
        (IMAGE, numbers(1, 5, 1, 4)),
        ((6, 4), IMAGE),
        (numbers(), IMAGE),
        ((1, 3, 7), numbers(3, 1)),
    ]
    return {name: [case(name, pair, **fields) for pair in pairs] for name in names}


def conv(name="CONV_2D", kernel=(3, 3, 3, 4), size=IMAGE, padding=SAME, stride=(1, 1), dilation=(1, 1), fused=0):
    kind = "Conv2D" if name == "CONV_2D" else "DepthwiseConv2D"
    more = {} if name == "CONV_2D" else {"depthMultiplier": kernel[3] // size[3]}
    fields = options(
        kind, padding=padding, strideH=stride[0], strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=fused, **more,
    )  # fmt: skip
    outputs = kernel[0] if name == "CONV_2D" else kernel[3]
    return case(name, [size, numbers(*kernel), numbers(outputs)], fields)


def transpose_conv(size, kernel, output, padding, stride, bias=True):
    fields = options("TransposeConv", padding=padding, strideH=stride[0], strideW=stride[1])
    weights = [ints(*output), numbers(*kernel), size, *([numbers(kernel[0])] if bias else [])]
    return case("TRANSPOSE_CONV", weights, fields)


def pool(name, **fields):
    return case(
        name,
        [(1, 7, 8, 3)],
        options("Pool2D", **{"filterHeight": 3, "filterWidth": 2, "strideH": 2, "strideW": 2} | fields),
    )


def reduce(name, dtype="FLOAT32"):
    return [
        case(name, [shape, ints(*axes)], options("Reducer", keepDims=keep), dtype=dtype)
        for shape, axes in ((IMAGE, (1, 2)), (IMAGE, (3,)), (IMAGE, (-1, 1)), ((2, 3, 4), (0,)), ((2, 3), (0, 1)))
        for keep in (True, False)
    ]


def dense(size, weights, keep=False, bias=True, fused=0):
    fields = options("FullyConnected", keepNumDims=keep, fusedActivationFunction=fused)
    return case("FULLY_CONNECTED", [size, numbers(*weights), numbers(weights[0]) if bias else None], fields)


def resize(name, sizes=((10, 12), (3, 4), (7, 13), (1, 1), (5, 6))):
    return [
        case(name, [IMAGE, ints(*size)], options(kind, alignCorners=corners, halfPixelCenters=centres))
        for kind in [{"RESIZE_BILINEAR": "ResizeBilinear"}.get(name, "ResizeNearestNeighbor")]
        for size in sizes
        for corners, centres in ((False, False), (True, False), (False, True))
    ]


def strided(begin, end, step, shape=IMAGE, **masks):
    return case("STRIDED_SLICE", [shape, ints(*begin), ints(*end), ints(*step)], options("StridedSlice", **masks))


CASES = {
    **unary("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "TANH", "LOGISTIC", "ELU", "HARD_SWISH", "ABS", "NEG", "EXP", "SQUARE",
        "FLOOR", "CEIL"),
    **unary("ROUND", "SIN", "COS", "SIGN"),
    **binary("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"),
    **binary("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", out="BOOL"),
    "CONV_2D": [
        conv(), conv(padding=VALID), conv(stride=(2, 2)), conv(stride=(2, 3), kernel=(2, 2, 5, 4)), conv(dilation=(2, 1)),
        conv(kernel=(6, 3, 3, 2)),
        *(conv(fused=fused) for fused in (1, 2, 3)), conv(size=(2, 9, 1, 4), kernel=(3, 3, 1, 4), stride=(2, 1)),
    ],
    "DEPTHWISE_CONV_2D": [
        conv("DEPTHWISE_CONV_2D", (1, 3, 3, 4)), conv("DEPTHWISE_CONV_2D", (1, 3, 3, 8), stride=(2, 2)),
        conv("DEPTHWISE_CONV_2D", (1, 2, 3, 4), padding=VALID, dilation=(2, 2)), conv("DEPTHWISE_CONV_2D", (1, 3, 3, 4), size=(1, 4, 4,
            1)),
    ],
    "TRANSPOSE_CONV": [
        transpose_conv((1, 3, 4, 2), (5, 2, 2, 2), (1, 6, 8, 5), VALID, (2, 2)), transpose_conv((1, 3, 4, 2), (5, 3, 3, 2), (1, 6, 8,
            5), SAME, (2, 2)),
        transpose_conv((1, 3, 4, 2), (5, 3, 3, 2), (1, 5, 7, 5), SAME, (2, 2), bias=False), transpose_conv((1, 3, 4, 2), (1, 3, 3, 2),
            (1, 3, 4, 1), SAME, (1, 1)),
        transpose_conv((1, 3, 4, 2), (2, 3, 2, 2), (1, 7, 8, 2), VALID, (2, 2)), transpose_conv((1, 3, 4, 2), (2, 3, 2, 2), (1, 8, 8,
            2), VALID, (2, 2)),
        transpose_conv((1, 3, 4, 2), (2, 1, 1, 2), (1, 6, 8, 2), SAME, (2, 2)), transpose_conv((1, 3, 4, 2), (2, 4, 4, 2), (1, 6, 8,
            2), SAME, (2, 2)),
    ],
    "AVERAGE_POOL_2D": [pool("AVERAGE_POOL_2D"), pool("AVERAGE_POOL_2D", padding=VALID), pool("AVERAGE_POOL_2D",
        fusedActivationFunction=1)],
    "MAX_POOL_2D": [pool("MAX_POOL_2D"), pool("MAX_POOL_2D", padding=VALID, strideW=1), pool("MAX_POOL_2D", filterHeight=4,
        filterWidth=5)],
    "FULLY_CONNECTED": [
        dense((2, 12), (5, 12)), dense((1, 3, 4), (5, 4), keep=True), dense((1, 3, 4), (5, 4)), dense((1, 3, 4), (5, 12)), dense(IMAGE,
            (3, 4), keep=True),
        dense(IMAGE, (3, 4), keep=True, bias=False), dense(IMAGE, (3, 120), fused=1), dense((2, 12), (5, 12), bias=False),
        case("FULLY_CONNECTED", [(2, 6), (3, 6)], options("FullyConnected")),
    ],
    "BATCH_MATMUL": [
        case("BATCH_MATMUL", [a, b], options("BatchMatMul", adjX=x, adjY=y))
        for a, b, x, y in (
            ((2, 3, 4), (2, 4, 5), False, False), ((2, 4, 3), (2, 4, 5), True, False), ((2, 3, 4), (2, 5, 4), False, True), (IMAGE, (1,
                5, 4, 6), False, False),
            (IMAGE, (1, 5, 3, 4), False, True), ((2, 3, 4), numbers(4, 5), False, False),
        )
    ],
    "PRELU": [case("PRELU", [IMAGE, numbers(*alpha)]) for alpha in ((4,), (1, 1, 4), (5, 6, 4), (1,))],
    "LEAKY_RELU": [case("LEAKY_RELU", [IMAGE], options("LeakyRelu", alpha=0.3))],
    "GELU": [case("GELU", [IMAGE], options("Gelu", approximate=rough)) for rough in (True, False)],
    "SOFTMAX": [case("SOFTMAX", [shape], options("Softmax", beta=beta)) for shape in (IMAGE, (2, 5), (1, 3, 4)) for beta in (1.0, 0.5)],
    "LOG_SOFTMAX": [case("LOG_SOFTMAX", [shape], options("LogSoftmax")) for shape in (IMAGE, (2, 5))],
    "L2_NORMALIZATION": [case("L2_NORMALIZATION", [shape], options("L2Norm")) for shape in (IMAGE, (2, 5))],
    "LOCAL_RESPONSE_NORMALIZATION": [
        case("LOCAL_RESPONSE_NORMALIZATION", [IMAGE], options("LocalResponseNormalization", radius=2, bias=1.0, alpha=0.2, beta=0.75))
    ],
    **{name: reduce(name) for name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")},
    **{name: reduce(name, "BOOL") for name in ("REDUCE_ANY", "REDUCE_ALL")},
    "ARG_MAX": [
        case("ARG_MAX", [shape, ints(axis)], options("ArgMax", outputType=2 if out == "INT32" else 4), out=out)
        for shape, axis, out in ((IMAGE, 3, "INT64"), (IMAGE, 1, "INT32"), ((2, 5), -1, "INT32"))
    ],
    "ARG_MIN": [case("ARG_MIN", [IMAGE, ints(3)], options("ArgMin", outputType=2), out="INT32")],
    "TOPK_V2": [case("TOPK_V2", [shape, ints(2)], options("TopKV2"), outputs=2, out=("FLOAT32", "INT32")) for shape in (IMAGE, (2, 5))],
    "CUMSUM": [
        case("CUMSUM", [IMAGE, ints(axis)], options("Cumsum", exclusive=exclusive, reverse=reverse))
        for axis in (1, 3) for exclusive in (True, False) for reverse in (True, False)
    ],
    "RESIZE_BILINEAR": resize("RESIZE_BILINEAR"), "RESIZE_NEAREST_NEIGHBOR": resize("RESIZE_NEAREST_NEIGHBOR"),
    "RESHAPE": [case("RESHAPE", [shape, ints(*to)], options("Reshape")) for shape, to in (
        (IMAGE, (1, 120)), (IMAGE, (1, 30, 4)), (IMAGE, (5, 6, 4)), (IMAGE, (1, 5, 6, 2, 2)), (IMAGE, (6, 5, 4)), ((1, 120), IMAGE),
        ((1, 1, 1, 1), (1,)),
        ((1, 1, 1, 4), (1, 4)), ((1, 5, 1, 4), (1, 5, 4)),
    )],
    "SQUEEZE": [case("SQUEEZE", [(1, 5, 1, 4)], options("Squeeze", squeezeDims=[2])), case("SQUEEZE", [(1, 5, 1, 4)],
        options("Squeeze"))],
    "EXPAND_DIMS": [case("EXPAND_DIMS", [shape, ints(axis)], options("ExpandDims")) for shape, axis in (((1, 5, 4), 1), (IMAGE, -1),
        (IMAGE, 0))],
    "TRANSPOSE": [case("TRANSPOSE", [shape, ints(*order)], options("Transpose")) for shape, order in (
        (IMAGE, (0, 3, 1, 2)), (IMAGE, (0, 2, 1, 3)), (IMAGE, (3, 1, 0, 2)), ((2, 3, 4), (2, 0, 1)),
    )],
    "TILE": [case("TILE", [IMAGE, ints(1, 2, 3, 2)], options("Tile")), case("TILE", [(2, 3), ints(2, 1)], options("Tile"))],
    "BROADCAST_TO": [case("BROADCAST_TO", [shape, ints(2, 5, 6, 4)], options("BroadcastTo")) for shape in (IMAGE, (6, 1), (1, 1, 1, 4))],
    "DEPTH_TO_SPACE": [case("DEPTH_TO_SPACE", [(1, 3, 2, 12)], options("DepthToSpace", blockSize=2))],
    "SPACE_TO_DEPTH": [case("SPACE_TO_DEPTH", [(1, 6, 4, 3)], options("SpaceToDepth", blockSize=2))],
    "CONCATENATION": [case("CONCATENATION", [a, b, c], options("Concatenation", axis=axis)) for a, b, c, axis in (
        (IMAGE, (1, 5, 6, 2), numbers(1, 5, 6, 1), 3), (IMAGE, IMAGE, IMAGE, 1), (IMAGE, IMAGE, IMAGE, -2), ((2, 3), (2, 3), (2, 1), 1),
    )],
    "PACK": [case("PACK", [shape, shape], options("Pack", axis=axis, valuesCount=2)) for shape in (IMAGE, (2, 3)) for axis in (0, 1, -1)],
    "UNPACK": [
        case("UNPACK", [shape], options("Unpack", axis=axis, num=shape[axis]), outputs=shape[axis]) for shape, axis in ((IMAGE, 1),
            (IMAGE, 3), ((2, 3), -1), (IMAGE, 0))
    ],
    "SPLIT": [case("SPLIT", [ints(axis), IMAGE], options("Split", numSplits=2), outputs=2) for axis in (3, 2)],
    "SPLIT_V": [case("SPLIT_V", [IMAGE, ints(1, 3), ints(3)], options("SplitV", numSplits=2), outputs=2)],
    "SLICE": [case("SLICE", [IMAGE, ints(0, 1, 2, 1), ints(*size)], options("Slice"), shape=out) for size, out in (((1, 2, 3, 2), (1,
        2, 3, 2)), ((-1, -1, -1, -1), (1, 4, 4, 3)))],
    "STRIDED_SLICE": [
        strided((0, 1, 0, 1), (1, 5, 6, 3), (1, 2, 1, 1)), strided((0, 1, 0, 1), (1, 5, 6, 3), (1, 2, 1, 1), beginMask=15, endMask=6),
        strided((0, 1, 0, 1), (1, 2, 6, 3), (1, 1, 1, 1), shrinkAxisMask=2), strided((0, -1, 0, -1), (1, 5, 6, 0), (1, 1, 1, 1),
            shrinkAxisMask=10),
        strided((0, -1, -1, -1), (1, -9, -9, -9), (1, -1, -2, -1)), strided((0, 0, 1), (1, 0, 3), (1, 1, 1), ellipsisMask=2),
        strided((0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1), newAxisMask=2, beginMask=13, endMask=13, shape=(2, 3, 4)), strided((1,),
            (2,), (1,), shape=(3, 4), shrinkAxisMask=1),
    ],
    "GATHER": [
        case("GATHER", [shape, np.array(places, np.int32)], options("Gather", axis=axis)) for shape, places, axis in (
            (IMAGE, [2, 0, 2], 1), (IMAGE, 1, 3), (IMAGE, [[1, 0], [3, 2]], 3), (IMAGE, [3, 1], -1), ((2, 3), [1, 1, 0], 0),
        )
    ] + [case("GATHER", [numbers(9, 5), (2, 3)], options("Gather", axis=0), dtype="INT32", out="FLOAT32")],
    "GATHER in batches": [
        case("GATHER", [shape, np.array(places, np.int32)], options("Gather", axis=axis, batchDims=batch))
        for shape, places, axis, batch in (
            ((2, 3, 4), [[2, 0], [1, 1]], 1, 1), ((2, 5, 6, 4), [[3], [0]], 1, 1), ((2, 3, 4), [[[1, 0]] * 3] * 2, 2, 2),
            ((2, 3, 4), [2, 0], 1, 1), ((2, 3, 4), [[2, 0], [1, 1]], 1, -1),
        )
    ],
    "EMBEDDING_LOOKUP": [case("EMBEDDING_LOOKUP", [(3,), numbers(9, 5)], dtype="INT32", out="FLOAT32")],
    "GATHER_ND": [case("GATHER_ND", [IMAGE, np.array([[0, 1], [0, 4]], np.int32)], options("GatherNd"))],
    "REVERSE_V2": [case("REVERSE_V2", [IMAGE, ints(axis)], options("ReverseV2")) for axis in (1, 3)],
    "SELECT": [case("SELECT", [np.array([True, False]), (2, 3), (2, 3)], options("Select")), case("SELECT", [numbers(*IMAGE) > 0,
        IMAGE, IMAGE], options("Select"))],
    "SELECT_V2": [case("SELECT_V2", [numbers(4) > 0, IMAGE, numbers(1)], options("SelectV2"))],
    "ONE_HOT": [
        case("ONE_HOT", [(2, 3), ints(4).reshape(()), np.float32(2), np.float32(-1)], options("OneHot", axis=axis), dtype="INT32",
            out="FLOAT32") for axis in (-1, 0)
    ],
    "PAD": [case("PAD", [IMAGE, ints(0, 0, 1, 2, 3, 0, 0, 1).reshape(4, 2)], options("Pad")), case("PAD", [(2, 3), ints(0, 1, 2,
        0).reshape(2, 2)], options("Pad"))],
    "PADV2": [case("PADV2", [IMAGE, ints(0, 0, 1, 2, 3, 0, 0, 1).reshape(4, 2), np.array([2.5], np.float32)], options("PadV2"))],
    "MIRROR_PAD": [case("MIRROR_PAD", [IMAGE, ints(0, 0, 1, 2, 3, 0, 0, 1).reshape(4, 2)], options("MirrorPad",
        mode=mode)) for mode in (0, 1)],
    "SPACE_TO_BATCH_ND": [
        case("SPACE_TO_BATCH_ND", [IMAGE, ints(2, 3), ints(1, 0, 0, 0).reshape(2, 2)], options("SpaceToBatchND")),
        case("SPACE_TO_BATCH_ND", [(1, 5, 3), ints(2), ints(0, 1).reshape(1, 2)], options("SpaceToBatchND")),
    ],
    "BATCH_TO_SPACE_ND": [case("BATCH_TO_SPACE_ND", [(6, 3, 2, 4), ints(2, 3), ints(1, 0, 0, 2).reshape(2, 2)],
        options("BatchToSpaceND"))],
    "CAST": [case("CAST", [IMAGE], options("Cast", inDataType=0, outDataType=2), out="INT32"), case("CAST", [IMAGE], options("Cast"),
        dtype="INT32", out="FLOAT32")],
    "DEQUANTIZE": [case("DEQUANTIZE", [(2, 3)], options("Dequantize"), dtype="FLOAT16", out="FLOAT32")],
    "FLOOR_DIV": [case("FLOOR_DIV", [IMAGE, numbers(4)], options("FloorDiv")), case("FLOOR_DIV", [(2, 3), ints(-3, 2, 3)],
        options("FloorDiv"), dtype="INT32")],
    "FLOOR_MOD": [case("FLOOR_MOD", [IMAGE, numbers(4)], options("FloorMod")), case("FLOOR_MOD", [(2, 3), ints(-3, 2, 3)],
        options("FloorMod"), dtype="INT32")],
    "ADD_N": [case("ADD_N", [IMAGE, IMAGE, IMAGE])],
    "LOGICAL_AND": [case("LOGICAL_AND", [IMAGE, IMAGE], options("LogicalAnd"), dtype="BOOL")],
    "LOGICAL_OR": [case("LOGICAL_OR", [IMAGE, IMAGE], options("LogicalOr"), dtype="BOOL")],
    "LOGICAL_NOT": [case("LOGICAL_NOT", [IMAGE], options("LogicalNot"), dtype="BOOL")],
}  # fmt: skip
POSITIVE = {name: [case(name, [IMAGE])] for name in ("LOG", "SQRT", "RSQRT")} | {
    "POW": [case("POW", [IMAGE, numbers(4)], options("Pow"))]
}


def test_every_translation_has_a_case():
    assert translators().keys() == {*(name.split()[0] for name in CASES), *POSITIVE, "UNIDIRECTIONAL_SEQUENCE_LSTM"}


@pytest.mark.parametrize("nchw", [True, False], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_an_operator(name, nchw):
    for number, build in enumerate(CASES[name]):
        content = build()
        for opset in OPSETS if number == 0 else (17,):
            found = twins(content, opset=opset, nchw=nchw)
            assert found.worst <= 2e-6, (number, opset, found)


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_tensor_has_the_twin_that_is_named(name):
    for build in CASES[name]:
        assert max(layers(build()).values(), default=0) <= 2e-6


@pytest.mark.parametrize("name", sorted(POSITIVE))
def test_an_operator_of_positive_numbers(name):
    inputs = {"x0": RNG.uniform(0.1, 4, IMAGE).astype(np.float32)}
    assert all(twins(build(), inputs=inputs).worst <= 2e-6 for build in POSITIVE[name])


@pytest.mark.parametrize("size", [1e-4, 1e-8])
def test_tiny_numbers_are_brought_to_length_one_as_far_as_the_kernel_does(size):
    content = one_operator("L2_NORMALIZATION", [(2, 5)], options("L2Norm"))
    assert twins(content, inputs={"x0": numbers(2, 5) * np.float32(size)}).worst <= 2e-6
