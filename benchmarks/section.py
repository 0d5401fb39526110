"""Runs one section in a process of its own and prints its rows as JSON: ``python -m benchmarks.section NAME [--quick]``.

No section sees what another has loaded, started or allocated.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import import_module

SECTIONS = {
    "engine": "benchmarks.engine_cost",
    "frame": "benchmarks.frame_to_top3",
    "hang": "benchmarks.hang",
    "age": "benchmarks.age",
    "windows": "benchmarks.windows",
    "import": "benchmarks.imports",
    "memory": "benchmarks.memory",
    "calibrate": "benchmarks.calibration",
    "quantize": "benchmarks.quantization",
    "qdq": "benchmarks.qdq",
    "convert": "benchmarks.conversion",
    "sweep": "benchmarks.sweep",
    "overhead": "benchmarks.overhead",
    "governor": "benchmarks.overload",
    "source-hang": "benchmarks.source_hang",
    "frozen": "benchmarks.restart",
    "readings": "benchmarks.signal_windows",
    "hybrid": "benchmarks.hybrid",
    "tune": "benchmarks.tune",
    "tpus": "benchmarks.edgetpu_scheduler",
    "batches": "benchmarks.batching",
    "openvino": "benchmarks.openvino_engine",
    "onnx": "benchmarks.onnx_engine",
    "remote": "benchmarks.remote",
}
SOAK = {
    "age": "benchmarks.age_soak",
    "memory": "benchmarks.memory_soak",
    "readings": "benchmarks.signal_soak",
    "frames": "benchmarks.frames_soak",
    "faults": "benchmarks.faults",
    "network": "benchmarks.network_storm",
    "edgetpu-faults": "benchmarks.edgetpu_faults",
}


def main(name: str, *, quick: bool) -> None:
    """Run a section of ``SECTIONS``, or of ``SOAK`` where the name begins with ``soak-``."""
    module = SOAK[name.removeprefix("soak-")] if name.startswith("soak-") else SECTIONS[name]
    rows = import_module(module).run(quick)
    print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main(sys.argv[1], quick="--quick" in sys.argv)
