"""``edge-sdk edgetpu plan``: what of a model will run on the Edge TPU, and how fast."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_sdk.bundle import Bundle
from edge_sdk.cli.model_file import read_model, read_start
from edge_sdk.errors import ModelError
from edge_sdk.outputs import refuse_existing, replacing

if TYPE_CHECKING:
    from edge_sdk.edgetpu.plan import Plan

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
@click.option(
    "--fix", is_flag=True, help="Rewrite what does not map, prove that it computes the same, and write the model to -o."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The .tflite that --fix writes.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def plan(
    model: Path,
    every: bool,
    as_json: bool,
    compiler_version: str | None,
    runtime_version: int | None,
    fix: bool,
    output: Path | None,
    overwrite: bool,
) -> None:
    """Say what of MODEL will run on the Edge TPU, why the rest will not, and what it takes.

    MODEL is a .tflite file, or a bundle, of which the int8 variant is planned. Nothing is run and no compiler is needed.

    \b
    edge-sdk edgetpu plan model_int8.tflite
    edge-sdk edgetpu plan detector.edge --all
    edge-sdk edgetpu plan model_int8.tflite --runtime-version 13 --json
    edge-sdk edgetpu plan model_int8.tflite --fix -o fixed.tflite
    """
    from converters.targets.edgetpu.fix import proposals
    from converters.targets.edgetpu.plan import make_plan
    from converters.targets.edgetpu.text import plan_lines, proposal_lines

    if fix != (output is not None):
        raise click.UsageError("--fix needs -o OUTPUT, and -o is for --fix")
    content, planner = read_int8(model), partial(make_plan, compiler=compiler_version, runtime=runtime_version)
    if output is not None:
        _fix(content, planner, model.name, output, every=every, as_json=as_json, overwrite=overwrite)
        return
    made = planner(content)
    if as_json:
        click.echo(made.model_dump_json(indent=2))
        return
    proposed = proposals(content, made)
    click.echo("\n".join((*plan_lines(made, model.name, every=every), *proposal_lines(proposed))))


def _fix(
    content: bytes,
    planner: Callable[[bytes], Plan],
    name: str,
    output: Path,
    *,
    every: bool,
    as_json: bool,
    overwrite: bool,
) -> None:
    from converters.targets.edgetpu.fix import fix as fix_model
    from converters.targets.edgetpu.text import fixed_lines, plan_lines

    refuse_existing(output, overwrite=overwrite)
    fixed = fix_model(content, planner, progress=lambda said: click.echo(said, err=True))
    if fixed.content == content:
        click.echo(
            "nothing was changed, and nothing written: no fix is known for what stays on the processor", err=True
        )
    else:
        with replacing(output, overwrite=overwrite) as beside:
            beside.write_bytes(fixed.content)
    if as_json:
        done = [{**asdict(rewrite), "kept": rewrite.kept} for rewrite in fixed.rewrites]
        click.echo(json.dumps({"rewrites": done, "plan": fixed.plan.model_dump(mode="json")}, indent=2))
        return
    click.echo("\n".join((*fixed_lines(fixed), "", *plan_lines(fixed.plan, name, every=every))))


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
