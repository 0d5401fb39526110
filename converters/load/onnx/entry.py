"""Whether the model's input is NCHW: found by what first demands an order of axes of it."""

from __future__ import annotations

from collections.abc import Sequence

from converters.load.onnx.node import Node
from converters.load.onnx.values import channels_last, plain

_CHANNELS_FIRST = (
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "LpPool",
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
)  # fmt: skip - operators whose input is (batch, channels, ...)
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
)  # fmt: skip - operators that keep the order of axes
_CHANNELS = (1, 3, 4)


def input_axes(nodes: Sequence[Node], name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """In which order the .tflite has the axes of the input: ONNX's own, or with the channels last.

    An input whose first demanding reader, behind any Transpose, is a convolution or the like is turned so that none has to
    be transposed. Without such a reader, four axes of which the second looks like that of an image's channels are turned.
    """
    rank = len(shape)
    waiting, seen = [(name, plain(rank))], {name}
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for read in node.inputs:
            readers.setdefault(read, []).append(node)
    while waiting:
        tensor, order = waiting.pop(0)  # axis i of the tensor is axis order[i] of the input
        for node in readers.get(tensor, ()):
            if not node.standard:
                continue
            if node.operator in _CHANNELS_FIRST and node.inputs[0] == tensor:
                wanted = tuple(order[axis] for axis in channels_last(rank))
                return wanted if wanted in (plain(rank), channels_last(rank)) else plain(rank)
            following = _order_after(node, order)
            if following is not None:
                waiting += [(output, following) for output in node.outputs if output not in seen]
                seen.update(node.outputs)
    image = rank == 4 and shape[1] in _CHANNELS and shape[3] not in _CHANNELS
    return channels_last(rank) if image else plain(rank)


def _order_after(node: Node, order: tuple[int, ...]) -> tuple[int, ...] | None:
    if node.operator in _FOLLOWED:
        return order
    if node.operator != "Transpose":
        return None
    moved = node.integers("perm") or plain(len(order))[::-1]
    return tuple(order[axis] for axis in moved) if sorted(moved) == list(plain(len(order))) else None
