"""``edge-sdk edgetpu``: plan, compile and add. Each command stands in its own module and loads when it is called."""

from __future__ import annotations

import click

from edge_sdk.cli.lazy import LazyGroup

_COMMANDS = {
    "plan": ("converters.targets.edgetpu.cli_plan:plan", "Say what of a model will run on the Edge TPU, and how fast."),
    "compile": (
        "converters.targets.edgetpu.cli_compile:compile_",
        "Run Google's compiler, and compare it with the plan.",
    ),
    "add": ("converters.targets.edgetpu.cli_add:add", "Pack a compiled model into the bundle that it comes of."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def edgetpu() -> None:
    """Coral: know beforehand what the Edge TPU makes of a model, compile it, pack it."""
