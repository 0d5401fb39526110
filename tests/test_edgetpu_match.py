"""A compiled model is laid beside the one it was made of: one of another model, or of an altered one, is told by its first difference."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from converters.graph import main_graph, read_graph, write_graph
from converters.targets.edgetpu.compare import compare
from converters.targets.edgetpu.log import read_log
from converters.targets.edgetpu.match import match
from converters.targets.edgetpu.weights import Weights, find_weights
from edge_sdk.edgetpu.plan import Plan, PlannedOperator
from edge_sdk.errors import ModelError
from tests.edgetpu_compile import compile_model, log, segments
from tests.edgetpu_plans import plan_of
from tests.tiny_models import TinyModel, conv_options, image_net
from tests.tiny_quant_models import quantized

SAMPLES = [np.random.default_rng(seed).uniform(-1, 1, (16, 16, 3)).astype(np.float32) for seed in range(4)]
NAMES = ("CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX")


@cache
def net(seed: int = 0, classes: int = 4) -> bytes:
    """An int8 model of four operators."""
    return quantized(image_net(seed=seed, classes=classes), SAMPLES)[1].content


@cache
def deep(seed: int = 0) -> bytes:
    """An int8 model whose two last operators, 1x1 convolutions, are all that has weights in words."""
    rng = np.random.default_rng(seed)
    made = TinyModel()
    before = entry = made.tensor("image", (1, 16, 16, 4))
    for number in range(3):
        after = made.tensor(f"after{number}", (1, 16, 16, 4))
        kernel = made.constant(f"kernel{number}", rng.normal(0, 0.5, (4, 1, 1, 4)).astype(np.float32))
        bias = made.constant(f"bias{number}", rng.normal(0, 0.1, 4).astype(np.float32))
        made.operator("CONV_2D", [before, kernel, bias], [after], conv_options())
        before = after
    last = made.tensor("last", (1, 16, 16, 4))
    made.operator("LOGISTIC", [before], [last])
    samples = [np.random.default_rng(n).uniform(-1, 1, (16, 16, 4)).astype(np.float32) for n in range(4)]
    return quantized(made.build([entry], [last]), samples)[1].content


def altered(content: bytes, change: Callable[[Any, Any], None]) -> bytes:
    model = read_graph(content)
    change(model, main_graph(model))
    return write_graph(model)


@pytest.mark.parametrize("mapped", [1, 2, 3, 4])
def test_what_runs_where_is_found(mapped: int) -> None:
    assert match(net(), [compile_model(net(), mapped)]).mapped == (frozenset(range(mapped)),)


def test_segments_are_one_model_together_and_only_in_their_order() -> None:
    pieces = segments(net(), [1, 2])
    assert match(net(), pieces).mapped == (frozenset({0}), frozenset({1}), frozenset({2, 3}))
    with pytest.raises(ModelError, match="of segment 0 is neither the model's nor made by a segment before it"):
        match(net(), pieces[::-1])
    with pytest.raises(ModelError, match=r"output 'scores' of the model is made by no segment"):
        match(net(), pieces[:2])
    with pytest.raises(ModelError, match=r"its outputs are"):
        match(net(), pieces[:1])


def test_other_models_are_refused() -> None:
    with pytest.raises(ModelError, match=r"another model. The first difference: tensor"):
        match(net(), [compile_model(deep())])
    with pytest.raises(ModelError, match=r"tensor '\w+' is 1x5 int8 .*, and 1x4 int8 .* in the model"):
        match(net(), [compile_model(net(classes=5), 3)])
    with pytest.raises(ModelError, match=r"of scale .* and zero point"):
        match(net(), [compile_model(net(seed=1), 3)])


def change_options(model: Any, graph: Any) -> None:
    graph.operators[-1].builtinOptions.beta = 0.5


def change_constant(model: Any, graph: Any) -> None:
    buffer = model.buffers[graph.tensors[graph.operators[2].inputs[1]].buffer]
    buffer.data = np.roll(buffer.data, 1)


def rename_output(model: Any, graph: Any) -> None:
    graph.tensors[graph.outputs[0]].name = "other"


def change_zero_point(model: Any, graph: Any) -> None:
    graph.tensors[graph.inputs[0]].quantization.zeroPoint = graph.tensors[graph.inputs[0]].quantization.zeroPoint + 1


def cut_short(model: Any, graph: Any) -> None:
    graph.outputs = graph.operators[-2].outputs


def swap_operator(model: Any, graph: Any) -> None:
    model.operatorCodes[graph.operators[-1].opcodeIndex].builtinCode = 14  # LOGISTIC
    model.operatorCodes[graph.operators[-1].opcodeIndex].deprecatedBuiltinCode = 14


def leave_out_bias(model: Any, graph: Any) -> None:
    graph.operators[2].inputs = np.array([*graph.operators[2].inputs[:2], -1], np.int32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_options, r"operator 3 \(SOFTMAX\) has other options"),
        (change_constant, r"input 1 of operator 2 \(FULLY_CONNECTED\), the constant '.*', has other content"),
        (rename_output, "tensor 'scores' of the compiled model is none of the model's"),
        (change_zero_point, "of scale .* and zero point"),
        (cut_short, "its outputs are scores"),
        (swap_operator, r"operator 3 \(LOGISTIC\) is SOFTMAX in the compiled model"),
        (leave_out_bias, r"input 2 of operator 2 \(FULLY_CONNECTED\) is left out in one of the two"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_altered_since_is_told_by_its_first_difference(change: Callable[[Any, Any], None], said: str) -> None:
    compiled = compile_model(net(), 2)
    match(net(), [compiled])
    with pytest.raises(ModelError, match=r"made of another model. The first difference: .*" + said):
        match(altered(net(), change), [compiled])


def short_circuit(model: Any, graph: Any) -> None:
    """The custom operator takes the model's place, and one behind it is gone."""
    graph.operators = graph.operators[:1]
    graph.outputs = graph.operators[0].outputs


def take_from_the_middle(model: Any, graph: Any) -> None:
    graph.operators[0].inputs = np.array([], np.int32)


def never_made(model: Any, graph: Any) -> None:
    graph.operators = graph.operators[1:]
    graph.operators.append(graph.operators[0])


def make_it_twice(model: Any, graph: Any) -> None:
    """The custom operator makes what an operator that stayed makes too."""
    graph.operators[0].outputs = np.array([*graph.operators[0].outputs, *graph.operators[1].outputs], np.int32)


def change_the_order(model: Any, graph: Any) -> None:
    graph.operators[1:] = graph.operators[:0:-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            make_it_twice,
            r"operator 2 \(FULLY_CONNECTED\) stayed on the processor, but the edgetpu-custom-op does not take",
        ),
        (change_the_order, "tensor '.*' of the compiled model is made by none of its operators"),
        (short_circuit, "its outputs are"),
        (take_from_the_middle, "does not take the model's input 'image'"),
        (never_made, "has no edgetpu-custom-op"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_compiled_file_that_was_tampered_with_is_told(change: Callable[[Any, Any], None], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        match(net(), [altered(compile_model(net(), 2), change)])


def test_an_input_that_nothing_depends_on_is_told() -> None:
    first, second = segments(net(), [2])
    image = main_graph(read_graph(net())).tensors[main_graph(read_graph(net())).inputs[0]]

    def take_the_image_too(model: Any, graph: Any) -> None:
        image.buffer = 0
        graph.tensors.append(image)
        for owner in (graph, graph.operators[0]):
            owner.inputs = np.array([*owner.inputs, len(graph.tensors) - 1], np.int32)

    with pytest.raises(ModelError, match="the edgetpu-custom-op takes 'image', which its outputs do not depend on"):
        match(net(), [first, altered(second, take_the_image_too)])


def test_a_model_compiled_already_and_one_not_compiled_are_told() -> None:
    with pytest.raises(ModelError, match="the model has an edgetpu-custom-op itself: it is compiled already"):
        match(compile_model(net(), 2), [compile_model(net(), 2)])
    with pytest.raises(ModelError, match="nothing of it runs on the Edge TPU"):
        match(net(), [net()])


@pytest.mark.parametrize("side", ["model", "compiled model"])
def test_damage_is_told(side: str) -> None:
    compiled = compile_model(net(), 2)
    for cut in range(0, len(compiled), 97):
        files = (net()[:cut], compiled) if side == "model" else (net(), compiled[:cut])
        with pytest.raises(ModelError):
            match(files[0], [files[1]])


def test_weights_are_found_and_those_of_another_training_are_not() -> None:
    compiled = compile_model(deep(), 3)
    assert find_weights(deep(), frozenset({0, 1, 2}), [compiled]) == Weights(48, 48)
    with pytest.raises(
        ModelError, match=r"other weights. The first difference: operator 0 \(CONV_2D, weights '.*'\), \d+% of whose"
    ):
        find_weights(deep(1), frozenset({0, 1, 2}), [compiled])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_weight_that_was_altered_is_seen(place: int) -> None:
    compiled = compile_model(deep(), 3)

    def change(model: Any, graph: Any) -> None:
        data = model.buffers[graph.tensors[graph.operators[place].inputs[1]].buffer].data.copy()
        data[5] ^= 1
        model.buffers[graph.tensors[graph.operators[place].inputs[1]].buffer].data = data

    with pytest.raises(ModelError, match=rf"operator {place} \(CONV_2D"):
        find_weights(altered(deep(), change), frozenset({0, 1, 2}), [compiled])


def plan(mapped: int, **more: int) -> Plan:
    operators = [
        PlannedOperator(
            index=i, name=name, output=f"o{i}", mapped=i < mapped, rule="r", why="" if i < mapped else "a reason"
        )
        for i, name in enumerate(NAMES)
    ]
    sizes = {
        "cached_bytes": 448,
        "streamed_bytes": 0,
        "partitions": 1,
        "weight_bytes": 248,
        "input_bytes": 768,
        "output_bytes": 4,
    }
    return plan_of(operators=tuple(operators), **{**sizes, **more})


def test_a_plan_that_was_right_agrees() -> None:
    compiled = compile_model(net(), 3)
    found = compare(net(), [compiled], plan(3), read_log(log("net", net(), compiled, 3)).models)
    assert found.agrees, found
    assert [(f.planned, f.compiled, f.logged) for f in found.figures] == [
        (3, 3, 3),
        (1, 1, 1),
        (1, 1, 1),
        (448, 448, 448),
        (0, 0, 0),
    ]
    assert compare(net(), [compiled], None, ()).agrees


def test_every_difference_is_shown() -> None:
    compiled = compile_model(net(), 2, streamed=bytes(64))
    text = log("net", net(), compiled, 2).replace("subgraphs: 1", "subgraphs: 2")
    text = text.replace("CONV_2D                        1", "CONV_2D                        2")
    found = compare(net(), [compiled], plan(3, cached_bytes=400), read_log(text).models)
    (operator,) = found.operators
    assert (operator.index, operator.planned, operator.found) == (2, True, False)
    assert operator.said == ("More than one subgraph is not supported",)
    assert [figure.name for figure in found.figures if figure.differs] == [figure.name for figure in found.figures]
    assert found.log == ("the log has 2 CONV_2D on the Edge TPU, the compiled file 1",)
    assert not found.agrees


def test_a_model_of_which_nothing_was_mapped_is_compared_too() -> None:
    found = compare(net(), [net()], plan(3), ())
    assert [operator.index for operator in found.operators] == [0, 1, 2]
    assert found.figures[0].compiled == 0
