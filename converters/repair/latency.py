"""What a step costs on the device: time of one inference, heads included, measured here."""

from __future__ import annotations

import time
from statistics import median

from converters.repair.candidate import Quantized
from edge_sdk.engines.isolation import open_engine
from edge_sdk.heads import Assembler

_WARM_UP, _RUNS, _SECONDS = 2, 30, 0.3


def median_ms(quantized: Quantized) -> float:
    """Median milliseconds of one inference and of putting its heads together: 30 runs, or as many as fit into 0.3 s."""
    engine = open_engine("litert", quantized.content, isolation="none")
    assembler = Assembler(quantized.heads, engine.outputs)
    taken: list[float] = []
    stop = time.perf_counter() + _SECONDS
    while len(taken) < _WARM_UP + _RUNS and (len(taken) < _WARM_UP + 1 or time.perf_counter() < stop):
        started = time.perf_counter()
        assembler.assemble(engine.run())
        taken.append((time.perf_counter() - started) * 1000)
    return median(taken[_WARM_UP:])
