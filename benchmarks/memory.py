"""Memory of the loop's processes beside that of one process with the bare interpreter, as sums of PSS."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bundles import classifier_bundle
from benchmarks.models import MOBILENET_INT8
from benchmarks.rows import Row

_LIMIT_MB = 60


def run(quick: bool) -> list[Row]:
    """Three fresh processes of each side, in turn and never at once: a library that two of them share would count half for each."""
    sides: dict[str, list[dict[str, int]]] = {"loop": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        files = {"loop": classifier_bundle(MOBILENET_INT8, Path(folder)), "bare": MOBILENET_INT8}
        for _ in range(1 if quick else 3):
            for side, found in sides.items():
                command = [sys.executable, "-m", "benchmarks.memory_side", side, str(files[side])]
                found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ours, bare = (np.median([sum(kb.values()) for kb in found]) / 1024 for found in sides.values())
    parts = ", ".join(f"{name} {np.median([kb[name] for kb in sides['loop']]) / 1024:.0f}" for name in sides["loop"][0])
    what = f"{ours:.0f} MB ({parts}) against {bare:.0f} MB: {ours - bare:.0f} MB more"
    met = bool(ours - bare <= _LIMIT_MB)
    return [Row("loop's processes / bare interpreter, PSS", what, f"{_LIMIT_MB} MB more", float(ours / bare), met)]
