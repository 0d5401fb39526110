"""Means of transposed tensors: the transpose goes where the result stays the same, and stays where it would not."""

from __future__ import annotations

import numpy as np
import pytest

from converters.load.tflite import normalise
from edge_sdk.tflite import describe
from tests.repair_models import Net, outputs_of
from tests.tiny_models import options


def mean_of_transpose(order: tuple[int, ...], axes: tuple[int, ...], *, keep: bool) -> bytes:
    net = Net((1, 4, 6, 3))
    x = net.transpose("turned", net.unary("abs", "ABS", net.entry), order)
    shape = [1 if i in axes else size for i, size in enumerate(net.shapes[x]) if keep or i not in axes]
    made = net.out("mean", tuple(shape))
    where = net.constant("mean/axes", np.array(axes, np.int32))
    net.operator("MEAN", [x, where], [made], options("Reducer", keepDims=keep))
    return net.build([net.entry], [made])


@pytest.mark.parametrize(
    "order, axes, keep, goes",
    [
        ((0, 3, 1, 2), (2, 3), False, True),  # PyTorch's global average pooling
        ((0, 3, 1, 2), (-1, -2), False, True),
        ((0, 3, 1, 2), (2,), False, False),  # channels would come last
        ((0, 2, 1, 3), (3,), False, False),
        ((0, 3, 1, 2), (1,), False, True),
        ((0, 3, 1, 2), (2, 3), True, False),
    ],
)
def test_a_mean_of_a_transpose(order: tuple[int, ...], axes: tuple[int, ...], keep: bool, goes: bool) -> None:
    content = mean_of_transpose(order, axes, keep=keep)
    after = normalise(content, "a test")
    assert goes == ("TRANSPOSE" not in [operator.name for operator in describe(after.content).operators])
    assert goes == any("before a transpose" in note for note in after.notes)
    inputs = [np.random.default_rng(seed).normal(size=(1, 4, 6, 3)).astype(np.float32) for seed in range(3)]
    expected = [np.abs(one).transpose(order).mean(axes, keepdims=keep) for one in inputs]
    np.testing.assert_allclose(outputs_of(after.content, inputs)[0], np.concatenate(expected), rtol=1e-5)
