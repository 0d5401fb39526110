"""``python -m benchmarks.formats [--only KEY ...] [--json FILE] [--write docs/formats.md]``: the table of formats, one process a row."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from benchmarks.environments import BUILD, say
from benchmarks.formats.models import ROWS
from benchmarks.formats.row import Row, read_row
from benchmarks.formats.table import page
from converters.gather import this_machine, tool_versions

_LIMIT_S = 1800


def main() -> None:
    """Parse, measure, print."""
    keys = [model.key for model in ROWS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    parser.add_argument("--only", action="append", choices=keys, metavar="KEY", help=", ".join(keys))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there, as docs/formats.md is")
    given = parser.parse_args()
    rows = [_run(key) for key in given.only or keys]
    text = page(rows, _machine())
    print(text)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if given.write is not None:
        given.write.write_text(text)


def _machine() -> str:
    return (
        f"Measured on {this_machine()}, {', '.join(f'{name} {version}' for name, version in tool_versions().items())}."
    )


def _run(key: str) -> Row:
    """A row; one that broke, or takes too long, says so."""
    say(f"{key} ...")
    started = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "row.json"
        command = [sys.executable, "-m", "benchmarks.formats.row", key, str(result)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=BUILD.parents[1], timeout=_LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return Row(key, failed=f"not done after {_LIMIT_S} s")
        say(f"  {perf_counter() - started:.0f} s")
        if not result.is_file():
            say(done.stderr)
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            return Row(key, failed=f"broke: {last}")
        return read_row(result.read_text())


if __name__ == "__main__":
    main()
