"""LSTM over a sequence, as a Scan: ONNX's own LSTM has no bound for its cell state, which TensorFlow's converter always sets (10).

tensorflow/lite/kernels/unidirectional_sequence_lstm.cc and lstm_eval.cc. State starts at zero with every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.axes import plain
from converters.graph import schema
from converters.targets.onnx.call import Call, Translator
from converters.targets.onnx.values import Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

# Places of the operator's inputs: of each gate (input, forget, cell, output), then what must be left out.
_WEIGHTS, _RECURRENT, _BIASES = (1, 2, 3, 4), (5, 6, 7, 8), (12, 13, 14, 15)
_PEEPHOLES = {"i": 9, "f": 10, "o": 11}
_PROJECTIONS, _NORMALISATIONS = (16, 17), (20, 21, 22, 23)


@dataclass(frozen=True)
class _Cell:
    """One layer, its gates in the order input, forget, cell, output.

    Attributes:
        weights: (features, 4 hidden).
        recurrent: (hidden, 4 hidden).
        bias: (4 hidden,).
        peepholes: (hidden,) by gate.
        bound: of the cell state; 0 is none.
    """

    weights: Array
    recurrent: Array
    bias: Array
    peepholes: dict[str, Array]
    bound: float

    @property
    def hidden(self) -> int:
        """Size of the state."""
        return int(self.recurrent.shape[0])


def _lstm(call: Call) -> Value:
    """The part of the gates that depends on the input comes of one product for all steps; the rest is the Scan's body."""
    from onnx import helper

    _refuse(call)
    cell, value = _cell(call), call.value(0)
    by_time = value if call.option("timeMajor", False) else value.transposed((1, 0, 2))
    steps, batch, _ = by_time.shape
    build, shape = call.build, (steps, batch, 4 * cell.hidden)
    gates = build.emit("MatMul", [call.layout.plain(by_time).name, build.constant(cell.weights)], shape, plain(3))
    gates = build.like("Add", gates, build.constant(cell.bias))
    state = build.constant(np.zeros((batch, cell.hidden), np.float32))
    body = helper.make_graph(*_body(cell, batch))
    made = build.node("Scan", [state, state, gates.name], 3, num_scan_inputs=1, body=body)[2]
    result = Value(made, (steps, batch, cell.hidden), plain(3), "float32")
    return result if call.option("timeMajor", False) else result.transposed((1, 0, 2))


def _refuse(call: Call) -> None:
    activations = schema().ActivationFunctionType
    if call.option("fusedActivationFunction", activations.TANH) != activations.TANH:
        raise ModelError("its activation is not tanh; export it with tanh")
    if any(call.given(place) is not None for place in (*_PROJECTIONS, *_NORMALISATIONS)):
        raise ModelError(
            "it has a projection or a normalisation of its gates; a plain LSTM, peepholes or not, is allowed"
        )


def _cell(call: Call) -> _Cell:
    """The weights; where the input gate has none it is one less the forget gate, which is the forget gate of the negative sum."""
    weights, recurrent, biases = (_gates(call, places) for places in (_WEIGHTS, _RECURRENT, _BIASES))
    peepholes = {
        gate: call.constant(place, "a peephole") for gate, place in _PEEPHOLES.items() if call.given(place) is not None
    }
    if call.given(_WEIGHTS[0]) is None and "f" in peepholes:
        peepholes["i"] = -peepholes["f"]
    if recurrent[1].ndim != 2:
        raise ModelError("its recurrent weights are diagonal; whole matrices are allowed")
    bound = float(call.option("cellClip", 0.0))
    return _Cell(np.concatenate(weights).T, np.concatenate(recurrent).T, np.concatenate(biases), peepholes, bound)


def _gates(call: Call, places: tuple[int, ...]) -> list[Array]:
    rest = [call.constant(place, "a gate's weights") for place in places[1:]]
    return [-rest[0] if call.given(places[0]) is None else call.constant(places[0], "a gate's weights"), *rest]


def _body(cell: _Cell, batch: int) -> tuple[list[Any], str, list[Any], list[Any], list[Any]]:
    """One step: state and gates in, state and output out, as ``helper.make_graph`` takes it."""
    from onnx import TensorProto, helper, numpy_helper

    node, hidden = helper.make_node, cell.hidden
    constants = {"R": cell.recurrent, "sizes": np.full(4, hidden, np.int64)}
    constants |= {f"p_{gate}": weights for gate, weights in cell.peepholes.items()}
    nodes = [node("MatMul", ["h", "R"], ["hR"]), node("Add", ["x", "hR"], ["sum"])]
    nodes.append(node("Split", ["sum", "sizes"], ["s_i", "s_f", "s_g", "s_o"], axis=1))
    for gate in "if":
        nodes += _gate(gate, "c", gate in cell.peepholes)
    nodes += [node("Tanh", ["s_g"], ["g"]), node("Mul", ["i", "g"], ["ig"]), node("Mul", ["f", "c"], ["fc"])]
    nodes.append(node("Add", ["fc", "ig"], ["c_free" if cell.bound else "c_new"]))
    if cell.bound:
        constants |= {"least": np.array(-cell.bound, np.float32), "most": np.array(cell.bound, np.float32)}
        nodes.append(node("Clip", ["c_free", "least", "most"], ["c_new"]))
    nodes += _gate("o", "c_new", "o" in cell.peepholes)
    nodes += [node("Tanh", ["c_new"], ["t"]), node("Mul", ["o", "t"], ["h_new"]), node("Identity", ["h_new"], ["y"])]

    def described(*names: str, width: int = hidden) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, width)) for name in names]

    entries = [*described("h", "c"), *described("x", width=4 * hidden)]
    stored = [numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in constants.items()]
    return nodes, "step", entries, described("h_new", "c_new", "y"), stored


def _gate(gate: str, cell: str, peephole: bool) -> list[Any]:
    from onnx import helper

    if not peephole:
        return [helper.make_node("Sigmoid", [f"s_{gate}"], [gate])]
    return [
        helper.make_node("Mul", [cell, f"p_{gate}"], [f"pc_{gate}"]),
        helper.make_node("Add", [f"s_{gate}", f"pc_{gate}"], [f"a_{gate}"]),
        helper.make_node("Sigmoid", [f"a_{gate}"], [gate]),
    ]


TRANSLATORS: dict[str, Translator] = {"UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm}
