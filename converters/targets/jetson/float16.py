"""A float32 graph in float16: weights and activations are halves, inputs and outputs stay float32, and what halves cannot hold stays too.

A pass of our own: the ones that exist (onnxconverter-common, onnxruntime.transformers) go by lists of operators and clip weights that are
too large; here it is measured. A node stays in float32 where one of its tensors goes beyond ``LIMIT`` on a calibration sample, where it has
a graph of its own, and where its operator takes no halves. Then the halves are run, on silence too: where something becomes NaN or infinite
that is not so in float32 (the logarithm of a number that a half cannot tell from 0), it stays in float32 with what makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from converters.targets.jetson.layers import Wiring
from converters.targets.jetson.nodes import constants, drop_unused
from converters.targets.jetson.run import Runner, extremes
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

LARGEST = 65504.0  # that float16 holds (IEEE 754 binary16)
LIMIT = LARGEST / 2  # what was not seen in calibration needs room
_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_ROUNDS = 8
_BREAKS = "in float16 it becomes NaN or infinite, or makes what does"
_FLOAT_ONLY = ("Resize", "Upsample", "NonMaxSuppression", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Halved:
    """A float16 graph, and the nodes that stayed in float32: name, and why."""

    model: ModelProto
    kept: dict[str, str]


def to_float16(model: ModelProto, inputs: Iterable[Array]) -> Halved:
    """A float16 copy of a float32 graph of the same inputs and outputs.

    Args:
        model: every node has a name.
        inputs: its input tensor of some calibration samples.

    Raises:
        ModelError: if a tensor of it has no known type, or what becomes NaN or infinite does so with any part in float32.
    """
    tensors = [tensor.copy() for tensor in inputs]
    floats = _float_tensors(model)
    kept = _too_large(model, floats, tensors)
    wiring, probes = Wiring(model), [*tensors, *(np.zeros_like(tensor) for tensor in tensors[:1])]
    for _ in range(_ROUNDS):
        made = ModelProto()
        made.CopyFrom(model)
        _Halving(made, floats, kept).run()
        broken = _first_broken(model, made, probes)
        if broken is None:
            return Halved(made, kept)
        region = [name for name, why in kept.items() if why == _BREAKS]
        for node in [node for node in model.graph.node if node.name in (broken, *region)]:
            kept.setdefault(node.name, _BREAKS)
            for name in node.input:
                if (maker := wiring.makers.get(name)) is not None:
                    kept.setdefault(maker.name, _BREAKS)
    raise ModelError(f"node {broken!r} becomes NaN or infinite in float16, also with what makes it in float32")


def _float_tensors(model: ModelProto) -> frozenset[str]:
    """Names of all float32 tensors."""
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    types = {each.name: each.type.tensor_type.elem_type for each in (*graph.input, *graph.value_info, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    if unknown := [name for node in graph.node for name in node.output if name and not types.get(name)]:
        raise ModelError(f"tensor {unknown[0]!r} of the ONNX graph has no known type")
    return frozenset(name for name, kind in types.items() if kind == _FLOAT)


def _too_large(model: ModelProto, floats: frozenset[str], inputs: Iterable[Array]) -> dict[str, str]:
    """The nodes to keep in float32, with the reason."""
    made = [name for node in model.graph.node for name in node.output if name in floats]
    peaks = {name: max(abs(low), abs(high)) for name, (low, high) in extremes(model, made, inputs).items()}
    for name, values in constants(model).items():
        if name in floats and values.size:
            finite = np.abs(values[np.isfinite(values)])
            peaks[name] = float(finite.max(initial=0.0))
    kept = {}
    for node in model.graph.node:
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            kept[node.name] = "it has a graph of its own"
        elif node.op_type in _FLOAT_ONLY:
            kept[node.name] = f"{node.op_type} takes no halves"
        else:
            for name in (*node.input, *node.output):
                if peaks.get(name, 0.0) > LIMIT:
                    kept[node.name] = f"{name!r} reaches {peaks[name]:.3g}, and float16 ends at {LARGEST:g}"
                    break
    return kept


def _first_broken(model: ModelProto, made: ModelProto, probes: Iterable[Array]) -> str | None:
    """Name of the first node that is finite in float32 and not as it is made, on any of the inputs."""
    twins = {node.name: node for node in made.graph.node}
    pairs = [(node.name, node.output[0], twins[node.name].output[0]) for node in model.graph.node if node.output[0]]
    before, after = Runner(model, [pair[1] for pair in pairs]), Runner(made, [pair[2] for pair in pairs])
    for tensor in probes:
        wanted, found = before.run(tensor), after.run(tensor)
        for name, real, half in pairs:
            if not np.isfinite(found[half]).all() and np.isfinite(wanted[real]).all():
                return str(name)
    return None


class _Halving:
    def __init__(self, model: ModelProto, floats: frozenset[str], kept: Mapping[str, str]) -> None:
        self._graph, self._floats, self._kept = model.graph, floats, kept
        self._constants = constants(model)
        self._model = model
        self._halves: set[str] = set()  # tensors that are float16 now
        self._cast: dict[tuple[str, int], str] = {}

    def run(self) -> None:
        """Convert in place."""
        outputs = {output.name for output in self._graph.output}
        nodes = list[NodeProto]()
        for node in self._graph.node:
            half = node.name not in self._kept
            nodes += self._inputs(node, _HALF if half else _FLOAT)
            ends = [] if not half else [n for n in node.output if n in outputs and n in self._floats]
            for name in ends:
                node.output[list(node.output).index(name)] = f"{name}/half"
            nodes.append(node)
            nodes += [self._to(f"{name}/half", name, _FLOAT) for name in ends]
            if half:
                self._halves |= {name for name in node.output if name in self._floats or name.endswith("/half")}
                _set_type(node)
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.value_info[:]
        drop_unused(self._model)

    def _inputs(self, node: NodeProto, wanted: int) -> Iterator[NodeProto]:
        for place, name in enumerate(node.input):
            if name not in self._floats or (name in self._halves) == (wanted == _HALF):
                continue
            key = name, wanted
            if key not in self._cast:
                self._cast[key] = f"{name}/{'half' if wanted == _HALF else 'float'}_in"
                if name in self._constants:
                    values = self._constants[name].astype(np.float16)
                    self._graph.initializer.append(numpy_helper.from_array(values, self._cast[key]))
                else:
                    yield self._to(name, self._cast[key], wanted)
            node.input[place] = self._cast[key]

    def _to(self, name: str, made: str, kind: int) -> NodeProto:
        return helper.make_node("Cast", [name], [made], f"{made}/cast", to=kind)


def _set_type(node: NodeProto) -> None:
    """Of operators that state what they make."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
            attribute.i = _HALF
        if attribute.type == attribute.TENSOR and attribute.t.data_type == _FLOAT:
            values = numpy_helper.to_array(attribute.t).astype(np.float16)
            attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
