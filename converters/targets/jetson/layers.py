"""Which layers of an ONNX graph TensorRT runs in int8, and which of their inputs must be quantized for that.

The rules are those of "Q/DQ Layer-Placement Recommendations" in NVIDIA's TensorRT documentation (Working with Quantized Types):

- All inputs of weighted layers are quantized (Conv, ConvTranspose, Gemm, MatMul), and not their outputs: activation functions behind them
  are fused into them. So nothing ever stands between a convolution and its Relu.
- Of an Add that a convolution ends in, only the residual is quantized: TensorRT then fuses the Add into the convolution. Of another Add
  both are.
- Average pooling is computed in int8. MaxPool, Transpose, Reshape and Concat need nothing: a QuantizeLinear moves over them.
- Activations have one scale a tensor, weights one an output channel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from converters.targets.jetson.nodes import attribute

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
POOLING = ("AveragePool", "GlobalAveragePool")


@dataclass(frozen=True)
class Layer:
    """A layer that is to run in int8.

    Attributes:
        name: of its node.
        operator: such as ``"Conv"``.
        data: places of the inputs that are activations to quantize.
        weights: place of the constant weights, or None.
        axis: of the output channels in the weights; None where they have one scale in all.
    """

    name: str
    operator: str
    data: tuple[int, ...]
    weights: int | None = None
    axis: int | None = None


class Wiring:
    """Who makes and who reads each tensor of a graph.

    Attributes:
        makers: the node that makes a tensor, by the tensor's name.
        readers: the nodes that read it.
        ranks: of the initializers.
        outputs: of the graph.
    """

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.makers = {name: node for node in graph.node for name in node.output}
        self.readers = defaultdict[str, list[NodeProto]](list)
        for node in graph.node:
            for name in filter(None, node.input):
                self.readers[name].append(node)
        self.ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
        self.outputs = frozenset(output.name for output in graph.output)

    def only_reader(self, name: str) -> NodeProto | None:
        """The node that alone reads a tensor which is no output."""
        readers = self.readers[name]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


def find_layers(model: ModelProto) -> tuple[Layer, ...]:
    """The layers to quantize, in the order of the graph."""
    wiring = Wiring(model)
    return tuple(layer for node in model.graph.node for layer in _layer(node, wiring))


def _layer(node: NodeProto, wiring: Wiring) -> Iterator[Layer]:
    operator = node.op_type
    if operator in WEIGHTED:
        constant = node.input[1] in wiring.ranks
        if constant and node.input[0] not in wiring.ranks:
            yield Layer(node.name, operator, (0,), 1, channel_axis(node, wiring.ranks[node.input[1]]))
        elif operator in ("Gemm", "MatMul") and not constant and node.input[0] not in wiring.ranks:
            yield Layer(node.name, operator, (0, 1))
    elif operator in POOLING:
        yield Layer(node.name, operator, (0,))
    elif operator == "Add" and not any(name in wiring.ranks for name in node.input):
        yield Layer(node.name, operator, _residual(node, wiring))


def channel_axis(node: NodeProto, rank: int) -> int | None:
    """The axis of the output channels in a layer's constant weights; None where TensorRT takes one scale in all."""
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1 if attribute(node, "group", 1) == 1 else None
        case "Gemm":
            return 0 if attribute(node, "transB", 0) else 1
    return 1 if rank == 2 else None


def _residual(add: NodeProto, wiring: Wiring) -> tuple[int, ...]:
    """The places of an Add to quantize: all but the one that ends a convolution of no other use; of two such, the later one's."""
    order = {name: number for number, name in enumerate(wiring.makers)}
    fused = [place for place, name in enumerate(add.input) if _ends_a_layer(name, wiring)]
    if not fused:
        return (0, 1)
    last = max(fused, key=lambda place: order[add.input[place]])
    return (1 - last,)


def _ends_a_layer(name: str, wiring: Wiring) -> bool:
    maker = wiring.makers.get(name)
    return maker is not None and maker.op_type in WEIGHTED and wiring.only_reader(name) is not None
