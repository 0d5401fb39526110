"""Runs sections, each in a process of its own, and prints one table."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from benchmarks import machine
from benchmarks.environments import BUILD, say
from benchmarks.models import make_models
from benchmarks.rows import Row, table


def compare(sections: Sequence[str], *, quick: bool, json_file: Path | None) -> None:
    """Print the machine and a row for everything measured; a missed target is said, and is no failure.

    Raises:
        SystemExit: with code 1, after the table, if a section broke.
    """
    started = perf_counter()
    make_models()
    facts = machine.describe()
    rows, broken = [], []
    for name in sections:
        found = _run(name, quick=quick)
        rows += found
        broken += [name] if not found else []
    seconds = perf_counter() - started
    print("\n".join(f"{name:<12} {fact}" for name, fact in facts.items()))
    print("", *table(rows), "", sep="\n")
    judged = [row.met for row in rows if row.met is not None]
    print(
        f"{sum(judged)} of {len(judged)} targets met; {seconds / 60:.1f} minutes"
        + (" (--quick: rough figures)" if quick else "")
    )
    if json_file is not None:
        json_file.write_text(
            json.dumps({"machine": facts, "quick": quick, "rows": [asdict(row) for row in rows]}, indent=1)
        )
    if broken:
        raise SystemExit(f"not measured, because they broke: {', '.join(broken)}")


def _run(name: str, *, quick: bool) -> list[Row]:
    """The rows of one section; none if it broke, which is said with its own words."""
    say(f"measuring: {name} ...")
    started = perf_counter()
    command = [sys.executable, "-m", "benchmarks.section", name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BUILD.parents[1])
    say(f"  {perf_counter() - started:.0f} s")
    if done.returncode:
        say(done.stderr)
        return []
    return [Row(**row) for row in json.loads(done.stdout)]
