"""Triton's ``config.pbtxt``."""

from __future__ import annotations

import json
from collections.abc import Iterator

from converters.targets.export.subject import Subject
from converters.targets.served.edge_variant import DATATYPES
from edge_sdk.tensors import TensorSpec


def triton_config(subject: Subject) -> str:
    """The configuration: shapes as the variant states them, its batch included, so that Triton itself refuses a larger one."""
    runs = (
        'backend: "onnxruntime"\ndefault_model_filename: "model.onnx"'
        if subject.runtime == "onnxruntime"
        else 'backend: "python"'
    )
    return "\n".join(
        (
            f"name: {_quoted(subject.name)}",
            runs,
            "max_batch_size: 0",
            *_tensors("input", subject.variant.inputs),
            *_tensors("output", subject.variant.outputs),
            "instance_group [{ kind: KIND_CPU, count: 1 }]",
            f"version_policy: {{ specific: {{ versions: [{subject.version}] }} }}",
            "",
        )
    )


def _tensors(side: str, specs: tuple[TensorSpec, ...]) -> Iterator[str]:
    yield f"{side} ["
    for number, spec in enumerate(specs):
        dims = ", ".join(map(str, spec.shape))
        comma = "," if number < len(specs) - 1 else ""
        yield f"  {{ name: {_quoted(spec.name)}, data_type: TYPE_{DATATYPES[spec.dtype]}, dims: [{dims}] }}{comma}"
    yield "]"


def _quoted(text: str) -> str:
    """A string of protobuf's text format; its escapes are those of JSON for what a name may hold."""
    return json.dumps(text, ensure_ascii=False)
