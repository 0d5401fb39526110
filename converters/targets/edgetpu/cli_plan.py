"""``edge-sdk edgetpu plan``: what of a model will run on the Edge TPU, and how fast."""

from __future__ import annotations

from pathlib import Path

import click

from edge_sdk.bundle import Bundle
from edge_sdk.cli.model_file import read_model, read_start
from edge_sdk.errors import ModelError

_INT8 = "tflite-int8"


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--all", "every", is_flag=True, help="List every operator, also long runs of those with one outcome.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object, for machines.")
@click.option(
    "--compiler-version", metavar="VERSION", help="Apply the rules of this compiler, such as 15.0. Default: the latest."
)
@click.option(
    "--runtime-version",
    type=int,
    metavar="N",
    help="Of the Edge TPU runtime on the device, such as 13. Default: the newest that the compiler knows.",
)
def plan(model: Path, every: bool, as_json: bool, compiler_version: str | None, runtime_version: int | None) -> None:
    """Say what of MODEL will run on the Edge TPU, why the rest will not, and what it takes.

    MODEL is a .tflite file, or a bundle, of which the int8 variant is planned. Nothing is run and no compiler is needed.

    \b
    edge-sdk edgetpu plan model_int8.tflite
    edge-sdk edgetpu plan detector.edge --all
    edge-sdk edgetpu plan model_int8.tflite --runtime-version 13 --json
    """
    from converters.targets.edgetpu.plan import make_plan
    from converters.targets.edgetpu.text import plan_lines

    made = make_plan(read_int8(model), compiler=compiler_version, runtime=runtime_version)
    if as_json:
        click.echo(made.model_dump_json(indent=2))
    else:
        click.echo("\n".join(plan_lines(made, model.name, every=every)))


def read_int8(file: Path) -> bytes:
    """A .tflite file's content, or that of a bundle's int8 variant.

    Raises:
        ModelError: if it is neither.
        BundleError: if the bundle has no int8 variant, or is damaged.
    """
    start = read_start(file)
    if start[:2] == b"PK":
        with Bundle(file) as bundle:
            return bundle.read(bundle.variant(kinds=(_INT8,)).file)
    if start[4:8] == b"TFL3":
        return read_model(file)
    raise ModelError(
        f"{file} is no bundle and no .tflite model. Convert the model first: edge-sdk convert, which leaves an int8 variant"
    )
