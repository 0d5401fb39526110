"""What engine onnx costs over ONNX Runtime's own API, inline and in a process of its own; and images whose channels stand first."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from benchmarks.blocks import Block, back_to_back, interleave
from benchmarks.onnx_models import FLOAT, QDQ, make_onnx_models
from benchmarks.photo import photo
from benchmarks.rows import Row
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.engines import Engine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.onnx.runtime import refuse_telemetry
from edge_sdk.tensors import Array, Layout, TensorSpec

_LIMIT = 1.03


def run(quick: bool) -> list[Row]:
    """MobileNetV2-224, float and QDQ, one thread of the processor."""
    refuse_telemetry()  # on both sides
    cv2.setNumThreads(1)
    make_onnx_models()
    rounds = 3 if quick else 12
    rows = [row for name, path in (("float", FLOAT), ("QDQ int8", QDQ)) for row in _engines(name, path, rounds)]
    return [*rows, *_layouts(rounds)]


class _BareSession:
    """ONNX Runtime as its documentation shows it, on one thread that does not spin."""

    def __init__(self, model: Path, image: Array) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._names = [self._session.get_outputs()[0].name]
        self._feed = {self._session.get_inputs()[0].name: image}

    def step(self) -> object:
        """One inference."""
        return self._session.run(self._names, self._feed)


def _engines(name: str, model: Path, rounds: int) -> list[Row]:
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 224, 224)).astype(np.float32)
    bare = _BareSession(model, image)
    engines: dict[str, Engine] = {
        "inline": open_engine("onnx", model.read_bytes(), {"providers": "cpu"}, isolation="none"),
        "process": open_engine("onnx", model.read_bytes(), {"providers": "cpu"}, isolation="process"),
    }
    try:
        for engine in engines.values():
            engine.input_arrays[0][...] = image
        sides = {"bare": back_to_back(bare.step), **{key: back_to_back(each.run) for key, each in engines.items()}}
        found = interleave(sides, rounds=rounds, runs=100)
    finally:
        for engine in engines.values():
            engine.close()
    rows = []
    for side in engines:
        ratio = found.ratio(side, "bare")
        times = (
            f"p50 {found.ms(side):.3f} ms against {found.ms('bare'):.3f} ms, adds {found.added_us(side, 'bare'):.0f} us"
        )
        target, met = (f"at most {_LIMIT:g}x", ratio <= _LIMIT) if side == "inline" else ("", None)
        rows.append(Row(f"engine onnx {side} / onnxruntime, MobileNetV2-224 {name}", times, target, ratio, met))
    return rows


def _layouts(rounds: int) -> list[Row]:
    frame = photo()
    rows = []
    for name, scale, limits in (("float32", 0.0, (-1.0, 1.0)), ("int8", 2 / 255, (-1.0, 1.0))):
        contract = Contract(input="image", colour="rgb", range=limits, resize="stretch")
        sides = {layout: _encoding(contract, name, scale, layout, frame) for layout in ("nchw", "nhwc")}
        found = interleave(sides, rounds=rounds, runs=200)
        times = f"p50 {found.ms('nchw') * 1000:.0f} us against {found.ms('nhwc') * 1000:.0f} us"
        what = f"encode 640x480 to 224x224 {name}: channels first / last"
        rows.append(Row(what, times, "", found.ratio("nchw", "nhwc")))
    return rows


def _encoding(contract: Contract, dtype: str, scale: float, layout: Layout, frame: Array) -> Block:
    shape = (1, 3, 224, 224) if layout == "nchw" else (1, 224, 224, 3)
    spec = TensorSpec("image", shape, dtype, scale, 0, layout)
    encoder, out = Encoder(contract, spec), np.empty(spec.shape, spec.dtype)
    return back_to_back(lambda: encoder.encode(frame, out))
