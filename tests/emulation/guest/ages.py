"""A user's own program with a loop over the camera; it notes by a clock of its own how old each result is when it has it.

Usage: ages.py OUT.json RESULTS DEADLINE_MS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from edge_sdk import Loop

CAMERA = "camera:/dev/video0?width=640&height=480"
OPTIONS = {"input": "1,128,128,3 uint8", "wait_ms": "20"}


def main(out: Path, results: int, deadline_ms: float) -> None:
    rows: list[tuple[int, float, bool, int]] = []
    with Loop("/mnt/host/null.edge", CAMERA, deadline_ms=deadline_ms, engine="null", engine_options=OPTIONS) as loop:
        for result in loop:
            age_ms = (time.monotonic_ns() - result.captured_ns) * 1e-6
            rows.append((result.captured_ns, age_ms, result.late, result.dropped_before))
            if len(rows) == 1:
                print("running", flush=True)
            if len(rows) == results:
                break
    out.write_text(json.dumps({"rows": rows, "report": loop.report().as_dict()}, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
