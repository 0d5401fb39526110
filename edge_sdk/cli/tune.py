"""``edge-sdk tune``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns

import click

from edge_sdk.app import App, Program, read_app
from edge_sdk.bundle import Bundle
from edge_sdk.cli.ending import end_tidily_on_signals
from edge_sdk.cli.engine_options import engine_options_from
from edge_sdk.cli.milliseconds import milliseconds
from edge_sdk.cli.service import SYSTEM_STATES
from edge_sdk.cli.supervise import default_state_dir, name_of
from edge_sdk.cli.table import facts, table
from edge_sdk.engines import Options
from edge_sdk.errors import ConfigError
from edge_sdk.printable import printable, printable_lines
from edge_sdk.tune.objective import Objective
from edge_sdk.tune.store import Row, Tuned, holds_now, keep, state_dirs, stored
from edge_sdk.tune.tuning import tune as measure

_LINE_NS = 2_000_000_000
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0}


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Such as 30s, 2m or 500ms."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min)?", value)
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if not 1 <= seconds <= 86_400:
        raise click.BadParameter(f"it is a time from 1s to 24 hours, such as 30s or 2m; found {value!r}")
    return seconds


def _share(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Such as 1% or 0.01."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%)?", value)
    share = float(match[1]) * (0.01 if match[2] else 1.0) if match else -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter(f"it is a share, such as 1% or 0.01; found {value!r}")
    return share


@click.command(epilog="\b\nExit codes: 0 done, 1 error, 2 wrong settings, 3 what runs here is wrong.")
@click.argument("what", type=click.Path(path_type=Path), metavar="BUNDLE.edge|APP.toml")
@click.option("--board", help="Board profile: only what it runs is measured; default whatever has an engine here.")
@click.option(
    "--deadline",
    "deadline_ms",
    type=float,
    callback=milliseconds,
    metavar="MS",
    help="Take the most accurate whose p95 is within it, not the fastest.",
)
@click.option(
    "--max-drop",
    default="1%",
    show_default=True,
    callback=_share,
    metavar="SHARE",
    help="How much less accurate than the bundle's first variant the fastest may be.",
)
@click.option("--any-model", is_flag=True, help="Let variants of smaller models, added to the bundle, take part.")
@click.option("--budget", "budget_s", default="30s", show_default=True, callback=_seconds, metavar="TIME")
@click.option("--engine", help="Run all variants in this engine; default by a variant's kind.")
@click.option("--engine-option", "engine_options", multiple=True, metavar="KEY=VALUE", help="Is not varied then.")
@click.option("--state-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where the choice is kept.")
@click.option("--explain", is_flag=True, help="Print the table: that of the choice which is kept, if it still holds.")
@click.option("--json", "as_json", is_flag=True, help="The table for machines.")
def tune(
    what: Path,
    board: str | None,
    deadline_ms: float | None,
    max_drop: float,
    any_model: bool,
    budget_s: float,
    engine: str | None,
    engine_options: tuple[str, ...],
    state_dir: Path | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Measure what a bundle can run on this machine, and keep the best: variant, engine, threads, cores.

    \b
    edge-sdk tune face.edge
    edge-sdk tune face.edge --deadline 33         # the most accurate that keeps it
    edge-sdk tune face.edge --explain             # the table, without measuring again
    edge-sdk tune app.toml                        # the bundle, board and state of an application

    Each candidate runs in a process of its own, as in the loop, and is checked against the bundle's golden vectors first: one that is
    fast and wrong is out. From then on edge-sdk run takes the choice, unless it is told a variant or an engine, until the bundle, the
    machine or a package changes.
    """
    end_tidily_on_signals()
    bundle_path, app_board, options, folders = _place(what)
    board = board or app_board
    folders = (state_dir, *folders) if state_dir is not None else folders
    objective = Objective(deadline_ms, max_drop, any_model)
    with Bundle(bundle_path) as bundle:
        kept = _kept(bundle, board, folders, objective) if explain else None
        options = {**options, **engine_options_from(engine_options)}
        found = kept or _measured(bundle, objective, board=board, engine=engine, options=options, budget_s=budget_s)
    click.echo(found.model_dump_json(indent=2) if as_json else "\n".join(_lines(found, whole=explain)))
    if kept is None:
        path = keep(found, bundle_path, folders[0])
        click.echo(printable(f"kept in {path}"), err=True)


def _measured(
    bundle: Bundle, objective: Objective, *, board: str | None, engine: str | None, options: Options, budget_s: float
) -> Tuned:
    progress = _Progress()
    try:
        return measure(
            bundle, objective, board=board, engine=engine, options=options, budget_s=budget_s, say=progress.say
        )
    finally:
        progress.end()


def _place(what: Path) -> tuple[Path, str | None, Options, tuple[Path, ...]]:
    """The bundle, the board, the engine's options, and where choices are kept."""
    if what.suffix != ".toml":
        return what, None, {}, state_dirs()
    app = read_app(what)
    if isinstance(app, Program):
        raise ConfigError(f"{what} has [app] command, whose program names its bundle itself; give the bundle")
    return app.model.bundle, app.model.board, app.model.options, (_state_dir(what, app), *state_dirs())


def _state_dir(path: Path, app: App) -> Path:
    """Of the application: as it says, else that of its service where it has one, else the user's."""
    if app.supervisor.state_dir is not None:
        return path.absolute().parent / app.supervisor.state_dir
    of_service = SYSTEM_STATES / name_of(path, app)
    return of_service if of_service.is_dir() else default_state_dir(of_service.name)


def _kept(bundle: Bundle, board: str | None, folders: tuple[Path, ...], objective: Objective) -> Tuned | None:
    found = stored(bundle.path, folders, _say)
    if found is None:
        return None
    changes = found.holds.changes_to(holds_now(bundle, board))
    if not changes and objective != Objective() and found.objective != str(objective):
        changes = f"it is {found.objective}"
    if changes:
        _say(f"the choice that is kept does not hold: {changes}; measuring again")
        return None
    return found


def _lines(found: Tuned, *, whole: bool) -> Iterator[str]:
    row = found.taken
    yield printable(f"{row.name}: p50 {row.p50_ms:.3g} ms, p95 {row.p95_ms:.3g} ms; {found.why}")
    if not whole:
        return
    measured = f"{found.seconds:.1f} s on {found.holds.machine}, board {found.holds.board or 'unknown'}"
    yield from facts((("measured", measured), ("wanted", found.objective)))
    yield ""
    titles = ("candidate", "golden", "p25 ms", "p50 ms", "p95 ms", "MB", "start ms", "verdict")
    yield from table(titles, map(_cells, found.rows), right=titles[1:-1])
    yield ""
    yield from facts((each.name, each.reason) for each in found.rows if each.reason)


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (
        (row.golden, "{:.3g}"),
        (row.p25_ms, "{:.3f}"),
        (row.p50_ms, "{:.3f}"),
        (row.p95_ms, "{:.3f}"),
        (row.memory_mb, "{:.0f}"),
        (row.startup_ms, "{:.0f}"),
    )
    golden, *rest = ("" if number is None else form.format(number) for number, form in numbers)
    return (row.name, "no number" if row.golden == -1 else golden, *rest, row.verdict)


def _say(message: str) -> None:
    click.echo(printable_lines(message), err=True)


class _Progress:
    """On standard error: one line that is written over on a terminal, else a line every two seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._next_ns = monotonic_ns() + _LINE_NS

    def say(self, text: str) -> None:
        if self._terminal:
            click.echo(f"\r\033[K{printable(text)[:99]}", nl=False, err=True)
        elif monotonic_ns() >= self._next_ns:
            self._next_ns = monotonic_ns() + _LINE_NS
            click.echo(printable(text), err=True)

    def end(self) -> None:
        if self._terminal:
            click.echo("\r\033[K", nl=False, err=True)
