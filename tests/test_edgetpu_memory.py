"""Parameters on the chip: what layers become there, what is cached, what is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.graph import read_graph
from converters.targets.edgetpu.layout import Block, channels_on_chip, parameters_of, streamed_constants
from converters.targets.edgetpu.mapping import map_operators
from converters.targets.edgetpu.memory import CHIP_BYTES, activation_bytes, cached_bytes, memory_of
from converters.targets.edgetpu.plan import make_plan
from edge_sdk.edgetpu.package import read_compiled
from tests.edgetpu_graphs import IntegerModel, one_operator
from tests.shared_data import edgetpu_pairs, needs_edgetpu_pairs
from tests.tiny_models import options


def only(content: bytes) -> tuple[Any, Any]:
    model = read_graph(content)
    (found,) = map_operators(model)
    assert found.maps, found
    return model, found.operator


def convolution(channels: int, inputs: int, *, kernel: int = 1, **fields: Any) -> bytes:
    net = IntegerModel()
    entry = net.quantized("input", (1, 8, 8, inputs), dtype=fields.get("dtype", "INT8"))
    return net.build([entry], [net.convolution(entry, channels, kernel=kernel, **fields)])


def test_output_channels_are_filled_up() -> None:
    assert [channels_on_chip(n) for n in (1, 16, 17, 64, 65, 1001)] == [16, 16, 32, 64, 128, 1024]


@pytest.mark.parametrize(
    ("channels", "inputs", "kernel", "fields", "expected"),
    [
        (64, 64, 1, {"scales": False}, 64 * 64 + 64 * 4),
        (64, 64, 1, {}, 64 * 64 + 64 * 12),
        (24, 3, 3, {}, 32 * (9 * 4 + 12)),
        (24, 3, 3, {"dtype": "UINT8", "scales": False}, 32 * (9 * 4 + 4)),
        (80, 48, 1, {"scales": False}, 128 * (48 + 4)),
    ],
)
def test_a_convolution_comes_in_groups_of_channels(
    channels: int, inputs: int, kernel: int, fields: Any, expected: int
) -> None:
    block = parameters_of(*only(convolution(channels, inputs, kernel=kernel, **fields)))
    assert block.bytes == expected
    assert block.pieces == max(channels_on_chip(channels) // 64, 1)


def test_a_depthwise_weight_takes_four_bytes() -> None:
    content = one_operator(
        "DEPTHWISE_CONV_2D",
        shape=(1, 8, 8, 24),
        constants=(np.zeros((1, 3, 3, 24), np.int8), np.zeros(24, np.int32)),
        op_options=options("DepthwiseConv2D", dilationHFactor=1, dilationWFactor=1),
    )
    assert parameters_of(*only(content)).bytes == 24 * (9 * 4 + 4)


def test_parts_that_begin_within_four_channels_need_a_table() -> None:
    def joined(before: int) -> int:
        net = IntegerModel()
        parts = [net.quantized("a", (1, 8, 8, before)), net.quantized("b", (1, 8, 8, 4))]
        made = net.quantized("made", (1, 8, 8, before + 4))
        net.operator("CONCATENATION", parts, [made], options("Concatenation", axis=3))
        return parameters_of(*only(net.build(parts, [made]))).bytes

    assert (joined(4), joined(3)) == (0, 64)


def test_constants_that_stand_where_activations_do_are_sent() -> None:
    plane = only(one_operator("ADD", constants=(np.ones((1, 8, 8, 16), np.int8),), op_options=options("Add")))
    vector = only(one_operator("MUL", constants=(np.ones(16, np.int8),), op_options=options("Mul")))
    number = only(one_operator("MUL", constants=(np.ones((), np.int8),), op_options=options("Mul")))
    assert [streamed_constants(*case) for case in (plane, vector, number)] == [8 * 8 * 16, 64, 0]
    assert [parameters_of(*case).bytes for case in (plane, vector, number)] == [0, 0, 0]


def test_pieces_are_cached_while_they_find_room() -> None:
    assert cached_bytes([Block(4, 100), Block(1, 30)], 1000) == 430
    assert cached_bytes([Block(4, 100), Block(1, 30)], 250) == 230
    assert cached_bytes([Block(1, 500), Block(1, 30)], 250) == 30, "a layer that is too large leaves its room to others"
    assert cached_bytes([Block(1, 500)], -1) == 0


def test_activations_share_the_chip_with_parameters() -> None:
    net = IntegerModel()
    entry = net.quantized("input", (1, 256, 256, 3))
    content = net.build([entry], [net.convolution(net.convolution(entry, 32, name="wide"), 4, name="narrow")])
    model = read_graph(content)
    operators = [each.operator for each in map_operators(model)]
    assert activation_bytes(model, operators) == 256 * 256 * (4 + 32)
    memory = memory_of(model, map_operators(model))
    assert (memory.inputs, memory.outputs) == (256 * 256 * 3, 256 * 256 * 4)


def test_a_sum_is_written_over_one_of_its_inputs() -> None:
    def most(name: str) -> int:
        content = one_operator(name, twice=True, op_options=options(name.capitalize()))
        model, operator = only(content)
        return activation_bytes(model, [operator])

    assert (most("ADD"), most("MUL")) == (1024, 2048)


def test_what_does_not_fit_is_streamed() -> None:
    net = IntegerModel()
    entry = net.quantized("input", (1, 1, 1, 2048))
    content = net.build(
        [entry], [net.convolution(net.convolution(entry, 4096, name="a", scales=False), 1024, name="b", scales=False)]
    )
    plan = make_plan(content)
    total = 4096 * (2048 + 4) + 1024 * (4096 + 4)
    assert plan.cached_bytes + plan.streamed_bytes == total
    assert CHIP_BYTES - (1 << 19) < plan.cached_bytes < CHIP_BYTES


@needs_edgetpu_pairs
@pytest.mark.parametrize(("original", "compiled"), edgetpu_pairs(), ids=lambda path: path.stem)
def test_bytes_of_a_compiled_model_are_as_planned(original: Path, compiled: Path) -> None:
    found, plan = read_compiled(compiled.read_bytes()), make_plan(original.read_bytes())
    assert found is not None
    within = 0.05 if "CONV_2D" in {operator.name for operator in plan.operators} else 0.15
    assert plan.cached_bytes == pytest.approx(found.cached_bytes, rel=within)
    assert plan.streamed_bytes == pytest.approx(found.streamed_bytes, rel=within)
    assert (plan.input_bytes, plan.output_bytes) == (found.input_bytes, found.output_bytes)
