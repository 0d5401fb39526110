"""The int8 model: integer to the ends, as precise as its steps allow, readable by old tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.calibrate.ranges import measure_ranges
from converters.calibrate.samples import RawSample
from converters.load import load
from converters.quantize.quantize import quantize
from converters.quantize.recipe import read_recipe
from converters.verify.prove import prove
from converters.verify.sides import Side
from edge_sdk.contract import Contract
from edge_sdk.encoder import Encoder
from edge_sdk.tasks import RawSettings
from edge_sdk.tflite import describe
from tests.tiny_models import TinyModel, conv_options, image_net

CONTRACT = Contract(input="tensor")


def both(content: bytes, folder: Path, *, count: int = 30) -> tuple[Side, Side, bytes, list[RawSample]]:
    path = folder / "model.tflite"
    path.write_bytes(content)
    model = load(path)
    before = Side(model.content, CONTRACT, RawSettings(), ())
    rng = np.random.default_rng(5)
    shape = before.inputs[0].shape
    samples = [RawSample(rng.uniform(-1, 1, shape).astype(np.float32), "bgr", f"sample {i}") for i in range(count)]
    ranges = measure_ranges(model.content, samples, Encoder(CONTRACT, before.inputs[0]))
    int8 = quantize(model.content, ranges, read_recipe("int8")).content
    return before, Side(int8, CONTRACT, RawSettings(), ()), int8, samples


def sqnr_db(before: Side, after: Side, samples: list[RawSample]) -> float:
    signal = noise = 0.0
    for sample in samples:
        before.run(sample)
        after.run(sample)
        real, near = before.real_outputs()[0].astype(np.float64), after.real_outputs()[0]
        signal, noise = signal + float(np.sum(real**2)), noise + float(np.sum((real - near) ** 2))
    return 10 * float(np.log10(signal / noise))


def test_net_is_integer_to_the_ends_and_keeps_its_names(tmp_path: Path) -> None:
    before, after, int8, samples = both(image_net(), tmp_path)
    proven = prove(int8)
    assert [spec.dtype for spec in (*proven.inputs, *proven.outputs)] == ["int8", "int8"]
    assert [spec.name for spec in (*proven.inputs, *proven.outputs)] == ["image", "scores"]
    assert sqnr_db(before, after, samples) > 30


def test_same_model_and_ranges_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (both(image_net(), tmp_path)[2] for _ in range(2))
    assert first == second


def test_scales_cover_the_true_range_of_the_samples(tmp_path: Path) -> None:
    _, after, _, samples = both(image_net(), tmp_path)
    spec = after.inputs[0]
    low, high = spec.dequantize(np.array([-128, 127], np.int8))
    everything = np.stack([sample.data for sample in samples])
    assert low == pytest.approx(everything.min(), abs=spec.scale)
    assert high == pytest.approx(everything.max(), abs=spec.scale)


def test_operator_versions_are_the_lowest_that_are_right(tmp_path: Path) -> None:
    int8 = both(image_net(), tmp_path)[2]
    versions = {operator.name: operator.version for operator in describe(int8).operators}
    assert versions == {"CONV_2D": 3, "MEAN": 2, "FULLY_CONNECTED": 4, "SOFTMAX": 2}


def test_large_constants_stand_inside_the_flatbuffer(tmp_path: Path) -> None:
    net = TinyModel()
    rng = np.random.default_rng(0)
    entry, last = net.tensor("input", (1, 2, 2, 256)), net.tensor("last", (1, 2, 2, 512))
    kernel = net.constant("kernel", rng.normal(size=(512, 3, 3, 256)).astype(np.float32))
    bias = net.constant("bias", np.zeros(512, np.float32))
    net.operator("CONV_2D", [entry, kernel, bias], [last], conv_options())
    int8 = both(net.build([entry], [last]), tmp_path)[
        2
    ]  # 1.2 MB of weights: the quantizer puts them behind the flatbuffer
    model = schema.ModelT.InitFromPackedBuf(int8, 0)
    assert [(b.offset, b.size) for b in model.buffers if b.offset or b.size] == []
    assert len(int8) > 512 * 9 * 256


def test_bias_of_a_channel_with_vanishing_weights_survives(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    net = TinyModel()
    entry, last = net.tensor("input", (1, 4, 4, 3)), net.tensor("last", (1, 4, 4, 4))
    weights = rng.normal(size=(4, 1, 1, 3)).astype(np.float32)
    weights[2] = 1e-12  # a dead channel: only its bias is left
    kernel = net.constant("kernel", weights)
    bias = net.constant("bias", np.array([0.1, -0.2, 1.5, 0.3], np.float32))
    net.operator("CONV_2D", [entry, kernel, bias], [last], conv_options())
    before, after, _, samples = both(net.build([entry], [last]), tmp_path)
    after.run(samples[0])
    assert after.real_outputs()[0][..., 2] == pytest.approx(1.5, abs=after.outputs[0].scale)
    assert sqnr_db(before, after, samples) > 30
