"""Memory of the loop's processes beside that of one process with the bare interpreter, as sums of PSS.

``python -m benchmarks.memory loop BUNDLE`` or ``bare MODEL`` runs one side and prints its kB by process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bundles import classifier_bundle
from benchmarks.models import MOBILENET_INT8
from benchmarks.processes import family, pss_kb
from benchmarks.rows import Row
from benchmarks.streams import Stream

_FRAMES = 300
_LIMIT_MB = 60


def run(quick: bool) -> list[Row]:
    """Three fresh processes of each side, in turn and never at once: a library that two of them share would count half for each."""
    sides: dict[str, list[dict[str, int]]] = {"loop": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        files = {"loop": classifier_bundle(MOBILENET_INT8, Path(folder)), "bare": MOBILENET_INT8}
        for _ in range(1 if quick else 3):
            for side, found in sides.items():
                command = [sys.executable, "-m", "benchmarks.memory", side, str(files[side])]
                found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ours, bare = (np.median([sum(kb.values()) for kb in found]) / 1024 for found in sides.values())
    parts = ", ".join(f"{name} {np.median([kb[name] for kb in sides['loop']]) / 1024:.0f}" for name in sides["loop"][0])
    what = f"{ours:.0f} MB ({parts}) against {bare:.0f} MB: {ours - bare:.0f} MB more"
    met = bool(ours - bare <= _LIMIT_MB)
    return [Row("loop's processes / bare interpreter, PSS", what, f"{_LIMIT_MB} MB more", float(ours / bare), met)]


def main(side: str, file: Path) -> None:
    """Run one side."""
    print(json.dumps(_loop(file) if side == "loop" else _bare(file)))


def _loop(bundle: Path) -> dict[str, int]:
    """The whole loop on frames of 640x480; measured while it runs, before anything ends."""
    from edge_sdk.loop import Loop

    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    with Loop(bundle, Stream(frame, _FRAMES), deadline_ms=50) as loop:
        for result in loop:
            if result.sequence == _FRAMES - 1:
                pids = family(os.getpid())
                return {name: pss_kb([pid]) for name, pid in zip(("application", "server", "child"), pids, strict=True)}
    raise SystemExit("the loop ended early")


def _bare(model: Path) -> dict[str, int]:
    """NumPy, LiteRT and the model, having run."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    for _ in range(_FRAMES):
        interpreter.set_tensor(taken["index"], np.zeros(taken["shape"], taken["dtype"]))
        interpreter.invoke()
        interpreter.get_tensor(given["index"])
    return {"bare": pss_kb([os.getpid()])}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
