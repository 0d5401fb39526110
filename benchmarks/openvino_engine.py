"""What the engine openvino costs over OpenVINO's own interface, what its process adds, and what settled weights save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.blocks import Measured, back_to_back, interleave
from benchmarks.models import MOBILENET_FLOAT, MOBILENET_INT8
from benchmarks.rows import Row
from converters.targets.openvino.ir import to_ir
from edge_sdk.engines.isolation import open_engine
from edge_sdk.openvino.library import load_openvino
from edge_sdk.tensors import Array

_SAME = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": "1",
    "INFERENCE_NUM_THREADS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
}


def run(quick: bool) -> list[Row]:
    """MobileNetV2-224, one thread, float32 and int8."""
    rounds = 5 if quick else 50
    return [row for model in (MOBILENET_FLOAT, MOBILENET_INT8) for row in _rows(model, rounds)]


def _rows(model: Path, rounds: int) -> list[Row]:
    content, name = model.read_bytes(), "int8" if model == MOBILENET_INT8 else "float32"
    with open_engine("litert", content, isolation="none") as litert:
        packed = to_ir(content, litert.inputs, litert.outputs).archive
        sides: dict[str, Callable[[], object]] = {"litert": litert.run}
        with (
            open_engine("openvino", packed.packed(), isolation="none") as inline,
            open_engine("openvino", packed.packed(), isolation="process") as process,
        ):
            data = _data(litert.input_arrays[0])
            for engine in (litert, inline, process):
                engine.input_arrays[0][...] = data
            sides |= {"inline": inline.run, "process": process.run}
            sides |= {"bare": _bare((packed.graph, packed.weights), data), "direct": _bare((str(model),), data)}
            found = interleave({side: back_to_back(step) for side, step in sides.items()}, rounds=rounds, runs=40)
    return [
        _row(f"inline engine / OpenVINO's interface, MobileNetV2-224 {name}", found, "inline", "bare", 1.03),
        _row("  process engine / the same", found, "process", "bare"),
        _row("  the same / the .tflite as OpenVINO reads it", found, "bare", "direct"),
        _row("  the same / engine litert", found, "bare", "litert"),
    ]


def _bare(model: tuple[bytes | str, ...], data: Array) -> Callable[[], object]:
    """The best code by hand: one request, input and output shared, with the same properties."""
    core = load_openvino().Core()
    read = core.read_model(*model)
    if read.is_dynamic():  # by the shape signature of the .tflite; of fixed shape it is faster
        read.reshape(list(data.shape))
    request = core.compile_model(read, "CPU", _SAME).create_infer_request()
    given = np.array(data)

    def step() -> Array:
        output: Array = request.infer([given], share_inputs=True, share_outputs=True)[0]
        return output

    return step


def _row(what: str, found: Measured, side: str, other: str, limit: float | None = None) -> Row:
    ratio = found.ratio(side, other)
    times = f"p50 {found.ms(side):.3f} ms against {found.ms(other):.3f} ms, adds {found.added_us(side, other):.0f} us"
    target = "" if limit is None else f"at most {limit:g}x"
    return Row(what, times, target, ratio, None if limit is None else ratio <= limit)


def _data(like: Array) -> Array:
    rng = np.random.default_rng(0)
    if like.dtype == np.float32:
        return rng.uniform(-1, 1, like.shape).astype(np.float32)
    return rng.integers(-128, 128, like.shape).astype(like.dtype)
