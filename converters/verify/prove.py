"""The proof that a model is full-integer: integer inputs and outputs, and no floating-point tensor that any operator touches.

It reads the finished file from outside, and trusts nothing that made it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edge_sdk.errors import ModelError, NotIntegerError
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import ModelDescription, Tensor, describe

_CHOICES = (
    "Choices: replace the operator in the model by ones with an int8 kernel; end the model before it and compute it outside; "
    "or keep the float model"
)


@dataclass(frozen=True)
class Proven:
    """A full-integer model: how many of each operator it has, most frequent first, and its inputs and outputs."""

    operators: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def prove(content: bytes) -> Proven:
    """Check every operator and tensor of a .tflite model.

    Raises:
        NotIntegerError: if a floating-point tensor is left; the message names it, its operator, and what the choices are.
        ModelError: if there are custom operators, several subgraphs or dynamic shapes.
    """
    model = describe(content)
    if model.subgraphs != 1:
        raise ModelError(f"the model has {model.subgraphs} subgraphs; integer-only accelerators take one")
    for operator in model.operators:
        if operator.custom:
            raise ModelError(
                f"{operator.name} (operator {operator.index}) is a custom operator: what it computes cannot be proven"
            )
        for index in (*operator.outputs, *operator.inputs):
            if index >= 0:
                _check(model.tensors[index], f"{operator.name} (operator {operator.index})")
    for side, indices in (("input", model.inputs), ("output", model.outputs)):
        for index in indices:
            _check(model.tensors[index], f"the model's {side}")
    counts = Counter(operator.name for operator in model.operators)
    return Proven(dict(counts.most_common()), _specs(model, model.inputs), _specs(model, model.outputs))


def _check(tensor: Tensor, operator: str) -> None:
    if tensor.floating:
        raise NotIntegerError(
            f"the model is not full-integer: tensor {tensor.name!r} of {operator} is {tensor.dtype}. {_CHOICES}",
            operator=operator,
            tensor=tensor.name,
        )
    if tensor.dtype in ("string", "resource", "variant"):
        raise ModelError(f"tensor {tensor.name!r} of {operator} is {tensor.dtype}; an integer model holds numbers only")
    if tensor.dynamic:
        raise ModelError(
            f"tensor {tensor.name!r} of {operator} has the dynamic shape {tensor.shape_signature}; shapes must be fixed"
        )


def _specs(model: ModelDescription, indices: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    specs = []
    for index in indices:
        tensor = model.tensors[index]
        scale = tensor.scales[0] if tensor.scales else 0.0
        zero_point = tensor.zero_points[0] if tensor.zero_points else 0
        specs.append(TensorSpec(tensor.name, tensor.shape, tensor.dtype, float(scale), int(zero_point)))
    return tuple(specs)
