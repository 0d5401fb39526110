"""Where numbers lie: channels first inside, outputs as the .tflite has them, a Transpose only where numbers have to move."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

import hypothesis.strategies as st
from hypothesis import given, settings

from tests.onnx_twins import layers, twins, with_shapes
from tests.tiny_models import TinyModel, conv_options, options

RNG = np.random.default_rng(3)


class Net(TinyModel):
    """One operator behind the other."""

    def __init__(self, *shape):
        super().__init__()
        self.entry = self.last = self.tensor("image", shape)
        self.shape = shape

    def then(self, name, shape, *constants, fields=None, after=(), called=""):
        inputs = [*after, self.last] if after else [self.last]
        inputs += [self.constant(f"c{len(self.graph.tensors)}_{n}", values) for n, values in enumerate(constants)]
        self.last = self.tensor(called or f"{name.lower()}_{len(self.graph.tensors)}", shape)
        self.operator(name, inputs, [self.last], fields)
        self.shape = shape
        return self

    def conv(self, outputs=4, *, called="", padding=0):
        kernel = RNG.normal(0, 0.5, (outputs, 3, 3, self.shape[-1])).astype(np.float32)
        bias = RNG.normal(0, 0.5, outputs).astype(np.float32)
        shape = (*self.shape[:3], outputs)
        fields = conv_options()
        fields.padding = padding
        return self.then("CONV_2D", shape, kernel, bias, fields=fields, called=called)

    def reshape(self, *shape):
        return self.then("RESHAPE", shape, np.array(shape, np.int32), fields=options("Reshape"))

    def transpose(self, *order):
        shape = tuple(self.shape[axis] for axis in order)
        return self.then("TRANSPOSE", shape, np.array(order, np.int32), fields=options("Transpose"))

    def dense(self, outputs):
        weights = RNG.normal(0, 1, (outputs, self.shape[-1])).astype(np.float32)
        bias = RNG.normal(0, 1, outputs).astype(np.float32)
        return self.then("FULLY_CONNECTED", (self.shape[0], outputs), weights, bias, fields=options("FullyConnected"))

    def done(self, *more):
        return with_shapes(self.build([self.entry], [self.last, *more]))


def checked(content, **how):
    found = twins(content, **how)
    assert found.worst < 2e-6
    assert max(layers(content).values()) < 2e-6
    return found


def test_an_image_that_comes_out_is_transposed_once_and_keeps_its_name():
    found = checked(Net(1, 4, 6, 3).conv().conv(called="picture").done())
    assert found.operators == ["Conv", "Conv", "Transpose"]
    graph = found.exported.model.graph
    assert [entry.name for entry in (*graph.input, *graph.output)] == ["image", "picture"]
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 3, 4, 6]
    assert [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == [1, 4, 6, 4]
    assert found.exported.tensors["picture"] == "picture" and "picture" not in found.exported.channels_first


def test_an_output_that_is_read_inside_too():
    net = Net(1, 4, 6, 3).conv()
    middle = net.last
    found = checked(net.conv().done(middle))
    assert found.operators.count("Transpose") == 2


def test_inputs_as_they_were():
    found = twins(Net(1, 4, 6, 3).conv().conv().done(), nchw=False)
    assert found.worst < 2e-6 and found.operators == ["Transpose", "Conv", "Conv", "Transpose"]


def test_dense_after_flatten_reorders_its_weights():
    found = checked(Net(1, 4, 6, 3).conv().reshape(1, 96).dense(5).done())
    assert found.operators == ["Conv", "Reshape", "Gemm"]
    assert [weight.axis for weight in found.exported.weights.values()] == [0, 0]


def test_flattened_numbers_that_something_else_reads_too_are_in_order():
    net = Net(1, 4, 6, 3).conv().reshape(1, 96)
    flat = net.last
    assert checked(net.dense(5).done(flat)).operators.count("Transpose") == 1


def test_transposes_of_the_model_only_rename_axes():
    """A model of PyTorch that was given channels last: there and back around every convolution."""
    net = Net(1, 4, 6, 3).conv().transpose(0, 3, 1, 2).then("RELU", (1, 4, 4, 6)).transpose(0, 2, 3, 1).conv()
    assert checked(net.reshape(1, 96).dense(3).done()).operators == ["Conv", "Relu", "Conv", "Reshape", "Gemm"]


def test_transposes_of_the_export_cancel():
    """What is flattened in order and shaped as before lies as before."""
    net = Net(1, 4, 6, 3).conv().reshape(1, 96)
    assert checked(net.reshape(1, 4, 6, 4).conv().reshape(1, 96).dense(2).done()).operators == [
        "Conv",
        "Conv",
        "Reshape",
        "Gemm",
    ]


def test_signals_stay_channels_first_between_convolutions():
    net = (
        Net(1, 32, 3).reshape(1, 1, 32, 3).conv().reshape(1, 32, 4).then("RELU", (1, 32, 4)).reshape(1, 1, 32, 4).conv()
    )
    assert checked(net.reshape(1, 128).dense(2).done()).operators.count("Transpose") == 1


def test_pads_become_the_convolutions_own():
    around = np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)
    net = Net(1, 4, 6, 3).conv().then("PAD", (1, 7, 7, 4), around, fields=options("Pad"))
    assert "Pad" not in checked(net.conv(padding=1).done()).operators


def test_pads_of_channels_stay():
    around = np.array([[0, 0], [1, 2], [0, 1], [0, 2]], np.int32)
    net = Net(1, 4, 6, 3).then("PAD", (1, 7, 7, 5), around, fields=options("Pad"))
    assert "Pad" in checked(net.conv(padding=1).done()).operators


def test_outputs_that_are_the_input_or_each_other():
    net = Net(1, 4, 6, 3).transpose(0, 3, 1, 2)
    turned = net.last
    content = with_shapes(net.build([net.entry], [turned]))
    assert checked(content).operators == ["Identity"]
    net = Net(1, 4).then("RELU", (1, 4)).reshape(4)
    assert checked(net.done(net.last - 2)).worst == 0


def test_outputs_of_the_same_numbers_keep_their_names():
    """Axes of size 1 move without a Transpose: the second output is a copy of the first."""
    net = Net(1, 4).then("RELU", (1, 4)).reshape(1, 1, 1, 4).transpose(0, 2, 1, 3)
    first = net.last
    net.last, net.shape = first - 2, (1, 1, 1, 4)  # the reshaped tensor; a constant lies between
    assert checked(net.transpose(2, 1, 0, 3).done(first)).worst == 0


def test_names_that_stand_twice():
    net = Net(1, 4, 6, 3).conv(called="same").conv(called="same").then("RELU", (1, 4, 6, 4), called="scores")
    found = twins(net.done())
    assert found.worst < 2e-6
    names = [name for node in found.exported.model.graph.node for name in node.output]
    assert len(names) == len(set(names))


@st.composite
def chains(draw):
    """A net of operators that move numbers and operators that want them to lie in one way."""
    net = Net(1, draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    for _ in range(draw(st.integers(1, 7))):
        shape, rank = net.shape, len(net.shape)
        step = draw(
            st.sampled_from(["transpose", "reshape", "conv", "add", "mean", "softmax", "concat", "slice", "turn"])
        )
        if step == "transpose" and rank:  # LiteRT crashes on one of no axes
            net.transpose(*draw(st.permutations(range(rank))))
        elif step == "reshape":
            net.reshape(
                *draw(
                    st.permutations(
                        [n for n in (*shape, *([1] * draw(st.integers(0, 1)))) if n > 1 or draw(st.booleans())]
                    )
                )
            )
        elif step == "turn":
            net.reshape(1, 1, int(np.prod(shape)), 1)
        elif step == "conv" and rank == 4:
            net.conv(draw(st.integers(1, 3)))
        elif step == "add" and rank:
            some = tuple(n if draw(st.booleans()) else 1 for n in shape)[draw(st.integers(0, rank - 1)) :]
            net.then("ADD", shape, RNG.normal(0, 1, some).astype(np.float32), fields=options("Add"))
        elif step == "mean" and rank > 1:
            axis, keep = draw(st.integers(0, rank - 1)), draw(st.booleans())
            left = (*shape[:axis], *([1] if keep else []), *shape[axis + 1 :])
            net.then("MEAN", left, np.array([axis], np.int32), fields=options("Reducer", keepDims=keep))
        elif step == "softmax" and rank:
            net.then("SOFTMAX", shape, fields=options("Softmax", beta=1.0))
        elif step == "concat" and rank:
            axis, same = draw(st.integers(0, rank - 1)), net.last
            wide = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
            net.then("CONCATENATION", wide, fields=options("Concatenation", axis=axis), after=[same])
        elif step == "slice" and rank:
            begin = [draw(st.integers(0, n - 1)) for n in shape]
            sizes = tuple(n - b for n, b in zip(shape, begin, strict=True))
            net.then("SLICE", sizes, np.array(begin, np.int32), np.array(sizes, np.int32), fields=options("Slice"))
    return net.then("RELU", net.shape).done()


@settings(max_examples=40, deadline=None)
@given(chains(), st.booleans())
def test_any_chain(content, nchw):
    assert twins(content, nchw=nchw).worst < 1e-5
    assert max(layers(content, nchw=nchw).values()) < 1e-5
