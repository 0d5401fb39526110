"""Windows of any size, stride, dilation and padding, and pictures resized to any size, are the same in ONNX."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

import hypothesis.strategies as st
from hypothesis import assume, given, settings

from tests.onnx_twins import one_operator, twins
from tests.tiny_models import options

CLOSE = 5e-6
SAME, VALID = 0, 1
RNG = np.random.default_rng(5)
small = st.integers(1, 4)
sizes = st.tuples(st.integers(1, 11), st.integers(1, 11))
pairs = st.tuples(small, small)
many = settings(max_examples=100, deadline=None)


def numbers(*shape):
    return RNG.normal(0, 1, shape).astype(np.float32)


def fits(size, kernel, dilation=(1, 1)):
    return all((k - 1) * d + 1 <= n for n, k, d in zip(size, kernel, dilation, strict=True))


@many
@given(sizes, pairs, pairs, pairs, st.sampled_from([SAME, VALID]), small, st.integers(1, 3), st.booleans())
def test_convolutions(size, kernel, stride, dilation, padding, channels, multiplier, depthwise):
    assume(padding == SAME or fits(size, kernel, dilation))
    assume(1 in stride or dilation == (1, 1))  # TensorFlow has either
    fields = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
    fields |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    if depthwise:
        wide = channels * multiplier
        inputs = [(1, *size, channels), numbers(1, *kernel, wide), numbers(wide)]
        content = one_operator(
            "DEPTHWISE_CONV_2D", inputs, options("DepthwiseConv2D", depthMultiplier=multiplier, **fields)
        )
    else:
        inputs = [
            (1, *size, channels * multiplier),
            numbers(2 * multiplier, *kernel, channels),
            numbers(2 * multiplier),
        ]
        content = one_operator("CONV_2D", inputs, options("Conv2D", **fields))
    # XNNPACK, as the kernel of reference is wrong where one window takes all of a narrow picture
    assert twins(content, optimised=True).worst < CLOSE


@many
@given(sizes, pairs, pairs, st.sampled_from([SAME, VALID]), st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
def test_pools(size, kernel, stride, padding, name):
    assume(padding == SAME or fits(size, kernel))
    fields = {"filterHeight": kernel[0], "filterWidth": kernel[1], "strideH": stride[0], "strideW": stride[1]}
    assert twins(one_operator(name, [(1, *size, 3)], options("Pool2D", padding=padding, **fields))).worst < CLOSE


@many
@given(sizes, pairs, pairs, st.sampled_from([SAME, VALID]), pairs)
def test_transposed_convolutions(size, kernel, stride, padding, less):
    """Every size whose convolution has the input's size, as TensorFlow allows."""
    if padding == SAME:
        output = [n * s - min(cut, s) + 1 for n, s, cut in zip(size, stride, less, strict=True)]
    else:
        output = [(n - 1) * s + k + min(cut, s) - 1 for n, s, k, cut in zip(size, stride, kernel, less, strict=True)]
    fields = options("TransposeConv", padding=padding, strideH=stride[0], strideW=stride[1])
    inputs = [np.array([1, *output, 2], np.int32), numbers(2, *kernel, 3), (1, *size, 3), numbers(2)]
    assert twins(one_operator("TRANSPOSE_CONV", inputs, fields)).worst < CLOSE


@many
@given(
    sizes, st.tuples(st.integers(1, 25), st.integers(1, 25)), st.sampled_from([(0, 0), (1, 0), (0, 1)]), st.booleans()
)
def test_resizing(size, wanted, how, nearest):
    name, kind = (
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor") if nearest else ("RESIZE_BILINEAR", "ResizeBilinear")
    )
    fields = options(kind, alignCorners=bool(how[0]), halfPixelCenters=bool(how[1]))
    assert twins(one_operator(name, [(1, *size, 2), np.array(wanted, np.int32)], fields)).worst < CLOSE


@pytest.mark.parametrize(("size", "wanted", "how"), [(2, 82, (0, 0)), (4, 41, (0, 1)), (14, 23, (1, 0))])
def test_nearest_where_rounding_decides(size, wanted, how):
    """TensorFlow Lite computes the place in float32 as a product, ONNX Runtime as a quotient: here they fall on different rows."""
    fields = options("ResizeNearestNeighbor", alignCorners=bool(how[0]), halfPixelCenters=bool(how[1]))
    found = twins(one_operator("RESIZE_NEAREST_NEIGHBOR", [(1, size, 3, 2), np.array((wanted, 6), np.int32)], fields))
    assert found.worst == 0 and "Gather" in found.operators


@many
@given(st.data())
def test_strided_slices(data):
    shape = data.draw(st.lists(small, min_size=1, max_size=4))
    begin, end, step = ([data.draw(st.integers(-5, 5)) for _ in shape] for _ in range(3))
    step = [n or 1 for n in step]
    masks = {name: data.draw(st.integers(0, 15)) for name in ("beginMask", "endMask")}
    picked = [
        range(
            *slice(None if masks["beginMask"] >> i & 1 else b, None if masks["endMask"] >> i & 1 else e, s).indices(n)
        )
        for i, (n, b, e, s) in enumerate(zip(shape, begin, end, step, strict=True))
    ]
    assume(all(picked))
    constants = [np.array(values, np.int32) for values in (begin, end, step)]
    content = one_operator("STRIDED_SLICE", [tuple(shape), *constants], options("StridedSlice", **masks))
    assert twins(content).worst == 0
