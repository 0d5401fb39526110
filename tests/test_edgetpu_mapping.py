"""Which run of operators the compiler makes, and why an operator that could map does not."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.graph import main_graph, operator_name, read_graph, write_graph
from converters.targets.edgetpu.mapping import divide, map_operators
from converters.targets.edgetpu.partition import Node, partitions
from converters.targets.edgetpu.plan import make_plan
from edge_sdk.edgetpu.package import read_compiled
from edge_sdk.errors import ModelError
from tests.edgetpu_graphs import IntegerModel, float_ends, one_operator, with_a_gap
from tests.shared_data import edgetpu_pairs, needs_edgetpu_pairs


def rules_of(content: bytes) -> list[tuple[str, str]]:
    model = read_graph(content)
    return [(operator_name(model, each.operator), each.rule) for each in map_operators(model)]


def test_what_follows_the_processor_stays_there_but_not_what_stands_beside_it() -> None:
    assert rules_of(with_a_gap()) == [
        ("CONV_2D", ""),
        ("RELU", ""),
        ("FLOOR", "supported"),
        ("RELU", "after-cpu"),
        ("CONV_2D", "after-cpu"),
        ("CONV_2D", ""),
        ("LOGISTIC", ""),
    ]
    assert divide(read_graph(with_a_gap()))[1] == 2


def test_the_reason_names_operator_and_tensor() -> None:
    found = map_operators(read_graph(with_a_gap()))
    assert found[3].why == "it takes 'floored' from FLOOR, which stays on the processor"
    assert found[4].why == "it takes 'again' from RELU, which stays on the processor"


def test_what_only_follows_a_quantize_on_the_processor_maps() -> None:
    """So compilers' logs say of models with float ends: google-coral/edgetpu#659."""
    assert rules_of(float_ends()) == [("QUANTIZE", "types"), ("CONV_2D", ""), ("DEQUANTIZE", "supported")]


def test_a_model_of_two_subgraphs_does_not_map() -> None:
    model = read_graph(one_operator("LOGISTIC"))
    model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))
    (found,) = map_operators(model)
    assert (found.rule, found.why) == ("one-subgraph", "the model has 2 subgraphs; the compiler takes one")


def test_a_compiled_model_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"compiled for the Edge TPU already: plan the \.tflite that it was compiled from"
    ):
        map_operators(read_graph(one_operator("edgetpu-custom-op")))


def test_several_outputs_each_feed_what_they_feed() -> None:
    net = IntegerModel()
    entry = net.quantized("input", (1, 8, 8, 8))
    halves = [net.quantized(name, (1, 8, 8, 4)) for name in ("first", "second")]
    net.operator("SPLIT", [net.constant("axis", np.int32(3)), entry], halves)
    floored, squashed = net.quantized("floored", (1, 8, 8, 4)), net.quantized("squashed", (1, 8, 8, 4))
    net.operator("FLOOR", [halves[0]], [floored])
    net.operator("LOGISTIC", [halves[1]], [squashed])
    assert rules_of(net.build([entry], [floored, squashed])) == [
        ("SPLIT", ""),
        ("FLOOR", "supported"),
        ("LOGISTIC", ""),
    ]


@pytest.mark.parametrize("name", ["CONV_2D", "MEAN", "CONCATENATION", "FULLY_CONNECTED", "SOFTMAX", "SPLIT", "PRELU"])
def test_an_operator_without_inputs_or_options_is_damage(name: str) -> None:
    model = read_graph(one_operator(name))
    main_graph(model).operators[0].inputs = np.empty(0, np.int32)
    main_graph(model).operators[0].outputs = np.empty(0, np.int32)
    with pytest.raises(ModelError, match=rf"(?s){name}.*convert the model again|an operator"):
        make_plan(write_graph(model))


@pytest.mark.parametrize("cut", [0, 7, 40, 300])
def test_a_cut_off_model_is_damage(cut: int) -> None:
    with pytest.raises(ModelError):
        make_plan(with_a_gap()[:cut])


@given(st.data())
def test_no_run_needs_the_processor_in_between(data: st.DataObject) -> None:
    """The first run takes all that needs no result of the processor that needs it, and nothing else."""
    count = data.draw(st.integers(1, 30))
    nodes = [
        Node(
            frozenset(data.draw(st.lists(st.integers(0, place), max_size=3))),
            frozenset({place + 1}),
            data.draw(st.booleans()),
        )
        for place in range(count)
    ]
    runs = partitions(nodes)
    assert sorted(place for run in runs for place in run) == [
        place for place, node in enumerate(nodes) if node.supported
    ]
    for run in runs:
        outside = set(range(1, count + 1)) - {place + 1 for place in run}
        tainted: set[int] = set()  # made outside of the run, out of the run's results
        for place, node in enumerate(nodes):
            inside = {made for made in node.takes if made - 1 in run}
            if place + 1 in outside and (inside or node.takes & tainted):
                tainted.add(place + 1)
            assert place not in run or not node.takes & tainted
    assert all(min(earlier) < max(later) for earlier, later in pairwise(runs))


def test_a_long_chain_takes_no_time() -> None:
    nodes = [Node(frozenset({place}), frozenset({place + 1}), place % 2 == 0) for place in range(100_000)]
    assert len(partitions(nodes)) == 50_000


@needs_edgetpu_pairs
@pytest.mark.parametrize(("original", "compiled"), edgetpu_pairs(), ids=lambda path: path.stem)
def test_each_operator_of_a_compiled_model_is_where_the_plan_says(original: Path, compiled: Path) -> None:
    left = read_compiled(compiled.read_bytes())
    assert left is not None
    on_processor = {name for operator in left.cpu_operators for name in operator.outputs}
    planned = make_plan(original.read_bytes())
    assert [(o.index, o.name, o.rule) for o in planned.operators if o.mapped == (o.output in on_processor)] == []
