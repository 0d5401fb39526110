"""One side of the comparison of memory, in a process that loads nothing else: ``python -m benchmarks.memory_side loop|bare FILE``.

Prints the PSS of its processes in kB, after they have run.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.processes import family, pss_kb

_FRAMES = 300


def main(side: str, file: Path) -> None:
    """Run one side."""
    print(json.dumps(_loop(file) if side == "loop" else _bare(file)))


def _loop(bundle: Path) -> dict[str, int]:
    """The whole loop on frames of 640x480; measured while it runs, before anything ends."""
    from benchmarks.streams import Stream
    from edge_sdk.loop import Loop

    frame = (np.arange(480 * 640 * 3) % 251).astype(np.uint8).reshape(480, 640, 3)
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
