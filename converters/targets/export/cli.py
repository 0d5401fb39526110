"""``edge-sdk export``."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_sdk.cli.ending import end_tidily_on_signals
from edge_sdk.cli.table import facts

if TYPE_CHECKING:
    from converters.targets.export.made import Export

_SERVERS = {
    "tfserving": "converters.targets.tfserving.make",
    "torchserve": "converters.targets.torchserve.make",
    "kserve": "converters.targets.kserve.make",
}
_EPILOG = """\b
Examples:
  edge-sdk export flowers.edge --to tfserving -o models       # models/flowers/1/saved_model.pb, warm-up requests
  edge-sdk export flowers.edge --to torchserve -o model-store # model-store/flowers.mar
  edge-sdk export flowers.edge --to kserve -o models          # models/flowers: for Triton, MLServer and KServe
  edge-sdk export flowers.edge --to kserve --variant onnx-qdq --name flowers-qdq -o models

\b
The contract (how raw input becomes the tensor, what the outputs mean) and the labels go with every export, as contract.json and
labels.txt. Tensors keep the variant's names, shapes and types: an int8 variant takes and gives int8.
docs/servers.md shows how each server is started, with tokens and TLS."""


@click.command(epilog=_EPILOG)
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE.edge")
@click.option("--to", "server", required=True, type=click.Choice(list(_SERVERS)), help="The server that it is for.")
@click.option("--variant", metavar="ID", help="Default: the first that the server can run.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder of models to write into; it may hold others.",
)
@click.option("--name", metavar="NAME", help="Of the model on the server. Default: the bundle's.")
@click.option(
    "--model-version", type=click.IntRange(min=1), default=1, show_default=True, help="Of the model on the server."
)
@click.option("--overwrite", is_flag=True, help="Replace this model if it was exported before.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
def export(
    bundle: Path,
    server: str,
    variant: str | None,
    output: Path,
    name: str | None,
    model_version: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a bundle's variant in the form that a server takes.

    Before it is there, what the server will run has computed the golden vectors: where it differs from the variant by more than the
    tolerance, that is an error, and nothing is written.
    """
    from converters.targets.export.subject import read_subject
    from edge_sdk.bundle import Bundle

    end_tidily_on_signals()
    maker = import_module(_SERVERS[server])
    with Bundle(bundle) as opened:
        subject = read_subject(opened, variant, name=name, version=model_version, kinds=maker.KINDS)
    made: Export = maker.make(subject, output, overwrite=overwrite)
    if as_json:
        told = asdict(made) | {"path": str(made.path), "variant": subject.variant.id, "name": subject.name}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"{made.path}: {subject.variant.id} for {made.server}")
    click.echo("\n".join(facts([("agreement", str(made.agreement))])))
    for line in made.start:  # to be copied: never folded
        click.echo(f"  {'start':<9}  {line}")
