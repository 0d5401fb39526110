"""``edge-sdk inspect``: what is in a bundle or a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edge_sdk.bundle import Bundle
from edge_sdk.cli.inspect_bundle import bundle_facts, bundle_lines
from edge_sdk.cli.inspect_edgetpu import beside_text, compiled_facts, compiled_lines
from edge_sdk.cli.inspect_model import model_facts, model_lines
from edge_sdk.cli.model_file import read_model, read_start
from edge_sdk.cli.table import heading, paragraph
from edge_sdk.edgetpu.package import read_compiled
from edge_sdk.errors import MissingPackageError, ModelError
from edge_sdk.tflite import describe


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tensors", is_flag=True, help="List every tensor of a .tflite model.")
@click.option(
    "--beside",
    type=click.Path(path_type=Path),
    help="Another model compiled for the Edge TPU: were both compiled together, so that both stay on the chip?",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
def inspect(file: Path, tensors: bool, beside: Path | None, as_json: bool) -> None:
    """Show what is in FILE, a bundle or a .tflite model.

    Of a model: inputs, outputs, operators and quantization, and whether it is full-integer; of a bundle: contract, task, variants,
    what was measured, and whether every file in it has its hash. Of a model compiled for the Edge TPU also what the compiler made:
    partitions, cached and streamed bytes, on-chip memory, instructions, the runtime that it needs, and what stays on the processor.

    \b
    edge-sdk inspect detector.edge
    edge-sdk inspect model.tflite --tensors
    edge-sdk inspect model.tflite --json | jq .full_integer
    edge-sdk inspect model_edgetpu.tflite
    edge-sdk inspect model_edgetpu.tflite --beside other_edgetpu.tflite
    """
    start = read_start(file)
    if start[:2] == b"PK":
        _only_compiled(file, beside)
        with Bundle(file) as bundle:
            found = {"kind": "bundle", "file": str(file), **bundle_facts(bundle)} if as_json else None
            lines = [] if as_json else list(bundle_lines(bundle))
    elif start[4:] == b"TFL3":
        found, lines = _of_model(file, tensors=tensors, beside=beside, as_json=as_json)
    else:
        raise ModelError(
            f"{file} is no bundle and no .tflite model: it begins with {start!r}, a bundle with b'PK', and a model has b'TFL3' "
            "at bytes 4 to 8. Other formats: edge-sdk convert"
        )
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines))


def _of_model(
    file: Path, *, tensors: bool, beside: Path | None, as_json: bool
) -> tuple[dict[str, Any] | None, list[str]]:
    """What is in a .tflite model; of a compiled one its packages also where the schema for the rest is not installed."""
    content = read_model(file)
    model, missing = None, None
    try:
        model = describe(content)
    except MissingPackageError as exc:
        missing = exc
    compiled = read_compiled(content)
    if compiled is None and missing is not None:
        raise missing
    found: dict[str, Any] = {"kind": "tflite", "file": str(file)}
    lines: list[str] = []
    if model is not None:
        found |= model_facts(model, tensors=tensors) if as_json else {}
        lines += [] if as_json else model_lines(file.name, model, tensors=tensors)
    if compiled is None:
        _only_compiled(file, beside)
        return found, lines
    found["edgetpu"] = compiled_facts(compiled) if as_json else {}
    lines += [] if as_json else list(compiled_lines(compiled))
    if missing is not None:
        found["not_looked_into"] = said = f"Tensors and signatures are not looked into: {missing}."
        lines += ["", paragraph(said)]
    if beside is not None:
        said = beside_text(compiled, other := read_compiled(read_model(beside)))
        together = other is not None and compiled.compiled_together_with(other)
        found["beside"] = {"file": str(beside), "compiled_together": together, "said": said}
        lines += [*heading(f"Beside {beside.name}"), paragraph(said)]
    return found, lines


def _only_compiled(file: Path, beside: Path | None) -> None:
    if beside is not None:
        raise click.UsageError(f"--beside compares models compiled for the Edge TPU; {file} is none")
