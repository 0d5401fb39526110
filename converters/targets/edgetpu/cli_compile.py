"""``edge-sdk edgetpu compile``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING

import click

from edge_sdk.cli.ending import end_tidily_on_signals
from edge_sdk.cli.model_file import read_model, read_start
from edge_sdk.cli.table import facts, heading, paragraph, size, table
from edge_sdk.errors import CompilerMissingError, ConfigError

if TYPE_CHECKING:
    from converters.report.edgetpu_figures import Comparison
    from converters.targets.edgetpu.compiler import Compilation, Compiled, Options, Source
    from edge_sdk.edgetpu.plan import Plan


@dataclass(frozen=True)
class _Made:
    """What came of one model: the plan, or why there is none, and how both compare."""

    file: Path
    compiled: Compiled
    plan: Plan | None
    no_plan: str
    comparison: Comparison


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODEL|BUNDLE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder to write to. Default: this one.",
)
@click.option("--variant", metavar="ID", help="Of a bundle. Default: its first of kind tflite-int8.")
@click.option(
    "--segments",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Cut one model into a pipeline over N Edge TPUs.",
)
@click.option(
    "--min-runtime", type=click.IntRange(min=1), metavar="N", help="The oldest runtime version that it must work with."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=180.0,
    show_default=True,
    metavar="S",
    help="Seconds that it may take.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
def compile_(
    models: tuple[Path, ...],
    output: Path,
    variant: str | None,
    segments: int,
    min_runtime: int | None,
    timeout: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Run Google's edgetpu_compiler, and compare what it makes with the plan.

    \b
    edge-sdk edgetpu compile model_int8.tflite
    edge-sdk edgetpu compile detector.edge && edge-sdk edgetpu add detector.edge detector_edgetpu.tflite --overwrite
    edge-sdk edgetpu compile first.tflite second.tflite       # together: they share the chip's memory
    edge-sdk edgetpu compile model_int8.tflite --segments 2   # a pipeline over two Edge TPUs

    The compiler is found on PATH or by EDGETPU_COMPILER. Every difference from the plan is shown, and whatever the compiler says that is
    not known.
    """
    from converters.targets.edgetpu.compiler import Options, find_compiler, output_names, run_compiler
    from edge_sdk.outputs import refuse_existing

    end_tidily_on_signals()
    sources = _sources(models, variant)
    options = Options(segments, min_runtime, timeout)
    try:
        compiler = find_compiler()
    except CompilerMissingError as exc:
        raise CompilerMissingError(f"{exc}.\nWhere it is, run:\n  {_elsewhere(models, options)}") from exc
    for name in (name for source in sources for name in output_names(source.name, segments)):
        refuse_existing(output / name, overwrite=overwrite)
    done = run_compiler(compiler, sources, options)
    made = [_made(compiled, output) for compiled in done.models]
    _write(done, output, overwrite)
    if as_json:
        click.echo(json.dumps(_facts(done, made), indent=2))
        return
    click.echo("\n".join(_lines(done, made, models)))


def _sources(models: Sequence[Path], variant: str | None) -> list[Source]:
    from converters.targets.edgetpu.compiler import Source

    stems = [path.stem for path in models]
    if twice := [stem for place, stem in enumerate(stems) if stem in stems[:place]]:
        raise ConfigError(f"two models are called {twice[0]}, as would be what is made of them; rename one")
    return [Source(path.stem, _model(path, variant)) for path in models]


def _model(path: Path, variant: str | None) -> bytes:
    from converters.targets.edgetpu.add import planned_variant
    from edge_sdk.bundle import Bundle

    if read_start(path)[:2] != b"PK":
        return read_model(path)
    with Bundle(path) as bundle:
        return bundle.model_of(planned_variant(bundle, variant))


def _elsewhere(models: Sequence[Path], options: Options) -> str:
    """The command line for another computer: Google's own where no bundle has to be opened first."""
    from converters.targets.edgetpu.compiler import command

    if all(read_start(path)[:2] != b"PK" for path in models):
        return join(command(options, [str(path) for path in models]))
    more = f" --segments {options.segments}" if options.segments > 1 else ""
    return f"edge-sdk edgetpu compile {join(map(str, models))}{more}"


def _made(compiled: Compiled, folder: Path) -> _Made:
    from converters.targets.edgetpu.compare import compare
    from converters.targets.edgetpu.plan import make_plan
    from edge_sdk.errors import ModelError

    plan, no_plan = None, ""
    try:
        plan = make_plan(compiled.source.content)
    except ModelError as exc:
        no_plan = str(exc)
    comparison = compare(compiled.source.content, [content for _, content in compiled.files], plan, compiled.logs)
    return _Made(folder / compiled.files[0][0], compiled, plan, no_plan, comparison)


def _write(done: Compilation, folder: Path, overwrite: bool) -> None:
    from contextlib import ExitStack

    from edge_sdk.outputs import replacing

    with ExitStack() as whole:  # all files or none
        for name, content in (file for compiled in done.models for file in compiled.files):
            whole.enter_context(replacing(folder / name, overwrite=overwrite)).write_bytes(content)


def _facts(done: Compilation, made: Sequence[_Made]) -> dict[str, object]:
    return {
        "compiler": done.compiler.version,
        "compile_ms": done.log.compile_ms,
        "models": [
            {
                "files": [str(each.file.parent / name) for name, _ in each.compiled.files],
                "plan": None if each.plan is None else each.plan.model_dump(mode="json"),
                "no_plan": each.no_plan,
                **each.comparison.model_dump(mode="json"),
                "agrees": each.comparison.agrees,
            }
            for each in made
        ],
        "failures": list(done.log.failures),
        "unknown": list(done.log.unknown),
    }


def _lines(done: Compilation, made: Sequence[_Made], models: Sequence[Path]) -> Iterator[str]:
    took = "" if done.log.compile_ms is None else f", in {done.log.compile_ms} ms"
    together = ", together: they share the chip's memory" if len(made) > 1 else ""
    yield f"edgetpu_compiler {done.compiler.version}{took}{together}"
    for each in made:
        yield from _model_lines(each)
    odd = (*done.log.failures, *done.log.unknown)
    if odd:
        yield from heading("The compiler also said, which is not known here")
        yield from map(paragraph, odd)
    if bundles := [(path, each.file) for path, each in zip(models, made, strict=True) if read_start(path)[:2] == b"PK"]:
        yield from heading("To pack it")
        for bundle, file in bundles:
            yield f"  edge-sdk edgetpu add {quote(str(bundle))} {quote(str(file))} --overwrite"


def _model_lines(made: _Made) -> Iterator[str]:
    for name, content in made.compiled.files:
        yield from heading(f"{made.file.parent / name}, {size(len(content))}")
    if made.no_plan:
        yield paragraph(f"No plan: {made.no_plan}")
    rows = [
        (
            f.name,
            *("-" if n is None else f"{n:,}" for n in (f.planned, f.compiled, f.logged)),
            "differs" if f.differs else "",
        )
        for f in made.comparison.figures
    ]
    yield from table(("", "planned", "compiled", "its log", " "), rows, right=("planned", "compiled", "its log"))
    if made.comparison.operators:
        yield from heading(f"Otherwise than planned: {len(made.comparison.operators):,} operators")
        places = {True: "Edge TPU", False: "processor"}
        yield from table(
            ("#", "operator", "planned", "found", "the plan's reason", "the compiler's"),
            [
                (str(o.index), o.name, places[o.planned], places[o.found], o.why, "; ".join(o.said))
                for o in made.comparison.operators
            ],
            right=("#",),
        )
    if made.comparison.log:
        yield from facts(("log", line) for line in made.comparison.log)
    if made.comparison.agrees and made.plan is not None:
        yield paragraph("As planned.")
