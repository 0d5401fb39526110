"""Memory of the loop's processes beside that of one process with the bare interpreter, as sums of PSS.

This module loads no library that they load: pages shared with it would count half for them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.models import MOBILENET_INT8
from benchmarks.rows import Row

_LIMIT_MB = 60


def run(quick: bool) -> list[Row]:
    """Three fresh processes of each side, in turn and never at once."""
    found: dict[str, list[dict[str, int]]] = {"loop": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        _python("benchmarks.bundles", str(MOBILENET_INT8), folder)
        files = {"loop": f"{folder}/{MOBILENET_INT8.stem}.edge", "bare": str(MOBILENET_INT8)}
        for _ in range(1 if quick else 3):
            for side, file in files.items():
                found[side].append(json.loads(_python("benchmarks.memory_side", side, file)))
    ours, bare = (median(sum(kb.values()) for kb in runs) / 1024 for runs in found.values())
    parts = ", ".join(f"{name} {median(kb[name] for kb in found['loop']) / 1024:.0f}" for name in found["loop"][0])
    what = f"{ours:.0f} MB ({parts}) against {bare:.0f} MB: {ours - bare:.0f} MB more"
    met = ours - bare <= _LIMIT_MB
    return [Row("loop's processes / bare interpreter, PSS", what, f"at most {_LIMIT_MB} MB more", ours / bare, met)]


def _python(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
