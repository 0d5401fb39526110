"""``edge-sdk doctor``."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path

import click

from edge_sdk.cli.table import WIDTH
from edge_sdk.doctor import Finding, examine
from edge_sdk.printable import printable

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.pass_context
def doctor(ctx: click.Context, bundle: Path | None, as_json: bool) -> None:
    """Check this machine, and with BUNDLE whether it can run that bundle.

    Every fault and warning comes with the exact fix. Exit code 0 when there is no fault, 3 when there is one.

    \b
    edge-sdk doctor
    edge-sdk doctor detector.edge
    edge-sdk doctor --json | jq '.findings[] | select(.state == "fault").fix'
    """
    findings = examine(bundle=bundle)
    faults = sum(finding.state == "fault" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    if as_json:
        report = {
            "faults": faults,
            "warnings": warnings,
            "findings": [dataclasses.asdict(finding) for finding in findings],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        _show(findings)
        click.echo(f"\n{_count(faults, 'fault')}, {_count(warnings, 'warning')}")
    ctx.exit(3 if faults else 0)


def _show(findings: tuple[Finding, ...]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        state = click.style(f"{finding.state:7}", fg=_COLOURS[finding.state])
        indent = " " * (7 + 2 + width + 2)
        said = textwrap.wrap(printable(finding.found), WIDTH - len(indent))
        click.echo(f"{state}  {finding.check:{width}}  " + f"\n{indent}".join(said))
        if finding.fix:  # in one line, to be copied
            click.echo(f"{indent}fix: {printable(finding.fix)}")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
