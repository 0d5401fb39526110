"""``python -m benchmarks.soak [--only NAME] [--quick] [--json FILE]``: whether all stays flat, in about three quarters of an hour."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.comparison import compare
from benchmarks.section import SOAK


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description="Ages, memory, readings and faults over long runs."
    )
    parser.add_argument("--only", action="append", choices=list(SOAK), metavar="NAME", help=", ".join(SOAK))
    parser.add_argument("--quick", action="store_true", help="a tenth of the time or less; rough figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args()
    compare([f"soak-{name}" for name in given.only or SOAK], quick=given.quick, json_file=given.json)


if __name__ == "__main__":
    main()
