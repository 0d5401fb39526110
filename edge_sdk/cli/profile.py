"""``edge-sdk profile``."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import click

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import first_golden_input
from edge_sdk.choice import choose_variant
from edge_sdk.cli.engine_options import engine_options_from
from edge_sdk.cli.model_file import read_model, read_start
from edge_sdk.encoder import Encoder
from edge_sdk.engines import engine_for, own_options
from edge_sdk.engines.isolation import open_engine
from edge_sdk.noise import noise
from edge_sdk.outputs import refuse_existing, replacing
from edge_sdk.printable import printable_lines
from edge_sdk.profiles import load_board
from edge_sdk.profiling.page import page
from edge_sdk.profiling.profile import profile_model
from edge_sdk.profiling.stated import stated_roof
from edge_sdk.profiling.text import profile_lines
from edge_sdk.tensors import Array


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="BUNDLE.edge|MODEL.tflite")
@click.option("--variant", "variant_id", help="Id of the bundle's variant; default its first, or the board's.")
@click.option("--board", help="Board profile, whose first variant is taken; see edge-sdk boards.")
@click.option("--engine", "engine_name", help="litert, onnx or openvino; default by the variant's kind.")
@click.option("--engine-option", "engine_options", multiple=True, metavar="KEY=VALUE", help="Such as threads=2.")
@click.option(
    "--budget",
    "budget_s",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1),
    help="About how many seconds it takes.",
)
@click.option("--all", "all_operators", is_flag=True, help="List every operator, not only the longest.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with pictures there.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Figures for machines.")
def profile(
    model: Path,
    variant_id: str | None,
    board: str | None,
    engine_name: str | None,
    engine_options: tuple[str, ...],
    budget_s: float,
    all_operators: bool,
    html: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show where a model's time goes, operator by operator, and what this machine would allow.

    \b
    edge-sdk profile face.edge
    edge-sdk profile face.edge --variant onnx-qdq --html profile.html
    edge-sdk profile model.tflite --all

    Times come from the engine's own profiler; LiteRT has none in Python, so that the model is cut behind each operator, and the differences
    are taken. The roof is measured here: what a copy in memory and a large convolution reach. An operator far below it has another cost
    than its work: a layout that does not fit, or an engine that has no good kernel for it.
    """
    if html is not None:
        refuse_existing(html, overwrite=overwrite)
    options = engine_options_from(engine_options)
    name, engine, content, inputs = _subject(model, variant_id, board, engine_name)
    found = profile_model(
        name,
        engine,
        content,
        inputs,
        own_options(engine, options, load_board(board).engine_options if board else None),
        budget_s=budget_s,
        progress=_progress,
    )
    found = replace(found, stated=stated_roof(board))
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    if html is not None:
        with replacing(html, overwrite=overwrite) as beside:
            beside.write_text(page(found), encoding="utf-8")
    lines = profile_lines(found, all_operators=all_operators)
    click.echo(json.dumps(found.as_dict()) if as_json else "\n".join(map(printable_lines, lines)))


def _subject(
    model: Path, variant_id: str | None, board: str | None, engine: str | None
) -> tuple[str, str, bytes, list[Array]]:
    """Name, engine, content and inputs of what is to be profiled."""
    with contextlib.ExitStack() as stack:
        if read_start(model)[:2] != b"PK":
            content, engine = read_model(model), engine or engine_for("tflite-")
            with open_engine(engine, content) as opened:
                return model.name, engine, content, [noise(spec.shape, spec.dtype) for spec in opened.inputs]
        bundle = stack.enter_context(Bundle(model))
        choice = choose_variant(bundle, variant_id, kinds=load_board(board).variants if board else (), engine=engine)
        if choice.instead:
            click.echo(printable_lines(f"cpu_instead: {choice.instead}"), err=True)
        variant = choice.variant
        inputs = [noise(spec.shape, spec.dtype) for spec in variant.inputs]
        golden = first_golden_input(bundle, variant)
        if golden is not None:
            Encoder(bundle.contract_of(variant), variant.inputs[0]).encode(golden, inputs[0])
        name = f"{model.name}, {variant.id}"
        return name, engine_for(variant.kind, engine), bundle.model_of(variant), inputs


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[Kmeasuring: {done} of {total} cuts", nl=False, err=True)
