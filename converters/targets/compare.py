"""What a target's variant is worth: beside the float model, the int8 .tflite, and the right answers."""

from __future__ import annotations

from converters.progress import Progress, counted
from converters.report.target_figures import TargetFigures
from converters.variant import Bench
from converters.verify.judges import measured_task
from converters.verify.parity import compare_outputs
from converters.verify.sides import Side
from edge_sdk.bundle.manifest import Head
from edge_sdk.engines import Engine
from edge_sdk.tasks import TaskSettings


def compared(
    figures: TargetFigures,
    bench: Bench,
    int8: Side,
    side: Side,
    engine: Engine,
    heads: tuple[Head, ...],
    progress: Progress,
) -> tuple[TargetFigures, TaskSettings | None]:
    """The figures with parity, evaluation and gate; and the variant's own task, where its threshold was measured.

    Args:
        figures: of the variant so far.
        bench: what it is measured against.
        int8: the int8 .tflite.
        side: the variant, ready to run in ``engine``.
        engine: runs it.
        heads: outputs that the device puts together.
        progress: told of the work.
    """
    task = bench.told.task
    with_float = bench.outputs(side, counted(progress, f"compare {figures.kind}", len(bench.compared)))
    with_int8 = compare_outputs(int8, side, task, bench.compared)
    evaluation = bench.evaluate(engine, heads, progress)
    found = {
        "outputs": with_float.outputs,
        "with_float": with_float.agreement,
        "with_int8": with_int8.agreement,
        "evaluation": evaluation,
        "gate": bench.gate(evaluation, with_float),
    }
    measured = measured_task(task, with_float.threshold)
    return figures.model_copy(update=found), measured if measured != task else None
