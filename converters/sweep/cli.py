"""``edge-sdk sweep``."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from converters.cli import axes
from converters.progress import Bar, quiet
from edge_sdk.cli.ending import end_tidily_on_signals
from edge_sdk.errors import ConfigError

_EPILOG = """\b
Examples:
  edge-sdk sweep net.onnx --recipe int8 --recipe int8-per-tensor --ranges minmax --ranges mse \\
      --size 96 --size 128 --calibrate photos/ --evaluate truth/ --board raspberry-pi-5 -o sweep/
  edge-sdk sweep small.tflite large.tflite --config model.toml --calibrate photos/ --holdout more/ -o sweep/
  edge-sdk sweep net.keras --recipe all --ranges all --calibrate photos/ --evaluate truth/ -o sweep/ --jobs 8

\b
On a cluster, with the same edge-device-sdk[convert,sweep] on each machine and DATA at the same path:
  dask scheduler                                       on one machine
  dask worker tcp://10.0.0.5:8786 --nthreads 1         on each worker, as often as it has processors
  edge-sdk sweep ... --backend dask --scheduler tcp://10.0.0.5:8786

\b
FOLDER gets sweep.html (look at this), sweep.json, and points/ with every model that was made. A sweep that was
interrupted, or another one into the same FOLDER, does only what is not there yet.

\b
Exit codes: 0 done, 1 error or no point could be made, 2 something is missing or unknown, 130 interrupted, 129 and 143 ended by a signal."""


@click.command(epilog=_EPILOG)
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODEL...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the sweep is kept.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A model.toml for all models; default: each model's name with .toml, if it is there.",
)
@click.option("--calibrate", metavar="DATA", help="Samples as the model will meet them; as in convert.")
@click.option(
    "--holdout", metavar="DATA", help="Without right answers: accuracy is likeness to float on these samples."
)
@click.option("--evaluate", metavar="DATA", help="Data with the right answers: accuracy is the task's own metric.")
@click.option("--metric", metavar="NAME", help="What counts on --evaluate, as in convert. Default: the task's own.")
@click.option(
    "--max-samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many samples of --calibrate and --holdout, evenly spaced. Default: 200.",
)
@click.option(
    "--board",
    "boards",
    multiple=True,
    metavar="BOARD",
    help="Leave out what none of these runs, and tell the best of each; may be repeated.",
)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="NAME",
    help="How to quantize, by name or a .toml as in convert; may be repeated; all is every named one. Default: int8.",
)
@click.option(
    "--ranges",
    multiple=True,
    metavar="METHOD",
    help="How ranges are chosen: minmax, percentile, mse or auto; may be repeated; all is every one. Default: minmax.",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Side of square pictures; may be repeated. For models of free shape.",
)
@click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="N,N,..",
    help="The same for any input, with its batch of 1, as in convert; may be repeated.",
)
@click.option("--trust", is_flag=True, help="Run code that comes with the models.")
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Points at a time on this machine. Default: its processors."
)
@click.option(
    "--backend",
    type=click.Choice(["loky", "threading", "dask"]),
    default="loky",
    show_default=True,
    help="Processes, threads, or a cluster.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Of --backend dask, such as tcp://10.0.0.5:8786.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def sweep(
    models: tuple[Path, ...],
    output: Path,
    recipes: tuple[str, ...],
    ranges: tuple[str, ...],
    sizes: tuple[int, ...],
    input_shapes: tuple[str, ...],
    boards: tuple[str, ...],
    config: Path | None,
    calibrate: str | None,
    evaluate: str | None,
    metric: str | None,
    holdout: str | None,
    max_samples: int | None,
    trust: bool,
    jobs: int | None,
    backend: str,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Find the best accuracy, latency and size: try recipes x range methods on models x sizes.

    Each point is quantized, proven and compared; the page shows the front, which are the points that no other beats, what is best on
    each board, and the exact edge-sdk convert command of the best. A point that fails is a line with its reason. Latency is measured at
    the end, on this machine: leave it alone for that minute.
    """
    from converters.sweep.commands import Told
    from converters.sweep.lines import sweep_lines
    from converters.sweep.point import RANGE_METHODS, recipe_names
    from converters.sweep.run import sweep as run

    told = Told(
        models=models,
        recipes=_all(recipes, recipe_names(), ("int8",)),
        ranges=_all(ranges, RANGE_METHODS, ("minmax",)),
        sizes=sizes,
        input_shapes=tuple(map(axes, input_shapes)),
        config=config,
        boards=boards,
        calibrate=calibrate,
        holdout=holdout,
        evaluate=evaluate,
        metric=metric,
        max_samples=max_samples,
        trust=trust,
    )
    if jobs is not None and backend == "dask":
        raise ConfigError("--jobs is of this machine; a cluster works on as many points as its workers have threads")
    end_tidily_on_signals()
    try:
        with Bar() if sys.stderr.isatty() and not as_json else nullcontext(quiet) as progress:
            result = run(
                told,
                output=output,
                backend=backend,  # type: ignore[arg-type]
                jobs=jobs or os.cpu_count() or 1,
                scheduler=scheduler,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo(f"\nwhat is done is kept in {output}: the same command goes on from there", err=True)
        raise
    if as_json:
        click.echo(result.figures.model_dump_json(indent=1))
    else:
        click.echo("\n".join(sweep_lines(result.figures)))
        click.echo(f"\nwritten: {result.html}, {result.json.name}")
    if not any(row.figures for row in result.figures.rows):
        sys.exit(1)


def _all(named: tuple[str, ...], every: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    return every if "all" in named else named or default
