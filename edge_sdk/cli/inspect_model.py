"""What ``edge-sdk inspect`` says of a .tflite model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from edge_sdk.cli.table import facts, heading, paragraph, size, table
from edge_sdk.edgetpu.package import CUSTOM_CODE
from edge_sdk.tflite import ModelDescription, Tensor

_SHOWN = 10  # of a list of names
WHY_FLOAT_MATTERS = (
    "An accelerator for integers (Coral Edge TPU, Arm Ethos-U) cannot run them: they fall back to the processor or the "
    "model is refused. On small cores float operators are slower than int8 ones and move four times the bytes. "
    "Run: edge-sdk convert"
)


def model_facts(model: ModelDescription, *, tensors: bool) -> dict[str, Any]:
    """The description for ``--json``; every tensor only where ``tensors`` is set."""
    found: dict[str, Any] = {
        "size_bytes": model.size_bytes,
        "subgraphs": model.subgraphs,
        "variables": model.variables,
        "full_integer": not model.float_tensors(),
        "inputs": [asdict(model.tensors[i]) for i in model.inputs],
        "outputs": [asdict(model.tensors[i]) for i in model.outputs],
        "operators": dict(Counter(op.name for op in model.operators).most_common()),
        "float_operators": dict(Counter(op.name for op in model.float_operators()).most_common()),
        "float_tensors": [tensor.name for tensor in model.float_tensors()],
        "signatures": [asdict(signature) for signature in model.signatures],
        "verdict": verdict(model),
    }
    if tensors:
        found["tensors"] = [asdict(tensor) for tensor in model.tensors]
    return found


def model_lines(name: str, model: ModelDescription, *, tensors: bool) -> Iterator[str]:
    """The description for people."""
    yield from facts([(name, f"TensorFlow Lite model, {size(model.size_bytes)}")])
    yield from heading("Inputs and outputs")
    ends = [("input", model.tensors[i]) for i in model.inputs] + [("output", model.tensors[i]) for i in model.outputs]
    yield from table(
        ("", "name", "shape", "dtype", "quantization"),
        [(side, t.name, shape_text(t), t.dtype, quantization_text(t)) for side, t in ends],
    )
    for signature in model.signatures:
        called = ", ".join(name for name, _ in signature.inputs), ", ".join(name for name, _ in signature.outputs)
        yield from facts([(f"signature {signature.key}", f"{called[0]} -> {called[1]}")])
    if model.variables:
        kept = f"{model.variables} variable{'s' if model.variables > 1 else ''}, kept from one run to the next"
        yield from facts([("state", f"{kept}: a streaming model")])
    graphs = f" in {model.subgraphs} subgraphs" if model.subgraphs > 1 else ""
    yield from heading(f"Operators: {len(model.operators):,}{graphs}")
    yield from _operator_lines(model)
    if tensors:
        yield from heading(f"Tensors: {len(model.tensors):,}")
        yield from _tensor_lines(model.tensors)
    yield from heading("Verdict")
    yield paragraph(verdict(model))
    if floating := model.float_tensors():
        yield paragraph(WHY_FLOAT_MATTERS)
        yield from facts([("float operators", _operators_text(model)), ("float tensors", _names_text(floating))])


def verdict(model: ModelDescription) -> str:
    """One sentence: full-integer, or how much is float."""
    floating = model.float_tensors()
    if not floating:
        custom = sorted(
            {op.name for op in model.operators if op.custom} - {CUSTOM_CODE}
        )  # an Edge TPU has integers only
        inside = f"; what its custom operators ({', '.join(custom)}) do inside is not known" if custom else ""
        return f"Full-integer: no operator takes or makes a floating-point tensor{inside}."
    named = {tensor.index for tensor in floating}
    ends = [side for side, places in (("input", model.inputs), ("output", model.outputs)) if named & set(places)]
    where = f", its {' and '.join(ends)} among them" if ends else ""
    operators = len(model.float_operators())
    return (
        f"Not full-integer: {len(floating):,} of {len(model.tensors):,} tensors are floating-point{where}, "
        f"in {operators:,} of {len(model.operators):,} operators."
    )


def shape_text(tensor: Tensor) -> str:
    """Such as ``1x128x128x3``, with ``?`` for a dynamic axis."""
    axes = tensor.shape_signature if tensor.dynamic and tensor.shape_signature else tensor.shape
    return "x".join("?" if axis < 0 else str(axis) for axis in axes) or "scalar"


def quantization_text(tensor: Tensor) -> str:
    """Scale and zero point of one per tensor; how many there are of one per channel."""
    if not tensor.scales:
        return ""
    if len(tensor.scales) == 1:
        return f"scale {tensor.scales[0]:.6g}, zero point {tensor.zero_points[0] if tensor.zero_points else 0}"
    return f"{len(tensor.scales)} scales along axis {tensor.quantized_axis}"


def _operator_lines(model: ModelDescription) -> Iterator[str]:
    floating = Counter(op.name for op in model.float_operators())
    custom = {op.name for op in model.operators if op.custom}
    counts = Counter(op.name for op in model.operators).most_common()
    yield from table(
        ("operator", "count", "float", ""),
        [(name, f"{n:,}", f"{floating[name]:,}", "custom" if name in custom else "") for name, n in counts],
        right=("count", "float"),
    )


def _tensor_lines(tensors: tuple[Tensor, ...]) -> Iterator[str]:
    yield from table(
        ("#", "name", "shape", "dtype", "bytes", "quantization"),
        [
            (
                str(t.index),
                t.name,
                shape_text(t),
                t.dtype + (" const" if t.constant else ""),
                f"{t.size_bytes:,}",
                quantization_text(t),
            )
            for t in tensors
        ],
        right=("#", "bytes"),
    )


def _operators_text(model: ModelDescription) -> str:
    named = [f"{op.name} (operator {op.index})" for op in model.float_operators()]
    return ", ".join(named[:_SHOWN]) + (f", and {len(named) - _SHOWN:,} more" if len(named) > _SHOWN else "")


def _names_text(tensors: tuple[Tensor, ...]) -> str:
    made = [tensor.name for tensor in tensors if not tensor.constant]
    constants = len(tensors) - len(made)
    names = ", ".join(made[:_SHOWN])
    more = f", and {len(made) - _SHOWN:,} more (--tensors lists all)" if len(made) > _SHOWN else ""
    return names + more + (f"; {constants:,} constants" if constants else "")
