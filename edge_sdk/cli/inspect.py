"""``edge-sdk inspect``: what is in a bundle or a model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_sdk.bundle import Bundle
from edge_sdk.cli.inspect_bundle import bundle_facts, bundle_lines
from edge_sdk.cli.inspect_model import model_facts, model_lines
from edge_sdk.cli.model_file import read_model, read_start
from edge_sdk.errors import ModelError
from edge_sdk.tflite import describe


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tensors", is_flag=True, help="List every tensor of a .tflite model.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
def inspect(file: Path, tensors: bool, as_json: bool) -> None:
    """Show what is in FILE, a bundle or a .tflite model.

    Of a model: inputs, outputs, operators and quantization, and whether it is full-integer; of a bundle: contract, task, variants,
    what was measured, and whether every file in it has its hash.

    \b
    edge-sdk inspect detector.edge
    edge-sdk inspect model.tflite --tensors
    edge-sdk inspect model.tflite --json | jq .full_integer
    """
    start = read_start(file)
    if start[:2] == b"PK":
        with Bundle(file) as bundle:
            found = {"kind": "bundle", "file": str(file), **bundle_facts(bundle)} if as_json else None
            lines = [] if as_json else list(bundle_lines(bundle))
    elif start[4:] == b"TFL3":
        model = describe(read_model(file))
        found = {"kind": "tflite", "file": str(file), **model_facts(model, tensors=tensors)} if as_json else None
        lines = [] if as_json else list(model_lines(file.name, model, tensors=tensors))
    else:
        raise ModelError(
            f"{file} is no bundle and no .tflite model: it begins with {start!r}, a bundle with b'PK', and a model has b'TFL3' "
            "at bytes 4 to 8. Other formats: edge-sdk convert"
        )
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines))
