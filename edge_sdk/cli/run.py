"""``edge-sdk run``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from click.core import ParameterSource

from edge_sdk.app import App, LoopTable, ModelTable, Program, read_app
from edge_sdk.cli.ending import end_tidily_on_signals
from edge_sdk.cli.engine_options import engine_options_from
from edge_sdk.cli.milliseconds import milliseconds
from edge_sdk.cli.supervise import PLAN_FLAG, become_supervisor, plan_of, state_dir_of
from edge_sdk.errors import ConfigError
from edge_sdk.hybrid.settings import help_from
from edge_sdk.loop import Loop
from edge_sdk.printable import printable_lines
from edge_sdk.result import Event
from edge_sdk.sinks import in_a_later_life, sinks_from
from edge_sdk.sinks.console import ConsoleSink
from edge_sdk.watchdog import pulse
from edge_sdk.watchdog.plan import APP_VARIABLE, LIFE_VARIABLE, STATE_VARIABLE


@click.command(epilog="\b\nExit codes: 0 the source ended, 1 error, 2 wrong settings, 129, 130, 143 ended by a signal.")
@click.argument("what", type=click.Path(path_type=Path), metavar="APP.toml|BUNDLE.edge")
@click.option(
    "--source",
    metavar="URI",
    help="camera:0, rtsp://host/path, file:clip.mp4, audio:default, serial:/dev/ttyUSB0, replay:x.npz, ...",
)
@click.option(
    "--deadline",
    "deadline_ms",
    type=float,
    callback=milliseconds,
    metavar="MS",
    help="Longest time from capture to result.",
)
@click.option(
    "--hang",
    "hang_ms",
    type=float,
    callback=milliseconds,
    metavar="MS",
    help="Hang budget; default max(10 x deadline, 1000).",
)
@click.option("--sink", "sinks", multiple=True, metavar="KIND[:PATH]", help="console, jsonl:, pictures:, video:")
@click.option(
    "--variant", help="Id of the variant; default the bundle's first, or with --board the first that the board runs."
)
@click.option("--board", help="Board profile; see edge-sdk boards.")
@click.option(
    "--engine",
    help="litert, edgetpu, onnx, openvino, or one that a package of yours brings; default by the variant's kind.",
)
@click.option("--engine-option", "engine_options", multiple=True, metavar="KEY=VALUE", help="Such as threads=2.")
@click.option("--remote", metavar="URL", help="A server that helps, such as https://host:8443; see docs/hybrid.md.")
@click.option("--remote-protocol", help="What it speaks: v2-rest, v2-grpc, tfserving-rest, tfserving-grpc, torchserve.")
@click.option("--remote-model", metavar="NAME", help="The model's name there.")
@click.option("--remote-policy", type=click.Choice(["local", "remote", "hybrid"]), help="When it is asked.")
@click.option(
    "--tuned",
    type=click.Choice(["stored", "off", "background"]),
    help="Take what edge-sdk tune has chosen (default), or not, or have it measured beside the loop.",
)
@click.option("--isolation", type=click.Choice(["process", "none"]), help="Engine in a child (default) or inline.")
@click.option("--results", "most", type=click.IntRange(min=1), metavar="N", help="Stop after N results.")
@click.option("--overwrite", is_flag=True, help="Let sinks replace existing files.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the closing report as JSON; console sinks go to standard error."
)
@click.option(
    "--supervise/--no-supervise",
    default=None,
    help="Watch the application from a process of its own, and start it again when it froze or died; default for an app.toml.",
)
@click.option("--check", is_flag=True, help="Say whether the app.toml is good, and start nothing.")
@click.option(PLAN_FLAG, "print_plan", is_flag=True, hidden=True)
@click.pass_context
def run(
    ctx: click.Context,
    what: Path,
    source: str | None,
    deadline_ms: float | None,
    hang_ms: float | None,
    sinks: tuple[str, ...],
    variant: str | None,
    board: str | None,
    engine: str | None,
    engine_options: tuple[str, ...],
    remote: str | None,
    remote_protocol: str | None,
    remote_model: str | None,
    remote_policy: str | None,
    tuned: str | None,
    isolation: str | None,
    most: int | None,
    overwrite: bool,
    as_json: bool,
    supervise: bool | None,
    check: bool,
    print_plan: bool,
) -> None:
    """Run a bundle over a source, every result on time or marked late.

    \b
    edge-sdk run app.toml                 # supervised: SIGHUP reads it again
    edge-sdk run app.toml --check
    edge-sdk run face.edge --source camera:0 --deadline 50
    edge-sdk run face.edge --source file:clip.mp4 --deadline 50 --sink jsonl:out.jsonl --sink video:out.mp4

    Flags override the keys of app.toml, whose relative paths are relative to it. At the end (or on Ctrl-C) a table tells where
    the time went and what became of every sample.
    """
    app = _app_of(what, source, deadline_ms, hang_ms)
    if what.suffix == ".toml":
        _supervised(ctx, what, app)
    elif supervise or check or print_plan:
        raise ConfigError("a supervisor needs an app.toml; a bundle is run without, for a trial")
    if isinstance(app, Program):
        raise ConfigError(f"{what} has [app] command, which runs under a supervisor only; leave out --no-supervise")
    if what.suffix == ".toml":  # where the supervisor is away, its variable is too
        os.environ.setdefault(STATE_VARIABLE, str(state_dir_of(what, app)))
    changes = {"variant": variant, "board": board, "engine": engine, "isolation": isolation, "tuned": tuned}
    model = app.model.model_copy(update={k: v for k, v in changes.items() if v is not None})
    end_tidily_on_signals()
    _quieten_opencv()
    with ExitStack() as stack:
        opened = sinks_from(
            _sinks_of(app, sinks, as_json, overwrite),
            deadline_ms=app.loop.deadline_ms,
            overwrite=overwrite,
            print_to="stderr" if as_json else "stdout",
        )
        for sink in opened:
            stack.enter_context(sink)
        loop = Loop(
            model.bundle,
            app.source,
            deadline_ms=app.loop.deadline_ms,
            hang_ms=app.loop.hang_ms,
            silence_ms=app.loop.silence_ms,
            reopen_s=app.loop.reopen_s,
            hop=app.loop.hop,
            governor=app.governor or False,
            remote=help_from(app.remote, remote, remote_protocol, remote_model, remote_policy),
            cache=app.cache or False,
            engine=model.engine,
            engine_options={**model.options, **engine_options_from(engine_options)},
            isolation=model.isolation,
            standby=model.standby,
            tuned=model.tuned,
            variant=model.variant,
            board=model.board,
            task=dict(app.task),
            sinks=opened,
            sinks_may_fail=pulse.VARIABLE
            in os.environ,  # what is supervised is to live on, and its disk may have room again
            on_event=None if any(isinstance(sink, ConsoleSink) for sink in opened) else _say,
        )
        with loop:
            stack.callback(_print_report, loop, as_json)  # however it ends, after the loop has closed the sinks
            for count, _ in enumerate(loop, start=1):
                if count == most:
                    return


def _sinks_of(app: App, flags: tuple[str, ...], as_json: bool, overwrite: bool) -> Sequence[str | Mapping[str, object]]:
    wanted = flags or app.sink or (() if as_json else ("console",))
    life, of_this_run = map(int, os.environ.get(LIFE_VARIABLE, "1 1").split())
    return (
        [in_a_later_life(each, new_run=of_this_run == 1) for each in wanted] if life > 1 and not overwrite else wanted
    )


def _quieten_opencv() -> None:
    """What it and FFmpeg print of a camera that is away, several lines a try, is in our messages, which show no password."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")  # AV_LOG_FATAL is 8


def _say(event: Event) -> None:
    """On standard error, where no sink shows events to people, what is for them to act upon."""
    if event.kind in {
        "sink_failed",
        "sink_back",
        "deadline_too_short",
        "cpu_instead",
        "no_standby",
        "standby_on",
        "tuned",
    }:
        click.echo(printable_lines(f"{event.kind}: {event.message}"), err=True)


def _print_report(loop: Loop, as_json: bool) -> None:
    report = loop.report()
    click.echo(json.dumps(report.as_dict()) if as_json else "\n".join(["", *report.lines()]))


def _supervised(ctx: click.Context, path: Path, app: App | Program) -> None:
    """Become the supervisor, or only check; returns where neither is wanted."""
    if isinstance(app, Program):
        _refuse_flags_of_the_loop(ctx, path)
    if ctx.params["check"]:
        click.echo(f"{path} is good")
        ctx.exit()
    if ctx.params["print_plan"]:
        click.echo(plan_of(path, app).as_json())
        ctx.exit()
    if ctx.params["supervise"] is not False and pulse.VARIABLE not in os.environ:  # else a supervisor has started this
        become_supervisor(plan_of(path, app))


def _refuse_flags_of_the_loop(ctx: click.Context, path: Path) -> None:
    given = [
        name
        for name in ctx.params
        if name not in {"what", "check", "print_plan", "supervise"}
        and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise ConfigError(
            f"{path} has [app] command, so flags of the loop have no effect: {', '.join(given)}; leave them out"
        )


def _checked_text(path: Path) -> Path | None:
    """Where the text of this app.toml stands that the supervisor has checked, if it started us."""
    file, _, of = os.environ.get(APP_VARIABLE, "").partition(" ")
    return Path(file) if of == str(path.absolute()) else None


def _app_of(what: Path, source: str | None, deadline_ms: float | None, hang_ms: float | None) -> App | Program:
    app: App | Program
    if what.suffix == ".toml":
        app = read_app(what, _checked_text(what))
        if isinstance(app, Program):
            return app
    else:
        missing = [name for name, value in (("--source", source), ("--deadline", deadline_ms)) if value is None]
        if missing or source is None or deadline_ms is None:
            raise ConfigError(f"missing: {' and '.join(missing)}; give them, or an app.toml that has them")
        app = App(model=ModelTable(bundle=what), source=source, loop=LoopTable(deadline_ms=deadline_ms))
    flags = {"deadline_ms": deadline_ms, "hang_ms": hang_ms}
    loop = app.loop.model_copy(update={k: v for k, v in flags.items() if v is not None})
    return app.model_copy(update={"source": source or app.source, "loop": loop})
