"""What is known before the model runs: the types and shapes of a node's results, and the results that no input changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converters.load.onnx.initializers import MAX_BYTES, check_size, element_type
from converters.load.onnx.node import Node
from converters.load.onnx.values import Constant
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
_SHAPES = 1 << 16  # constants of up to so many elements can decide a shape
_AS_FIRST_INPUT = ("GroupNormalization", "InstanceNormalization", "MeanVarianceNormalization", "LpNormalization")
_GROWING = ("Range", "ConstantOfShape", "Expand", "Tile", "Pad", "Resize", "Upsample", "OneHot")


def infer(node: Node, types: Mapping[str, Any], constants: Mapping[str, Constant]) -> tuple[Any, ...]:
    """The ``TypeProto`` of each output of a node of ONNX's own domain.

    Raises:
        ModelError: if the node contradicts its definition, or a shape depends on values.
    """
    import onnx

    try:
        schema = onnx.defs.get_schema(node.operator, node.version, "")
    except onnx.defs.SchemaError as exc:
        raise ModelError(f"opset {node.version} has no operator of this name; export the model again") from exc
    if schema.deprecated:
        raise ModelError(f"opset {node.version} no longer has this operator; export the model again")
    known = {name: constants[name] for name in node.inputs if name in constants}
    data = {name: as_tensor(constant) for name, constant in known.items() if constant.size <= _SHAPES}
    given = {name: types[name] for name in node.inputs if name}
    opsets = [onnx.helper.make_opsetid("", node.version)]
    try:
        onnx.checker.check_node(node.proto, _checker(node.version))
        found = onnx.shape_inference.infer_node_outputs(schema, node.proto, given, data, opset_imports=opsets)
    except (
        onnx.checker.ValidationError, onnx.shape_inference.InferenceError,
        RuntimeError, ValueError, TypeError, IndexError, OverflowError,
    ) as exc:  # fmt: skip
        raise ModelError(f"it contradicts its definition: {_first_line(exc)}. Export the model again") from exc
    if node.operator in _AS_FIRST_INPUT:
        found[node.outputs[0]] = types[node.inputs[0]]
    return tuple(found.get(name) for name in node.outputs)


def shape_of_type(node_type: Any) -> tuple[int, ...] | None:
    """The shape of a ``TypeProto``, or None where it is not known."""
    if node_type is None or not node_type.tensor_type.HasField("shape"):
        return None
    dims = node_type.tensor_type.shape.dim
    if not all(axis.HasField("dim_value") for axis in dims):
        return None
    return tuple(int(axis.dim_value) for axis in dims)


def evaluate(
    node: Node, types: Mapping[str, Any], constants: Sequence[Constant | None], results: Sequence[Any]
) -> tuple[Array, ...]:
    """The outputs of a node whose inputs are all known.

    Raises:
        ModelError: if it cannot be computed, or its result would be too large.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    shapes = [shape_of_type(result) for result in results]
    if any(shape is None for shape in shapes) and node.operator in _GROWING:
        raise ModelError("the shape that it makes is not known; export the model with fixed shapes")
    for shape in shapes:
        check_size(shape or ())
    names = {name: constant for name, constant in zip(node.inputs, constants, strict=True) if name and constant}
    anything = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(
        [node.proto],
        "folded",
        [onnx.helper.make_value_info(name, types[name]) for name in names],
        [onnx.helper.make_value_info(name, anything) for name in node.outputs if name],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", node.version)])
    try:
        with np.errstate(all="ignore"):
            made = ReferenceEvaluator(model).run(None, {name: constant.raw() for name, constant in names.items()})
    except (
        RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, AssertionError, MemoryError,
    ) as exc:  # fmt: skip
        raise ModelError(f"it cannot be computed beforehand: {_first_line(exc)}. Export the model again") from exc
    if not all(isinstance(result, np.ndarray | np.generic) for result in made):
        raise ModelError("it makes a sequence; tensors are allowed. Export the model without it")
    if sum(np.asarray(result).nbytes for result in made) > MAX_BYTES:
        raise ModelError(f"its result is larger than {MAX_BYTES >> 20} MB")
    return tuple(np.asarray(result) for result in made)


def as_tensor(constant: Constant) -> Any:
    """A ``TensorProto`` of a constant."""
    import onnx

    return onnx.numpy_helper.from_array(np.ascontiguousarray(constant.raw()).reshape(constant.shape))


def type_of(constant: Constant) -> Any:
    """The ``TypeProto`` of a constant."""
    import onnx

    return onnx.helper.make_tensor_type_proto(element_type(constant.stored), constant.shape)


def shape_arithmetic(node: Node, shape: tuple[int, ...]) -> Array | None:
    """What Shape and Size give for an input of this shape; None for other operators."""
    if node.operator == "Size":
        return np.array(math.prod(shape), np.int64)
    if node.operator != "Shape":
        return None
    end = node.integer("end", len(shape)) if node.has("end") else len(shape)
    return np.array(shape[node.integer("start") : end], np.int64)


def _checker(version: int) -> Any:
    import onnx

    context = type(onnx.checker.DEFAULT_CONTEXT)()
    context.ir_version = onnx.IR_VERSION
    context.opset_imports = {"": version}
    return context


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]
