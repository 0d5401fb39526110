"""The command line. Commands load when they are called: ``--help`` and every device command start without host libraries."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from edge_sdk import __version__
from edge_sdk.cli.lazy import LazyGroup
from edge_sdk.errors import EdgeSdkError
from edge_sdk.printable import printable_lines
from edge_sdk.refusal import refusal

_COMMANDS = {
    "convert": ("converters.cli:convert", "Turn a trained model into a proven int8 bundle."),
    "sweep": ("converters.sweep.cli:sweep", "Find the best accuracy, latency and size among many settings."),
    "inspect": ("edge_sdk.cli.inspect:inspect", "Show what is in a bundle or a .tflite model."),
    "bundle": ("edge_sdk.cli.bundle:bundle", "Pack a smaller model's variants into a bundle."),
    "run": ("edge_sdk.cli.run:run", "Run a bundle over a camera, video or files, under the watchdog."),
    "service": ("edge_sdk.cli.service:service", "Have systemd start an application at boot, and watch its supervisor."),
    "export": ("converters.targets.export.cli:export", "Write a variant in the form that a server takes."),
    "edgetpu": ("converters.targets.edgetpu.cli:edgetpu", "Plan, compile and pack a model for the Edge TPU (Coral)."),
    "tune": ("edge_sdk.cli.tune:tune", "Choose variant, engine and threads by measuring on this machine."),
    "profile": ("edge_sdk.cli.profile:profile", "Show where the time of a model goes, operator by operator."),
    "bench": ("edge_sdk.cli.bench:bench", "Measure a bundle or a .tflite model on this machine."),
    "boards": ("edge_sdk.cli.boards:boards", "List the boards, show one, or say which one this is."),
    "doctor": ("edge_sdk.cli.doctor:doctor", "Check this machine, and give the exact fix for what is wrong."),
}


_NO_MEMORY = (
    "error: there is not enough memory; nothing was changed. Close other programs, raise the limit (ulimit -v), or use a machine with "
    "more of it"
)


@click.group(
    cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="edge-sdk")
def group() -> None:
    """Neural networks on small computers, on time.

    \b
    workstation   edge-sdk convert model.tflite --calibrate photos/ -o model.edge
    device        edge-sdk run model.edge --source camera:0 --deadline 50

    Every command has its own --help with examples.
    """


def main() -> NoReturn:
    """Entry point: library errors and the system's become one clean message and an exit code; Ctrl-C is 130."""
    try:
        code = group.main(standalone_mode=False)  # the exit code where a command called ctx.exit, else what it returned
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except EdgeSdkError as exc:
        _fail(printable_lines(f"error: {exc}"))
        sys.exit(exc.exit_code)
    except BrokenPipeError:  # the reader of a pipe has gone, and wants no more
        _fail("")
        sys.exit(1)
    except MemoryError:
        _fail(_NO_MEMORY)
        sys.exit(1)
    except ImportError as exc:  # a library for which there is no room; any other one is a fault
        if "failed to map segment" not in str(exc) and "Cannot allocate memory" not in str(exc):
            raise
        _fail(_NO_MEMORY)
        sys.exit(1)
    except OSError as exc:
        _fail(printable_lines(f"error: the system refuses: {refusal(exc)}"))
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    """Say it, and drop what could not be written to standard output: Python would try again at its exit, and fail again."""
    if message:
        click.echo(message, err=True)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
