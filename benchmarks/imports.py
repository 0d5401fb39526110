"""What ``import edge_sdk`` costs beside ``import numpy``, in whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
from time import perf_counter

import numpy as np

from benchmarks.rows import Row

_OURS, _NUMPY = "import edge_sdk", "import numpy"
_USED = "import edge_sdk; edge_sdk.Loop"  # the names load on first use


def run(quick: bool) -> list[Row]:
    """Interleaved, after one run of each that fills the page cache."""
    codes = (_OURS, _NUMPY, _USED)
    for code in codes:
        _cost(code)
    costs = np.array([[_cost(code) for code in codes] for _ in range(5 if quick else 25)])
    (wall, wall_numpy, wall_used), (cpu, cpu_numpy, cpu_used) = np.median(costs, axis=0).T * 1000
    ratios = np.median(costs[:, :, 0] / costs[:, 1:2, 0], axis=0)
    ours, used = loaded(_OURS), loaded(_USED)
    return [
        Row(
            f"{_OURS} / {_NUMPY}, whole processes",
            f"wall {wall:.1f} ms against {wall_numpy:.1f} ms; user+sys {cpu:.1f} ms against {cpu_numpy:.1f} ms",
            "at most 1.25x",
            float(ratios[0]),
            bool(ratios[0] <= 1.25),
        ),
        Row("  what it loads (-X importtime)", ", ".join(ours)),
        Row(f"{_USED} / {_NUMPY}", f"wall {wall_used:.1f} ms; user+sys {cpu_used:.1f} ms", ratio=float(ratios[2])),
        Row("  packages it loads (-X importtime)", ", ".join(sorted({n.partition(".")[0] for n in used}))),
    ]


def loaded(code: str) -> list[str]:
    """Modules beyond the standard library that ``code`` imports, in the order in which they were finished."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr.splitlines()
    names = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    return [
        n
        for n in names
        if n.partition(".")[0] not in sys.stdlib_module_names and n not in ("imported package", "sitecustomize")
    ]


def _cost(code: str) -> tuple[float, float]:
    """Seconds of wall and of processor time of one process."""
    started = perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    wall = perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"python -c {code!r} ended with code {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime
