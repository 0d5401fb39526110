"""Flags that are budgets in milliseconds."""

from __future__ import annotations

import click

from edge_sdk.watchdog.deadline import check_ms


def milliseconds(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """A click callback: refuses what the loop would.

    Raises:
        ConfigError: if it is no sensible number of milliseconds.
    """
    return None if value is None else check_ms(param.opts[0], value)
