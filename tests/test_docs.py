"""What the documentation shows is true: links lead somewhere, commands and settings are taken, sources exist, code runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

from edge_sdk.app import read_app
from edge_sdk.cli import group
from edge_sdk.sources import KINDS

ROOT = Path(__file__).parents[1]
PAGES = [
    page
    for folder in ("docs", "examples", "benchmarks")
    for page in sorted((ROOT / folder).rglob("*.md"))
    if "adr" not in page.parts
] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
COMMAND = re.compile(r"^    (?:sudo )?(?:[~\w/.]*/)?edge-sdk ((?:.*\\\n)*.*)", re.MULTILINE)
BASE = '[model]\nbundle = "x.edge"\n[source]\nkind = "camera"\ndevice = "0"\n[loop]\ndeadline_ms = 50\n'

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def commands(page: Path) -> list[list[str]]:
    return [shlex.split(found.replace("\\\n", " "), comments=True) for found in COMMAND.findall(page.read_text())]


def tables(page: Path) -> list[str]:
    """Indented blocks, from their first table on, where that is one that an app.toml may have."""
    known = r"    \[(?:app|supervisor|watchdog|source|model|\[governor\.rungs\]|\[sink\])\]"
    return [
        textwrap.dedent(block) for block in re.findall(rf"(?m)^{known}.*\n(?:    .*\n|\n(?=    ))*", page.read_text())
    ]


@pages
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pages
def test_every_command_takes_what_is_given_to_it(page: Path) -> None:
    for given in commands(page):
        if given[0].isupper():  # COMMAND --help
            continue
        words = list(given)
        command: click.Command = group
        with click.Context(group) as ctx:
            while isinstance(command, click.Group):
                found = command.get_command(ctx, words.pop(0))
                assert found is not None, given
                command = found
            command.make_context("edge-sdk", words, parent=ctx)


@pages
def test_every_table_of_an_app_toml_is_valid(page: Path, tmp_path: Path) -> None:
    for table in tables(page):
        has = set(re.findall(r"(?m)^\[(\w+)\]", table))
        base = "" if "model" in has or "command = [" in table else BASE
        if "source" in has:
            base = base.replace('[source]\nkind = "camera"\ndevice = "0"\n', "")
        (tmp_path / "app.toml").write_text(base + table)
        read_app(tmp_path / "app.toml")


@pages
def test_every_source_named_there_exists(page: Path) -> None:
    kinds = "|".join(KINDS.names())
    for text in re.findall(rf"`((?:{kinds}):[^`\s]+)`|--source ((?:{kinds}):\S+)", page.read_text()):
        named = next(filter(None, text))
        if "FILE" not in named:
            KINDS.parse(named)


def test_the_deadline_of_docs_watchdog_runs_as_written() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/watchdog.md").read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False 0.")
