"""``edge-sdk edgetpu``: plan, compile and add. Each command stands in its own module and loads when it is called."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "plan": ("converters.targets.edgetpu.cli_plan:plan", "Say what of a model will run on the Edge TPU, and how fast."),
    "compile": (
        "converters.targets.edgetpu.cli_compile:compile_",
        "Run Google's compiler, and compare it with the plan.",
    ),
    "add": ("converters.targets.edgetpu.cli_add:add", "Pack a compiled model into the bundle that it comes of."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - narrows for the type checker
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup)
def edgetpu() -> None:
    """Coral: know beforehand what the Edge TPU makes of a model, compile it, pack it."""
