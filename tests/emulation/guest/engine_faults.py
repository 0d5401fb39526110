"""Runs in the emulated userland: a loop whose engine crashes, is stopped, hangs in native code and is killed; tells what it saw."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from edge_sdk import Loop
from edge_sdk.engines.faulty import order_fault
from edge_sdk.engines.process import ProcessEngine

FAULT_AT = 3


def faulty_run(bundle: str, video: str, fault: str) -> dict[str, Any]:
    orders = Path("/tmp/orders")
    source = f"file:{video}?pace=fast&stop=8"
    options = {"orders": str(orders)}
    with Loop(bundle, source, deadline_ms=4_000, hang_ms=4_000, engine="faulty", engine_options=options) as loop:
        sequences = []
        for result in loop:
            sequences.append(result.sequence)
            if result.sequence == FAULT_AT and fault == "killed":
                assert isinstance(loop.runner.engine, ProcessEngine)
                os.kill(loop.runner.engine.pid, signal.SIGKILL)
            elif result.sequence == FAULT_AT:
                order_fault(orders, fault)
    report = loop.report().as_dict()
    return {"sequences": sequences, "counts": report["counts"], "events": report["events"]}


if __name__ == "__main__":
    bundle, video, *faults = sys.argv[1:]
    print(json.dumps({fault: faulty_run(bundle, video, fault) for fault in faults}, default=str))
