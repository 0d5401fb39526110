"""The proof that a model is full-integer: integer inputs and outputs, and no floating-point tensor that any operator touches.

It reads the finished file from outside, and trusts nothing that made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from converters.verify.variables import check_first_values
from edge_sdk.errors import ModelError, NotIntegerError
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import ModelDescription, Tensor, describe

_OF_VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
_INITIALISERS = {"VAR_HANDLE", "ASSIGN_VARIABLE"}
_CALLS = {"WHILE", "IF", "CALL", "STABLEHLO_COMPOSITE", "STABLEHLO_WHILE", "STABLEHLO_CASE"}
_CHOICES = (
    "Choices: replace the operator in the model by ones with an int8 kernel; end the model before it and compute it outside; "
    "or keep the float model"
)


@dataclass(frozen=True)
class Proven:
    """What was found in a finished model.

    Attributes:
        variables: how many it keeps from one run to the next.
        operators: how many of each it has, most frequent first.
        inputs, outputs: its tensors.
        float_left: floating-point tensors that an operator or the model takes or makes, each with its operator, in words.
    """

    operators: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    float_left: tuple[str, ...] = ()
    variables: int = 0

    @property
    def full_integer(self) -> bool:
        """Whether no floating-point tensor is left."""
        return not self.float_left


def prove(content: bytes) -> Proven:
    """Check every operator and tensor of a .tflite model.

    Raises:
        NotIntegerError: if a floating-point tensor is left; the message names it, its operator, and what the choices are.
        ModelError: if there are custom operators, several subgraphs, dynamic shapes or variables without a first value.
    """
    model = describe(content)
    proven = _examine(model)
    if proven.variables:
        check_first_values(content)
    for tensor, operator in _touched(model):
        if tensor.floating:
            raise NotIntegerError(
                f"the model is not full-integer: {_left(tensor, operator)}. {_CHOICES}",
                operator=operator,
                tensor=tensor.name,
            )
    return proven


def examine(content: bytes) -> Proven:
    """The same without asking that it be integer.

    Raises:
        ModelError: if there are custom operators, several subgraphs or dynamic shapes.
    """
    return _examine(describe(content))


def _examine(model: ModelDescription) -> Proven:
    if model.subgraphs != 1 and not _only_initialise(model):
        raise ModelError(
            f"the model has {model.subgraphs} subgraphs; integer-only accelerators take one. Only variables may have another, "
            "which gives them their first values"
        )
    for operator in model.operators:
        if operator.custom:
            raise ModelError(
                f"{operator.name} (operator {operator.index}) is a custom operator: what it computes cannot be proven"
            )
    left: dict[str, str] = {}
    for tensor, by in _touched(model):
        _check(tensor, by)
        if tensor.floating:
            left.setdefault(tensor.name, _left(tensor, by))
    counts = Counter(operator.name for operator in model.operators)
    return Proven(
        dict(counts.most_common()),
        _specs(model, model.inputs),
        _specs(model, model.outputs),
        tuple(left.values()),
        model.variables,
    )


def _only_initialise(model: ModelDescription) -> bool:
    """Whether every further subgraph gives variables their first values, and the first one calls nothing else."""
    return all(op.name in _INITIALISERS if op.subgraph else op.name not in _CALLS for op in model.operators)


def _touched(model: ModelDescription) -> Iterator[tuple[Tensor, str]]:
    """Every tensor that an operator or the model takes or makes, with what does."""
    for operator in model.operators:
        for index in (*operator.outputs, *operator.inputs):
            if index >= 0:
                yield model.tensors[index], f"{operator.name} (operator {operator.index})"
    for side, indices in (("input", model.inputs), ("output", model.outputs)):
        for index in indices:
            yield model.tensors[index], f"the model's {side}"


def _left(tensor: Tensor, operator: str) -> str:
    return f"tensor {tensor.name!r} of {operator} is {tensor.dtype}"


def _check(tensor: Tensor, operator: str) -> None:
    if tensor.dtype == "resource" and operator.startswith(_OF_VARIABLES):
        return  # the handle of a variable; what is read from it is a tensor of its own
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
