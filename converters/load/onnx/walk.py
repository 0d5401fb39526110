"""The walk over an ONNX graph: every node is folded, translated, or named as a problem; all problems are told at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converters.axes import plain
from converters.load.onnx.build import Builder
from converters.load.onnx.call import Call, Graph
from converters.load.onnx.demand import input_axes
from converters.load.onnx.fold import RANDOM, evaluate, infer, shape_arithmetic, shape_of_type, type_of
from converters.load.onnx.initializers import check_size, numpy_dtype, read_constants
from converters.load.onnx.layout import Layout
from converters.load.onnx.node import Node
from converters.load.onnx.operators import translators
from converters.load.onnx.read import BRANCH, CONTROL_FLOW, LOOP, OUTSIDE, Source, nodes_of, told
from converters.load.onnx.values import WIDENED, Constant, Operand, Value, channels_last
from edge_sdk.errors import ModelError

_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")


class Walk:
    """One translation."""

    def __init__(self, source: Source) -> None:
        self._source = source
        build = Builder()
        self._graph = Graph(build, Layout(build), constants=set(source.constants))
        self._known: dict[str, Operand] = dict(source.constants)
        self._types: dict[str, Any] = {name: type_of(constant) for name, constant in source.constants.items()}
        self._lost: set[str] = set()
        self._problems: list[str] = []
        self._strangers = False
        self._translators = translators()

    def run(self) -> tuple[Any, Value, tuple[Value, ...]]:
        """The .tflite graph (``ModelT``), its input and its outputs.

        Raises:
            ModelError: that lists what stands in the way, the first ten problems.
        """
        source = self._source
        nodes = needed(source.nodes, source.outputs)
        self._count_readers(nodes, source.outputs)
        entry = self._enter()
        self._walk(nodes)
        if self._problems:
            raise ModelError(self._told())
        outputs = self._finish_outputs()
        model = self._graph.build.finish([entry.tensor], [value.tensor for value in outputs])
        self._graph.calls.clear()  # these refer to each other, and to the weights of the file
        self._graph.linear.clear()
        return model, entry, outputs

    def _count_readers(self, nodes: Sequence[Node], outputs: Sequence[str]) -> None:
        for node in nodes:
            for name in node.reads:
                self._graph.readers.setdefault(name, []).append(node)
        for name in outputs:
            self._graph.readers.setdefault(name, []).append(None)

    def _enter(self) -> Value:
        source = self._source
        shape = shape_of_type(source.input_type) or ()
        axes = input_axes(self._graph.readers, source.input, shape)
        tensor = self._graph.build.tensor(source.input, tuple(shape[axis] for axis in axes), "float32")
        value = Value(tensor, shape, axes, "float32")
        self._known[source.input], self._types[source.input] = value, source.input_type
        return value

    def _walk(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            reason = self._refusal(node)
            if reason is None and self._lost.isdisjoint(node.reads):
                reason = self._attempt(node)
            elif reason is None:
                self._lost.update(node.outputs)
            if reason is not None:
                self._problems.append(f"{node}: {reason}")
                self._lost.update(node.outputs)

    def _attempt(self, node: Node) -> str | None:
        try:
            self._step(node)
        except ModelError as exc:
            return str(exc)
        return None

    def _refusal(self, node: Node) -> str | None:
        """Why no node of this kind is translated; None if it may be."""
        if node.operator in _QUANTIZED or node.operator.startswith("QLinear"):
            return "the model is quantized already. Give the float model that it was made from"
        if not node.standard:
            self._strangers = True
            return OUTSIDE
        if all(name in self._known and isinstance(self._known[name], Constant) for name in node.reads):
            return None if node.operator not in RANDOM else "it makes random numbers; export the model without it"
        if node.operator in CONTROL_FLOW and node.operator != "If":
            return LOOP
        if node.operator not in (*self._translators, "If", "Shape", "Size"):
            self._strangers = True
            return "no translation to TensorFlow Lite is known"
        return None

    def _step(self, node: Node) -> None:
        operands = [self._operand(name) for name in node.inputs]
        if node.operator == "If":
            self._take_branch(node, operands[0])
            return
        known = {
            name: operand for name, operand in zip(node.inputs, operands, strict=True) if isinstance(operand, Constant)
        }
        types = infer(node, self._types, known)
        if (sizes := self._shape_arithmetic(node)) is not None:
            self._store(node, types, [sizes])
        elif all(operand is None or isinstance(operand, Constant) for operand in operands):
            values = evaluate(node, self._types, [known.get(name) for name in node.inputs], types)
            self._store(node, types, [Constant.of(value) for value in values])
        else:
            self._translate(node, operands, types)

    def _shape_arithmetic(self, node: Node) -> Constant | None:
        values = shape_arithmetic(node, self._known[node.inputs[0]].shape) if node.inputs else None
        return None if values is None else Constant.of(values)

    def _operand(self, name: str) -> Operand | None:
        if not name:
            return None
        if name not in self._known:
            raise ModelError(
                f"it takes {name!r}, which nothing before it makes: an initializer is missing, or it is a cycle"
            )
        return self._known[name]

    def _translate(self, node: Node, operands: Sequence[Operand | None], types: Sequence[Any]) -> None:
        shapes, dtypes = [], []
        for name, made in zip(node.outputs, types, strict=True):
            shape = shape_of_type(made)
            if name and (shape is None or 0 in shape):
                state = "is empty" if shape is not None else "depends on values"
                raise ModelError(f"the shape of its output {name!r} {state}; int8 models need fixed shapes")
            check_size(shape or ())
            dtype = numpy_dtype(made.tensor_type.elem_type) if name else "float32"
            shapes.append(shape or ())
            dtypes.append("float32" if dtype in WIDENED else dtype)
        call = Call(node, self._graph, tuple(operands), tuple(shapes), tuple(dtypes))
        before = self._graph.build.count
        self._graph.build.scope = next(name for name in node.outputs if name)
        result = self._translators[node.operator](call)
        results: Sequence[Operand | None] = [result] if isinstance(result, Value) else result
        for name, shape, value in zip(node.outputs, shapes, results, strict=False):
            if value is not None and name and value.shape != shape:
                raise ModelError(f"its output came out as {value.shape} instead of {shape}: a fault of this converter")
            if isinstance(value, Value) and name and value.tensor >= before:
                self._graph.build.rename(value.tensor, name)
        self._store(node, types, results)
        self._graph.calls.update(dict.fromkeys(node.outputs, call))

    def _store(self, node: Node, types: Sequence[Any], values: Sequence[Operand | None]) -> None:
        for name, made, value in zip(node.outputs, types, values, strict=False):
            if name and value is not None:
                self._known[name] = value
                self._types[name] = type_of(value) if isinstance(value, Constant) else made

    def _take_branch(self, node: Node, condition: Operand | None) -> None:
        if not isinstance(condition, Constant) or condition.size != 1:
            raise ModelError(BRANCH)
        branch = node.graph("then_branch" if condition.array().item() else "else_branch")
        if branch is None or len(branch.output) != len(node.outputs):
            raise ModelError("its branch does not fit it; export the model again")
        inner = read_constants(branch.initializer)
        self._known.update(inner)
        self._types.update({name: type_of(constant) for name, constant in inner.items()})
        names = [output.name for output in branch.output]
        nodes = needed(nodes_of(branch, self._source.opsets), names)
        self._count_readers(nodes, ())
        before = len(self._problems)
        self._walk(nodes)
        if len(self._problems) > before:
            self._lost.update(node.outputs)
            return
        for name, made in zip(node.outputs, names, strict=True):
            operand = self._operand(made)
            if operand is not None:
                self._known[name], self._types[name] = operand, self._types[made]

    def _finish_outputs(self) -> tuple[Value, ...]:
        """Every output as a tensor of its own, in ONNX's order or with the channels last, under its own name."""
        build, layout = self._graph.build, self._graph.layout
        outputs: list[Value] = []
        taken = {self._source.input}
        for name in self._source.outputs:
            operand = self._known.get(name)
            if not isinstance(operand, Value):
                state = "does not depend on the input: it is a constant" if operand else "is made by no node"
                raise ModelError(f"output {name!r} {state}. Export the model without it")
            build.scope, rank = name, len(operand.shape)
            value = operand if operand.axes == channels_last(rank) else layout.arranged(operand, plain(rank))
            if (
                name in taken
                or any(value.tensor == other.tensor for other in outputs)
                or value is self._known[self._source.input]
            ):
                shape = np.array(value.stored, np.int32)
                value = build.emit(
                    "RESHAPE",
                    [value, build.integers(value.stored)],
                    value.shape,
                    value.axes,
                    value.dtype,
                    newShape=shape,
                )
            taken.add(name)
            build.rename(value.tensor, name)
            outputs.append(value)
        return tuple(outputs)

    def _told(self) -> str:
        known = f"\nKnown operators of ONNX: {', '.join(sorted(self._translators))}." if self._strangers else ""
        return told(self._problems) + known


def needed(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(node.reads)
            kept.append(node)
    return tuple(kept[::-1])
