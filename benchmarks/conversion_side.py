"""Runs an edge-sdk command and writes which packages it has loaded: ``python -m benchmarks.conversion_side FILE.json COMMAND ...``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge_sdk.cli import main

if __name__ == "__main__":
    written = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        written.write_text(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
