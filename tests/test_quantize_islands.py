"""Operators that the quantizer leaves float run on their int8 kernels, and compute what the float operator does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.calibrate.ranges import measure_ranges
from converters.calibrate.samples import RawSample
from converters.load import load
from converters.quantize.int8 import quantize_int8
from converters.verify.prove import prove
from converters.verify.sides import Side
from edge_sdk.contract import Contract, Encoder
from edge_sdk.errors import NotIntegerError
from edge_sdk.tasks import RawSettings
from edge_sdk.tflite import describe
from tests.tiny_models import between_convolutions, options

CONTRACT = Contract(input="tensor")
INT32 = np.int32
BY_THE_QUANTIZER = ("SPACE_TO_DEPTH", "REDUCE_MIN", "RELU")


def case(name: str, **more: Any) -> Any:
    return pytest.param(name, more, id=name)


CASES = [
    case("LEAKY_RELU", op_options=options("LeakyRelu", alpha=0.1)),
    case("PRELU", constants=(np.linspace(-0.5, 0.5, 8, dtype=np.float32).reshape(1, 1, 8),)),
    case("RELU_0_TO_1"),
    case("ABS"),
    case("EXP"),
    case("ELU"),
    case("MINIMUM", constants=(np.linspace(-1, 1, 8, dtype=np.float32),)),
    case("MAXIMUM", constants=(np.linspace(-1, 1, 8, dtype=np.float32),)),
    case("REDUCE_MAX", output_shape=(1, 8), constants=(np.array([1, 2], INT32),), op_options=options("Reducer")),
    case("REDUCE_MIN", output_shape=(1, 8), constants=(np.array([1, 2], INT32),), op_options=options("Reducer")),
    case("L2_NORMALIZATION", op_options=options("L2Norm")),
    case("LOG_SOFTMAX", op_options=options("LogSoftmax")),
    case("DEPTH_TO_SPACE", output_shape=(1, 8, 8, 2), op_options=options("DepthToSpace", blockSize=2)),
    case("SPACE_TO_DEPTH", output_shape=(1, 2, 2, 32), op_options=options("SpaceToDepth", blockSize=2)),
    case("TILE", output_shape=(1, 8, 4, 8), constants=(np.array([1, 2, 1, 1], INT32),), op_options=options("Tile")),
    case("SQUEEZE", output_shape=(4, 4, 8), op_options=options("Squeeze", squeezeDims=[0])),
    case("EXPAND_DIMS", output_shape=(1, 1, 4, 4, 8), constants=(np.array(0, INT32),), op_options=options("ExpandDims")),
    case("REVERSE_V2", constants=(np.array([1], INT32),), op_options=options("ReverseV2")),
    case("ARG_MAX", output_shape=(1, 4, 4), output_dtype="INT32", constants=(np.array(3, INT32),),
         op_options=options("ArgMax", outputType=2)),
    case("GREATER", output_dtype="BOOL", constants=(np.zeros(8, np.float32),), op_options=options("Greater")),
    case("LESS_EQUAL", output_dtype="BOOL", constants=(np.zeros(8, np.float32),), op_options=options("LessEqual")),
    case("SPACE_TO_BATCH_ND", output_shape=(4, 2, 2, 8), constants=(np.array([2, 2], INT32), np.zeros((2, 2), INT32)),
         op_options=options("SpaceToBatchND")),
]  # fmt: skip


def samples(count: int = 20) -> list[RawSample]:
    rng = np.random.default_rng(3)
    return [RawSample(rng.uniform(-2, 2, (1, 4, 4, 8)).astype(np.float32), "bgr", f"sample {i}") for i in range(count)]


def quantized(path: Path) -> tuple[bytes, bytes, tuple[str, ...]]:
    model = load(path)
    entry = describe(model.content).tensors[describe(model.content).inputs[0]]
    side = Side(model.content, CONTRACT, RawSettings(), ())
    assert entry.shape == (1, 4, 4, 8)
    int8 = quantize_int8(model.content, measure_ranges(model.content, samples(), Encoder(CONTRACT, side.inputs[0])))
    return model.content, int8.content, int8.islands


@pytest.mark.parametrize(("name", "how"), CASES)
def test_operator_runs_as_int8_and_computes_the_same(name: str, how: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(between_convolutions(name, **how))
    before, after, islands = quantized(path)
    prove(after)
    assert name in {operator.name for operator in describe(after).operators}
    assert name in BY_THE_QUANTIZER or f"{name} (operator 1)" in islands
    sides = [Side(content, CONTRACT, RawSettings(), ()) for content in (before, after)]
    signal = noise = 0.0
    for sample in samples():
        for side in sides:
            side.run(sample)
        real, stored = (side.real_outputs()[0].astype(np.float64) for side in sides)
        signal, noise = signal + np.sum(real**2), noise + np.sum((real - stored) ** 2)
    assert noise == 0 or 10 * np.log10(signal / noise) > (12 if sides[0].outputs[0].dtype == "bool" else 20)


def test_chain_of_float_operators_becomes_int8_operator_by_operator(tmp_path: Path) -> None:
    from tests.tiny_models import TinyModel

    net = TinyModel()
    names = ["input", "a", "b", "c", "last"]
    tensors = [net.tensor(name, (1, 4, 4, 8)) for name in names]
    net.operator("LEAKY_RELU", tensors[0:1], tensors[1:2], options("LeakyRelu", alpha=0.2))
    net.operator("ABS", tensors[1:2], tensors[2:3])
    net.operator("EXP", tensors[2:3], tensors[3:4])
    net.operator("LEAKY_RELU", tensors[3:4], tensors[4:5], options("LeakyRelu", alpha=0.2))
    path = tmp_path / "model.tflite"
    path.write_bytes(net.build(tensors[:1], tensors[-1:]))
    _, after, islands = quantized(path)
    assert prove(after).operators == {"LEAKY_RELU": 2, "ABS": 1, "EXP": 1}
    assert len(islands) == 4


@pytest.mark.parametrize("name", ["SIN", "CEIL", "ROUND"])
def test_operator_without_int8_kernel_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(between_convolutions(name))
    with pytest.raises(NotIntegerError, match=rf"{name} \(operator 1\) cannot be made integer.*'after'") as caught:
        quantized(path)
    assert caught.value.tensor == "after"
    assert caught.value.operator == f"{name} (operator 1)"
