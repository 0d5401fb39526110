"""TensorFlow Lite's LSTM as an ONNX Scan: coupled gates, peepholes, a bound of the cell state, either order of time and batch."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="extra onnx is not installed")

from edge_sdk.errors import ModelError
from tests.onnx_twins import OPSETS, twins, with_shapes
from tests.tiny_models import TinyModel, options

STEPS, BATCH, FEATURES, HIDDEN = 30, 2, 3, 4


def lstm(*, coupled=False, peepholes=False, time_major=False, clip=0.0, scale=1.0, projection=False):
    rng, net = np.random.default_rng(0), TinyModel()

    def weights(*shape):
        return net.constant(f"w{len(net.graph.tensors)}", rng.normal(0, scale, shape).astype(np.float32))

    lead = (STEPS, BATCH) if time_major else (BATCH, STEPS)
    entry, made = net.tensor("x", (*lead, FEATURES)), net.tensor("y", (*lead, HIDDEN))
    inputs = [-1] * 24
    inputs[0] = entry
    for gate in range(4):
        if gate or not coupled:
            inputs[1 + gate], inputs[5 + gate] = weights(HIDDEN, FEATURES), weights(HIDDEN, HIDDEN)
            inputs[12 + gate] = weights(HIDDEN)
    if peepholes:
        inputs[10], inputs[11] = weights(HIDDEN), weights(HIDDEN)
        inputs[9] = -1 if coupled else weights(HIDDEN)
    if projection:
        inputs[16] = weights(HIDDEN, HIDDEN)
    for place in (18, 19):
        inputs[place] = net.tensor(f"state{place}", (BATCH, HIDDEN))
        net.graph.tensors[-1].isVariable = True
    fields = {"fusedActivationFunction": 4, "timeMajor": time_major, "cellClip": clip}
    net.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [made], options("UnidirectionalSequenceLSTM", **fields))
    return with_shapes(net.build([entry], [made]))


@pytest.mark.parametrize("opset", OPSETS)
def test_plain(opset):
    assert twins(lstm(), opset=opset).worst < 2e-6


@pytest.mark.parametrize("time_major", [True, False])
@pytest.mark.parametrize("peepholes", [True, False])
@pytest.mark.parametrize("coupled", [True, False])
def test_its_forms(coupled, peepholes, time_major):
    assert twins(lstm(coupled=coupled, peepholes=peepholes, time_major=time_major)).worst < 5e-6


def test_the_bound_of_the_cell_state_counts():
    bounded, free = lstm(clip=0.25), lstm()
    assert twins(bounded).worst < 2e-6
    assert bounded != free and twins(bounded).exported.model != twins(free).exported.model


def test_a_projection_is_refused():
    with pytest.raises(ModelError, match=r"UNIDIRECTIONAL_SEQUENCE_LSTM \(operator 0, 'y'\): it has a projection"):
        twins(lstm(projection=True))
