"""What of a float model cannot become an int8 one, said before any work is done, by name."""

from __future__ import annotations

from edge_sdk.errors import ModelError
from edge_sdk.tflite import ModelDescription, Operator, Tensor

_CALLS = ("WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE", "STABLEHLO_WHILE", "STABLEHLO_CASE")
_STATEFUL = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
_SHAPED_BY_VALUES = ("WHERE", "UNIQUE", "HASHTABLE_LOOKUP", "SKIP_GRAM")
_INTEGER = ("int32", "int64", "bool", "uint32")

_SHAPE_INPUTS = {
    "RESHAPE": (1,),
    "FILL": (0,),
    "BROADCAST_TO": (1,),
    "BROADCAST_ARGS": (0, 1),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "PAD": (1,),
    "PADV2": (1,),
    "MIRROR_PAD": (1,),
    "TILE": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0,),
    "EXPAND_DIMS": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "RANGE": (0, 1, 2),
    "MEAN": (1,),
    "SUM": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "TOPK_V2": (1,),
    "SPACE_TO_BATCH_ND": (1, 2),
    "BATCH_TO_SPACE_ND": (1, 2),
    "ONE_HOT": (1,),
}  # fmt: skip - operator: the inputs that decide the shape of its output


def refuse_unusable(model: ModelDescription) -> None:
    """Raise ModelError, naming operator or tensor, if this float model cannot be made full-integer."""
    _refuse_state(model)
    _refuse_operators(model)
    _refuse_quantized(model)
    _refuse_types(model)
    if len(model.inputs) != 1:
        names = ", ".join(repr(model.tensors[i].name) for i in model.inputs) or "none"
        raise ModelError(
            f"the model has {len(model.inputs)} inputs ({names}); this version converts models of one input"
        )
    entry = model.tensors[model.inputs[0]]
    if entry.dtype != "float32":
        raise ModelError(
            f"input {entry.name!r} is {entry.dtype}; a float model takes float32. Export it with a float32 input"
        )
    if not model.outputs:
        raise ModelError("the model has no output")
    _refuse_dynamic_input(entry)


def refuse_computed_shapes(model: ModelDescription) -> None:
    """Raise ModelError if a shape still depends on values after constants are folded."""
    for operator in model.operators:
        for position in _SHAPE_INPUTS.get(operator.name, ()):
            index = operator.inputs[position] if position < len(operator.inputs) else -1
            if index >= 0 and not model.tensors[index].constant:
                raise ModelError(
                    f"{_named(operator)} takes its shape from tensor {model.tensors[index].name!r}, which is computed while the model "
                    "runs: the shape is dynamic. Export the model with fixed shapes (a fixed batch of 1)"
                )


def _refuse_state(model: ModelDescription) -> None:
    for operator in model.operators:
        if operator.name in _STATEFUL:
            raise ModelError(
                f"{_named(operator)} keeps state between calls (a streaming model), which the quantizer does not support. Quantize it "
                "where it was trained, and give the full-integer .tflite: that is packed as it is"
            )


def _refuse_operators(model: ModelDescription) -> None:
    for operator in model.operators:
        if operator.custom:
            raise ModelError(
                f"{_named(operator)} is a custom operator, which neither the quantizer nor a plain interpreter knows. "
                "Export the model with built-in operators only"
            )
        if operator.name in _CALLS:
            raise ModelError(
                f"{_named(operator)} runs a second subgraph (control flow); an int8 model must be one subgraph. "
                "Unroll the loop or take the branch when exporting"
            )
        if operator.name in _SHAPED_BY_VALUES:
            raise ModelError(
                f"{_named(operator)} gives a tensor whose shape depends on its values; int8 models need fixed shapes. "
                "Export the model without it"
            )


def _refuse_quantized(model: ModelDescription) -> None:
    for tensor in model.tensors:
        narrow = tensor.dtype in ("int8", "uint8", "int16", "int4", "uint4", "int2")
        if narrow and (tensor.scales or tensor.constant):
            raise ModelError(
                f"the model is quantized already: tensor {tensor.name!r} is {tensor.dtype}. "
                "Give the float model that it was made from, or a .tflite that is integer from input to output, which is packed as it is; "
                "edge-sdk inspect shows what this one holds"
            )


def _refuse_types(model: ModelDescription) -> None:
    used = {i for operator in model.operators for i in (*operator.inputs, *operator.outputs)}
    for index in sorted((used | {*model.inputs, *model.outputs}) - {-1}):
        tensor = model.tensors[index]
        if tensor.dtype not in (
            "float32",
            "float16",
            *_INTEGER,
        ):  # float16 weights are folded to float32; others are refused then
            raise ModelError(
                f"tensor {tensor.name!r} is {tensor.dtype}; a float model to convert holds float32 and "
                f"{', '.join(_INTEGER)}. Export it in float32"
            )


def _refuse_dynamic_input(entry: Tensor) -> None:
    signature = entry.shape_signature or entry.shape
    batch_only = -1 not in signature[1:] and entry.shape[:1] == (1,)
    if not entry.shape or 0 in entry.shape or (entry.dynamic and not batch_only):
        raise ModelError(
            f"input {entry.name!r} has the dynamic shape {signature}; int8 models need fixed shapes. Export it with all of them fixed, "
            "such as a batch of 1: model.export(path, format='litert', input_signature=[keras.InputSpec(shape=(1, ...))])"
        )


def _named(operator: Operator) -> str:
    return f"{operator.name} (operator {operator.index})"
