"""``python -m benchmarks.inspector FOLDER``: how long it takes to read compiled Edge TPU models; at most 50 ms each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from edge_sdk.cli.inspect_edgetpu import compiled_lines
from edge_sdk.cli.inspect_model import model_lines
from edge_sdk.edgetpu.package import read_compiled
from edge_sdk.tflite import describe

_RUNS, _LONGEST_MS = 30, 50.0


def main() -> None:
    """Measure every ``*_edgetpu.tflite`` below a folder, print medians and maxima."""
    if len(sys.argv) != 2:
        sys.exit("which folder? python -m benchmarks.inspector FOLDER")
    found = sorted(Path(sys.argv[1]).rglob("*_edgetpu.tflite"))
    worst = 0.0
    print(f"{'ms':64} {'read':>7} {'max':>7} {'shown':>7} {'max':>7}")
    for path in found:
        content = path.read_bytes()
        read, shown = _times(partial(read_compiled, content)), _times(partial(_show, content))
        worst = max(worst, shown[1])
        print(f"{path.name[:64]:64} {read[0]:7.2f} {read[1]:7.2f} {shown[0]:7.2f} {shown[1]:7.2f}")
    met = "met" if worst <= _LONGEST_MS else "missed"
    print(f"{len(found)} models, slowest {worst:.1f} ms of {_LONGEST_MS:.0f}: {met}")


def _show(content: bytes) -> None:
    compiled = read_compiled(content)
    list(model_lines("model", describe(content), tensors=False))
    if compiled is not None:
        list(compiled_lines(compiled))


def _times(step: Callable[[], object]) -> tuple[float, float]:
    took = []
    for _ in range(_RUNS):
        began = perf_counter()
        step()
        took.append((perf_counter() - began) * 1000)
    return float(np.median(took)), max(took)


if __name__ == "__main__":
    main()
