"""Times of the operators of an ONNX model, by ONNX Runtime's own profiler."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sdk.errors import EngineError
from edge_sdk.profiling.figures import OperatorTime
from edge_sdk.profiling.work import Shape, onnx_macs
from edge_sdk.tensors import Array

METHOD = (
    "ONNX Runtime's profiler, which times each node as it runs; nodes are those that its optimiser made for the processor, whatever else "
    "runs the model"
)
WARM, RUNS = 3, 20


def operator_times(content: bytes, inputs: Sequence[Array], threads: int) -> tuple[OperatorTime, ...]:
    """Run the model under the profiler, on the processor.

    Args:
        content: an ONNX model.
        inputs: one array for each of its inputs.
        threads: within an operator.

    Raises:
        EngineError: if ONNX Runtime refuses it.
    """
    from onnxruntime import InferenceSession, SessionOptions

    with tempfile.TemporaryDirectory() as folder:
        options = SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            session = InferenceSession(content, options, providers=["CPUExecutionProvider"])
            fed = {each.name: array for each, array in zip(session.get_inputs(), inputs, strict=True)}
            for _ in range(WARM + RUNS):
                session.run(None, fed)
            events = json.loads(Path(session.end_profiling()).read_text())
        except Exception as exc:  # ONNX Runtime has classes of its own for everything
            raise EngineError(f"ONNX Runtime does not run the model under its profiler: {exc}") from exc
    return times_of(events)


def times_of(events: Sequence[dict[str, Any]]) -> tuple[OperatorTime, ...]:
    """What the profiler's events say of each node; the first runs, which are slow, are left out."""
    nodes: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event)
    return tuple(_time_of(number, name, runs) for number, (name, runs) in enumerate(nodes.items()))


def _time_of(number: int, name: str, runs: list[dict[str, Any]]) -> OperatorTime:
    counted, told = runs[min(WARM, len(runs) - 1) :], runs[-1]["args"]
    taken, made = _shapes(told.get("input_type_shape")), _shapes(told.get("output_type_shape"))
    size = sum(int(told.get(key, 0)) for key in ("activation_size", "parameter_size", "output_size"))
    kind = str(told.get("op_name", ""))
    ms = sum(int(run["dur"]) for run in counted) / len(counted) / 1_000
    macs = onnx_macs(kind, taken, made[0]) if made else 0
    return OperatorTime(number, name, kind, ms, macs, size, str(told.get("provider", "")))


def _shapes(told: Any) -> list[Shape]:
    """Of ``[{"float": [1, 3]}, ...]``."""
    return [tuple(int(n) for n in shape) for each in told or () for shape in each.values()]
