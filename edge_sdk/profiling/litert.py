"""Times of the operators of a .tflite model: of each cut, the time beyond the cut before it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic, perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sdk.engines.litert import find_interpreter, quiet_native_stderr
from edge_sdk.errors import EngineError, ModelError
from edge_sdk.profiling.cut import Cutter
from edge_sdk.profiling.figures import OperatorTime
from edge_sdk.profiling.work import tflite_bytes, tflite_macs
from edge_sdk.tensors import Array
from edge_sdk.tflite import ModelDescription, Operator, describe

ROUNDS, RUNS = 5, 15
BLOCK_S = 0.02
WITH_NEXT = "its time is in the next one's"
METHOD = (
    "the interpreter has no profiler: the model is cut behind each operator, and an operator's time is what its cut takes beyond the one "
    "before; cuts are measured in turn, and a cut never takes less than a shorter one"
)


def operator_times(
    content: bytes, inputs: Sequence[Array], threads: int, budget_s: float, progress: Callable[[int, int], None]
) -> tuple[OperatorTime, ...]:
    """Measure every operator of the main subgraph.

    Args:
        content: a .tflite model.
        inputs: one array for each of its inputs.
        threads: of the interpreter.
        budget_s: no further round is begun that would end later, after the first.
        progress: told how many cuts of how many are done.

    Raises:
        ModelError: if the model cannot be read.
        EngineError: if the interpreter does not run it.
    """
    model = describe(content)
    operators = [operator for operator in model.operators if operator.subgraph == 0]
    if not operators:
        raise ModelError("the model has no operator")
    cuts = _cuts(content, model, operators)
    found = _measure(cuts, inputs, threads, budget_s, progress)
    measured = [place for place, each in enumerate(found) if each]
    if not measured or measured[-1] != len(cuts) - 1:
        raise EngineError("the interpreter does not run the model")
    steps = np.diff(rising([min(found[place]) for place in measured]), prepend=0.0)
    ms_of = dict(zip(measured, map(float, steps), strict=True))
    return tuple(_row(model, operator, ms_of.get(place)) for place, operator in enumerate(operators))


def _row(model: ModelDescription, operator: Operator, ms: float | None) -> OperatorTime:
    return OperatorTime(
        operator.index,
        model.tensors[operator.outputs[0]].name if operator.outputs else operator.name,
        operator.name,
        ms or 0.0,
        tflite_macs(model, operator),
        tflite_bytes(model, operator),
        WITH_NEXT if ms is None else "",
    )


def _measure(
    cuts: Sequence[_Cut], inputs: Sequence[Array], threads: int, budget_s: float, progress: Callable[[int, int], None]
) -> list[list[float]]:
    """Milliseconds of every cut, round by round; none of a cut that cannot run, as it ends where the interpreter has nothing to give."""
    found: list[list[float]] = [[] for _ in cuts]
    began = monotonic()
    for turn in range(ROUNDS):
        for place, cut in enumerate(cuts):
            if turn == 0 or found[place]:
                with contextlib.suppress(RuntimeError, ValueError):
                    found[place].append(_time_ms(cut.content(), inputs, threads))
            progress(turn * len(cuts) + place + 1, ROUNDS * len(cuts))
        if (monotonic() - began) * (turn + 2) / (turn + 1) > budget_s:
            break
    return found


@dataclass(frozen=True)
class _Cut:
    cutter: Cutter
    operators: int
    outputs: tuple[int, ...]

    def content(self) -> bytes:
        return self.cutter.after(self.operators, self.outputs)


def _cuts(content: bytes, model: ModelDescription, operators: Sequence[Operator]) -> list[_Cut]:
    cutter = Cutter(content)
    last: tuple[int, ...] = model.inputs
    cuts = []
    for count, operator in enumerate(operators, 1):
        last = tuple(i for i in operator.outputs if i >= 0) or last  # one that only assigns to a variable makes nothing
        cuts.append(_Cut(cutter, count, model.outputs if count == len(operators) else last))
    return cuts


def _time_ms(content: bytes, inputs: Sequence[Array], threads: int) -> float:
    _, module = find_interpreter()
    with quiet_native_stderr():
        interpreter = module.Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    _feed(interpreter, inputs)
    interpreter.invoke()
    took = [_invoke_s(interpreter)]
    while len(took) < RUNS and sum(took) < BLOCK_S:
        took.append(_invoke_s(interpreter))
    return median(took) * 1_000


def _feed(interpreter: Any, inputs: Sequence[Array]) -> None:
    for details, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], array)


def _invoke_s(interpreter: Any) -> float:
    began = perf_counter()
    interpreter.invoke()
    return perf_counter() - began


def rising(times: Sequence[float]) -> npt.NDArray[np.float64]:
    """The sequence that never falls and is closest by least squares: pool adjacent violators (Barlow et al., 1972)."""
    blocks: list[tuple[float, int]] = []
    for time in times:
        mean, count = float(time), 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])
