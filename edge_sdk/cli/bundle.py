"""``edge-sdk bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.add import add_variants


@click.group()
def bundle() -> None:
    """Change bundles."""


@bundle.command()
@click.argument("base", type=click.Path(path_type=Path), metavar="BUNDLE.edge")
@click.argument("other", type=click.Path(path_type=Path), metavar="OTHER.edge")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The bundle to write.")
@click.option("--suffix", default="small", show_default=True, help="What the added variants' ids end in.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists; it may be BUNDLE itself.")
def add(base: Path, other: Path, output: Path, suffix: str, overwrite: bool) -> None:
    """Pack the variants of OTHER, such as a smaller model's, into BUNDLE.

    \b
    edge-sdk bundle add detector.edge detector-small.edge -o both.edge

    Under overload or heat the governor of the loop steps to them; each keeps its own contract, golden vectors and figures.
    """
    with Bundle(base) as first, Bundle(other) as second:
        added = add_variants(first, second, output, suffix=suffix, overwrite=overwrite)
    click.echo(f"{output}: added {', '.join(added)}")
