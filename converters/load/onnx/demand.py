"""In which order of axes a tensor will be wanted: found by following it to the first reader that demands one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.axes import plain
from converters.load.onnx.node import Node
from converters.load.onnx.values import channels_last

Readers = Mapping[str, Sequence[Node | None]]
"""The nodes that take each ONNX tensor; a graph output is read by None."""

_CHANNELS_FIRST = (
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "BatchNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "Resize",
    "Upsample",
    "DepthToSpace",
    "SpaceToDepth",
    "LRN",
)  # fmt: skip - operators whose input is (batch, channels, ...), which TensorFlow Lite wants with the channels last
_AS_IT_IS = ("MatMul", "Gemm", "LayerNormalization", "RMSNormalization", "LSTM", "GRU")  # which want the last axis last
_FOLLOWED = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Sqrt",
    "Exp",
    "Log",
    "Abs",
    "Neg",
    "Min",
    "Max",
    "Floor",
    "Ceil",
    "Round",
    "Relu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "HardSigmoid",
    "HardSwish",
    "Pad",
    "Cast",
    "Identity",
    "Dropout",
    "Slice",
    "Split",
    "Concat",
    "Where",
    "Gelu",
    "Mish",
    "Swish",
    "Softplus",
    "Erf",
    "Reciprocal",
    "Softmax",
)  # fmt: skip - operators that keep the order of axes
_CHANNELS = (1, 3, 4)
_FARTHEST = 64


def input_axes(readers: Readers, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """In which order the .tflite has the axes of the input: ONNX's own, or with the channels last.

    An input whose first demanding reader, behind any Transpose, is a convolution or the like is turned so that none has to
    be transposed. Without such a reader, four axes of which the second looks like that of an image's channels are turned.
    """
    rank = len(shape)
    wanted = wanted_axes(readers, name, rank)
    if wanted is None:
        image = rank == 4 and shape[1] in _CHANNELS and shape[3] not in _CHANNELS
        wanted = channels_last(rank) if image else plain(rank)
    return wanted if wanted == channels_last(rank) else plain(rank)


def wanted_axes(readers: Readers, name: str, rank: int) -> tuple[int, ...] | None:
    """The order of axes in which the first demanding reader of tensor ``name`` wants it; None where nothing demands."""
    waiting, seen = [(name, plain(rank))], {name}
    while waiting and len(seen) < _FARTHEST:
        tensor, order = waiting.pop(0)  # axis i of this tensor is axis order[i] of the one asked for
        for node in readers.get(tensor, ()):
            if node is None or not node.standard:
                continue
            if node.operator in _CHANNELS_FIRST and node.inputs[0] == tensor:
                return tuple(order[axis] for axis in channels_last(rank))
            if node.operator in _AS_IT_IS:
                return order
            following = _order_after(node, order)
            if following is not None:
                waiting += [(output, following) for output in node.outputs if output not in seen]
                seen.update(node.outputs)
    return None


def _order_after(node: Node, order: tuple[int, ...]) -> tuple[int, ...] | None:
    if node.operator in _FOLLOWED:
        return order
    if node.operator != "Transpose":
        return None
    moved = node.integers("perm") or plain(len(order))[::-1]
    return tuple(order[axis] for axis in moved) if sorted(moved) == list(plain(len(order))) else None
