"""Recurrent layers over a short sequence of known length, written out step by step: no state is kept between calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from converters.axes import plain
from converters.load.onnx.broadcast import Term, add, multiply, subtract, unary
from converters.load.onnx.call import Call, Translator
from converters.load.onnx.dense import weighted
from converters.load.onnx.selecting import cut, split, unpacked
from converters.load.onnx.values import Constant, Operand, Value
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

LONGEST = 128  # steps that are written out
_ACTIVATIONS = {"Sigmoid": "LOGISTIC", "Tanh": "TANH", "Relu": "RELU"}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}

State = tuple[Value | None, Value | None]
"""Hidden state and cell state, (batch, hidden); None is zeros."""


@dataclass(frozen=True)
class _Cell:
    """One direction of a layer.

    Attributes:
        inputs: (gates * hidden, features), weights of the input.
        recurrent: (gates * hidden, hidden), weights of the state.
        biases: of the input and of the state, (gates * hidden,) each.
        activations: the .tflite operators, gates first.
    """

    inputs: Array
    recurrent: Array
    biases: tuple[Array, Array]
    activations: tuple[str, ...]

    @property
    def hidden(self) -> int:
        """Size of the state."""
        return int(self.recurrent.shape[1])


def _layer(step: Callable[[Call, _Cell, Value, State], State], call: Call) -> list[Operand | None]:
    """All directions over all steps: (steps, directions, batch, hidden), and the last states (directions, batch, hidden)."""
    value, cells = call.value(0), _cells(call)
    states = [_initial(call, 5), _initial(call, 6)]
    reverse = call.node.text("direction", "forward") == "reverse"
    made, ends = [], []
    for direction, cell in enumerate(cells):
        state = (states[0][direction] if states[0] else None, states[1][direction] if states[1] else None)
        outputs, last = _run(call, step, cell, value, state, backwards=reverse or direction == 1)
        made.append(_stacked(call, [_with_axes(call, output, 2) for output in outputs], 0))
        ends.append(last)
    hidden = _stacked(call, [_with_axes(call, end[0], 1) for end in ends if end[0]], 0)
    cell_states = [_with_axes(call, end[1], 1) for end in ends if end[1]]
    return [_stacked(call, made, 1), hidden, _stacked(call, cell_states, 0) if cell_states else None]


def _run(
    call: Call,
    step: Callable[[Call, _Cell, Value, State], State],
    cell: _Cell,
    value: Value,
    state: State,
    *,
    backwards: bool,
) -> tuple[list[Value], State]:
    bias = cell.biases[0] + (cell.biases[1] if call.node.operator != "GRU" else _outer_bias(call, cell))
    gates = weighted(call, value, cell.inputs, bias)  # of all steps at once
    outputs: list[Value] = []
    for now in unpacked(call, gates, 0)[:: -1 if backwards else 1]:
        state = step(call, cell, now, state)
        if state[0] is not None:
            outputs.append(state[0])
    return outputs[:: -1 if backwards else 1], state


def _outer_bias(call: Call, cell: _Cell) -> Array:
    """The state's biases that stand outside of the product with the reset gate."""
    outside = cell.biases[1].copy()
    if call.node.integer("linear_before_reset"):
        outside[2 * cell.hidden :] = 0
    return outside


def _lstm(call: Call, cell: _Cell, gates: Value, state: State) -> State:
    """ONNX's order of gates: input, output, forget, cell."""
    graph, (gate, inner, outer) = call.graph, cell.activations
    if state[0] is not None:
        gates = add(graph, gates, weighted(call, state[0], cell.recurrent))
    size = cell.hidden
    three, c = split(call, gates, 1, (3 * size, size))
    i, o, f = split(call, unary(graph, gate, three), 1, (size,) * 3)
    fresh = multiply(graph, i, unary(graph, inner, c))
    kept = None if state[1] is None else multiply(graph, f, state[1])
    now = fresh if kept is None else add(graph, kept, fresh)
    return multiply(graph, o, unary(graph, outer, now)), now


def _gru(call: Call, cell: _Cell, gates: Value, state: State) -> State:
    """ONNX's order of gates: update, reset, hidden."""
    graph, size, (gate, inner), before = call.graph, cell.hidden, cell.activations, state[0]
    z, r, h = split(call, gates, 1, (size,) * 3)
    late = bool(call.node.integer("linear_before_reset"))
    candidate: Term | None = cell.biases[1][2 * size :] if late else None
    if before is not None:
        z, r = (
            add(graph, gate_, weighted(call, before, cell.recurrent[k * size : (k + 1) * size]))
            for k, gate_ in enumerate((z, r))
        )
        weights = cell.recurrent[2 * size :]
        reset = unary(graph, gate, r)
        if late:
            candidate = multiply(graph, reset, weighted(call, before, weights, cell.biases[1][2 * size :]))
        else:
            candidate = weighted(call, multiply(graph, reset, before), weights)
    elif candidate is not None:
        candidate = multiply(graph, unary(graph, gate, r), candidate)
    new = unary(graph, inner, h if candidate is None else add(graph, h, candidate))
    update = unary(graph, gate, z)
    fresh = multiply(graph, subtract(graph, 1.0, update), new)
    return (fresh if before is None else add(graph, fresh, multiply(graph, update, before))), None


def _rnn(call: Call, cell: _Cell, gates: Value, state: State) -> State:
    if state[0] is not None:
        gates = add(call.graph, gates, weighted(call, state[0], cell.recurrent))
    return unary(call.graph, cell.activations[0], gates), None


def _cells(call: Call) -> list[_Cell]:
    node, value, kind = call.node, call.value(0), call.node.operator
    directions = 2 if node.text("direction", "forward") == "bidirectional" else 1
    _refuse(call, value.shape[0])
    inputs, recurrent = (call.constant(place, "a weight").array() for place in (1, 2))
    hidden, rows = recurrent.shape[-1], _GATES[kind] * recurrent.shape[-1]
    biases = (
        np.zeros((directions, 2 * rows), np.float32) if call.given(3) is None else call.constant(3, "the bias").array()
    )
    wanted = ((directions, rows, value.shape[-1]), (directions, rows, hidden), (directions, 2 * rows))
    if (inputs.shape, recurrent.shape, biases.shape) != wanted:
        raise ModelError(
            f"weights {inputs.shape}, {recurrent.shape} and bias {biases.shape} do not fit an input {value.shape}"
        )
    names = _activations(call, directions)
    return [_Cell(inputs[d], recurrent[d], (biases[d][:rows], biases[d][rows:]), names[d]) for d in range(directions)]


def _activations(call: Call, directions: int) -> list[tuple[str, ...]]:
    defaults = _DEFAULTS[call.node.operator]
    given = call.node.texts("activations") or defaults * directions
    if len(given) != len(defaults) * directions or any(name not in _ACTIVATIONS for name in given):
        raise ModelError(f"its activations {given} are not {len(defaults)} a direction of {', '.join(_ACTIVATIONS)}")
    names = [_ACTIVATIONS[name] for name in given]
    return [tuple(names[d * len(defaults) : (d + 1) * len(defaults)]) for d in range(directions)]


def _refuse(call: Call, steps: int) -> None:
    node, lengths = call.node, call.given(4)
    if steps > LONGEST:
        raise ModelError(f"it runs over {steps} steps; up to {LONGEST} are written out. Give a shorter --input-shape")
    if lengths is not None and not (isinstance(lengths, Constant) and np.all(lengths.array() == steps)):
        raise ModelError("its sequences have lengths of their own; export the model without")
    for name in ("clip", "input_forget", "layout"):
        if node.has(name) and (name == "clip" or node.integer(name)):
            raise ModelError(f"its attribute {name!r} is not translated; export the model without")
    if call.given(7) is not None:
        raise ModelError("its peepholes are not translated; export the model without")


def _initial(call: Call, place: int) -> list[Value | None] | None:
    """The state to begin with, of each direction: (batch, hidden); None where it is zeros."""
    operand = call.given(place)
    if operand is None or (isinstance(operand, Constant) and not np.any(operand.array())):
        return None
    value = call.value(place)
    directions, batch, hidden = value.shape
    ranges = [[range(d, d + 1), range(batch), range(hidden)] for d in range(directions)]
    return [call.layout.reshaped(cut(call, value, one), (batch, hidden)) for one in ranges]


def _with_axes(call: Call, value: Value, count: int) -> Value:
    return call.layout.reshaped(value, (1,) * count + value.shape)


def _stacked(call: Call, values: Sequence[Value], axis: int) -> Value:
    if len(values) == 1:
        return values[0]
    rank = len(values[0].shape)
    parts = [call.layout.arranged(value, plain(rank)) for value in values]
    shape = tuple(sum(v.shape[a] for v in values) if a == axis else n for a, n in enumerate(values[0].shape))
    return call.build.emit("CONCATENATION", parts, shape, plain(rank), axis=axis)


TRANSLATORS: dict[str, Translator] = {
    "LSTM": partial(_layer, _lstm),
    "GRU": partial(_layer, _gru),
    "RNN": partial(_layer, _rnn),
}
