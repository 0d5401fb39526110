"""``python -m benchmarks.engines [--only KEY] [--quick] [--json FILE] [--write docs/engines.md]``: one row a variant and engine.

Each in a process of its own."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from benchmarks.engines.cell import Cell, read_cell
from benchmarks.engines.page import Row, written
from benchmarks.engines.subjects import KEYS, subject
from benchmarks.environments import BUILD, say
from converters.gather import this_machine, tool_versions
from edge_sdk.bundle import Bundle
from edge_sdk.engines import engine_for
from edge_sdk.errors import ConfigError

_LIMIT_S = 900


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--only", action="append", choices=KEYS, metavar="KEY", help=", ".join(KEYS))
    parser.add_argument("--quick", action="store_true", help="short runs, to see that all works; rough figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the table in docs/engines.md")
    given = parser.parse_args()
    rows = [row for key in given.only or KEYS for row in _rows(key, quick=given.quick)]
    text = written(rows, _machine())
    print(text)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if given.write is not None:
        begin, end = "<!-- table -->\n", "<!-- end of table -->\n"
        before, _, rest = given.write.read_text().partition(begin)
        given.write.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}")


def _machine() -> str:
    versions = {**tool_versions(), **_versions("onnxruntime", "openvino", "mlserver")}
    return f"Measured on {this_machine()}, {', '.join(f'{name} {version}' for name, version in versions.items())}."


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _rows(key: str, *, quick: bool) -> Iterator[Row]:
    which = subject(key)
    with Bundle(which.bundle) as bundle:
        variants = bundle.manifest.variants
    for variant in variants:
        try:
            engines = [engine_for(variant.kind)]
        except ConfigError:
            continue
        if variant.kind == "tflite-int8":
            engines.append("remote")
        for engine in engines:
            yield Row(
                which.model.name,
                variant.id,
                engine,
                which.model.judge.agreement,
                _cell(key, variant.id, engine, quick=quick),
            )


def _cell(key: str, variant: str, engine: str, *, quick: bool) -> Cell:
    say(f"{key}: {variant} on {engine} ...")
    started = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "cell.json"
        command = [sys.executable, "-m", "benchmarks.engines.cell", key, variant, engine, str(result)]
        done = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            capture_output=True,
            text=True,
            check=False,
            cwd=BUILD.parents[1],
            timeout=_LIMIT_S,
        )
        say(f"  {perf_counter() - started:.0f} s")
        if not result.is_file():
            say(done.stderr)
            return Cell(failed=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
        return read_cell(result.read_text())


if __name__ == "__main__":
    main()
