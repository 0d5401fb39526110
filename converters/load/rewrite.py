"""Rewriting: operators without an int8 kernel as others that have one and compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, schema, set_constant, text


def rewrite_operators(model: Any) -> list[str]:
    """Rewrite in place; returns what was rewritten, in words. Float results stay the same to the last bit."""
    rewritten = []
    for operator in main_graph(model).operators:
        name = operator_name(model, operator)
        second = _SECOND_FACTOR.get(name)
        if second is None:
            continue
        factor = second(model, operator)
        if factor is None:
            continue
        operator.inputs = np.array([operator.inputs[0], factor], np.int32)
        operator.opcodeIndex = _multiplication(model)
        operator.builtinOptionsType, operator.builtinOptions = (
            schema().BuiltinOptions.MulOptions,
            schema().MulOptionsT(),
        )
        rewritten.append(name)
    return [f"{name} was rewritten as a multiplication, which has an int8 kernel." for name in dict.fromkeys(rewritten)]


def _minus_one(model: Any, operator: Any) -> int:
    tensor = schema().TensorT()
    tensor.name = f"{text(main_graph(model).tensors[operator.outputs[0]].name)}/minus_one"
    set_constant(model, tensor, np.array([-1], np.float32))
    main_graph(model).tensors.append(tensor)
    return len(main_graph(model).tensors) - 1


def _itself(model: Any, operator: Any) -> int:
    return int(operator.inputs[0])


def _itself_if_squared(model: Any, operator: Any) -> int | None:
    exponent = constant_of(model, main_graph(model).tensors[operator.inputs[1]])
    squared = exponent is not None and bool(np.all(exponent == 2))
    return int(operator.inputs[0]) if squared else None


_SECOND_FACTOR: dict[str, Callable[[Any, Any], int | None]] = {
    "NEG": _minus_one,
    "SQUARE": _itself,
    "POW": _itself_if_squared,
}


def _multiplication(model: Any) -> int:
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.MUL
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
