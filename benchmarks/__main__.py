"""``python -m benchmarks [--only NAME ...] [--quick] [--json FILE]``: speed and memory beside what one would use instead.

Every ratio is of interleaved runs on one thread each. What is not there yet (environments, models, images) is made in build/bench.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.comparison import compare
from benchmarks.section import SECTIONS


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed and memory, side by side, in one table."
    )
    parser.add_argument("--only", action="append", choices=list(SECTIONS), metavar="NAME", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="short runs, to see that all works; rough figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args()
    compare(given.only or list(SECTIONS), quick=given.quick, json_file=given.json)


if __name__ == "__main__":
    main()
