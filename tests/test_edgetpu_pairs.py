"""Real pairs of original and compiled model: each belongs to its own, to no other, and not to its own with a weight changed.

They are google-coral/test_data's, kept out of the project.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.graph import constant_of, main_graph, operator_name, read_graph, write_graph
from converters.targets.edgetpu.compare import compare
from converters.targets.edgetpu.match import match
from converters.targets.edgetpu.plan import make_plan
from converters.targets.edgetpu.weights import find_weights
from edge_sdk.errors import ModelError
from tests.shared_data import edgetpu_pairs, needs_edgetpu_pairs

LAYERS = ("CONV_2D", "FULLY_CONNECTED")
COMPILED = [compiled for _, compiled in edgetpu_pairs()]
pytestmark = needs_edgetpu_pairs


def original(compiled: Path) -> bytes:
    return next(original.read_bytes() for original, path in edgetpu_pairs() if path == compiled)


@pytest.mark.parametrize("compiled", COMPILED, ids=lambda path: path.stem)
def test_it_belongs_to_its_original_weights_and_all(compiled: Path) -> None:
    model, content = original(compiled), compiled.read_bytes()
    on_tpu = match(model, [content]).on_tpu
    assert on_tpu
    seen = find_weights(model, on_tpu, [content])
    assert seen.seen_bytes >= 0.5 * seen.all_bytes
    found = compare(model, [content], make_plan(model), ())
    assert found.operators == ()
    assert not any(figure.differs for figure in found.figures[:3])


@pytest.mark.parametrize("compiled", COMPILED, ids=lambda path: path.stem)
def test_it_belongs_to_no_other(compiled: Path) -> None:
    for other in set(COMPILED) - {compiled}:
        with pytest.raises(ModelError, match=r"made of another model. The first difference: "):
            match(original(other), [compiled.read_bytes()])


@pytest.mark.parametrize("compiled", COMPILED, ids=lambda path: path.stem)
def test_a_weight_that_was_changed_since_is_seen(compiled: Path) -> None:
    model = read_graph(original(compiled))
    graph = main_graph(model)
    content = compiled.read_bytes()
    on_tpu = match(original(compiled), [content]).on_tpu
    tried = missed = 0
    rng = np.random.default_rng(0)
    for place in sorted(on_tpu):
        operator = graph.operators[place]
        weights = (
            constant_of(model, graph.tensors[operator.inputs[1]]) if operator_name(model, operator) in LAYERS else None
        )
        if weights is None or weights.shape[-1] % 4:
            continue
        buffer = model.buffers[graph.tensors[operator.inputs[1]].buffer]
        before = buffer.data
        buffer.data = np.array(before)
        buffer.data[rng.integers(len(before))] ^= 64
        tried += 1
        try:
            find_weights(write_graph(model), on_tpu, [content])
            missed += 1
        except ModelError as exc:
            assert f"operator {place} (" in str(exc)
        buffer.data = before
    assert missed <= 0.1 * tried, f"{missed} of {tried}"
