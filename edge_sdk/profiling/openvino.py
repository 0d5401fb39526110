"""Times of the operators of an OpenVINO model, by its performance counters."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.engines import Options
from edge_sdk.openvino.archive import read_archive
from edge_sdk.openvino.library import load_openvino, openvino_errors
from edge_sdk.profiling.figures import OperatorTime
from edge_sdk.tensors import Array

METHOD = "OpenVINO's performance counters, which time each node of the graph that it compiled for the device"
WARM, RUNS = 3, 20


def operator_times(path: str, inputs: Sequence[Array], options: Options) -> tuple[OperatorTime, ...]:
    """Run the model with counters.

    Args:
        path: of the variant's file.
        inputs: one array for each of its inputs.
        options: of the engine.

    Raises:
        EngineError: if OpenVINO refuses it.
    """
    core, device = load_openvino().Core(), options.get("device", "CPU")
    archive = read_archive(Path(path))
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True}
    if device == "CPU":
        threads = int(options.get("threads", "1"))
        properties |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": options.get("precision", "f32")}
    with openvino_errors("OpenVINO does not run the model with counters"):
        model = core.read_model(archive.graph, archive.weights)
        request = core.compile_model(model, device, properties).create_infer_request()
        rounds = []
        for _ in range(WARM + RUNS):
            request.infer(list(inputs))
            rounds.append([(node, node.real_time.total_seconds() * 1_000) for node in request.get_profiling_info()])
    macs = _macs(model)
    times = np.mean([[ms for _, ms in each] for each in rounds[WARM:]], axis=0)
    ran = [(node, float(ms)) for (node, _), ms in zip(rounds[-1], times, strict=True) if "EXECUTED" in str(node.status)]
    return tuple(
        OperatorTime(
            number, node.node_name, node.node_type, ms, macs.get(_original(node.node_name), 0), 0, node.exec_type
        )
        for number, (node, ms) in enumerate(ran)
    )


def _original(name: str) -> str:
    return name.partition("/")[0]


def _macs(model: Any) -> dict[str, int]:
    """Multiply-accumulate operations by the name of the operator, of those that multiply."""
    found = {}
    for op in model.get_ops():
        kind = op.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "MatMul"):
            continue
        weights, made = tuple(op.input_value(1).get_shape()), tuple(op.output(0).get_shape())
        depth = prod(weights[2:] if kind == "GroupConvolution" else weights[1:])
        if kind == "MatMul":
            depth = weights[-1] if op.get_attributes().get("transpose_b") else weights[-2]
        found[op.get_friendly_name()] = prod(made) * depth
    return found
