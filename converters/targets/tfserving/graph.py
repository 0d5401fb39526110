"""TensorFlow's operations for a .tflite model, in the default graph.

A quantized tensor is held as the real numbers that it can store, or as steps (stored less zero point), in float32. What is linear is
computed in steps, exactly (``convolution``); all else in real numbers, which TensorFlow's fake quantization brings onto those that the
output can store. There LiteRT's kernels compute with fixed-point numbers or tables, and a result may be a step apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.graph import constant_of, main_graph, operator_name, read_graph, shape_of, text, type_name
from converters.load.options import fill_options
from converters.targets.tfserving.call import Call, Held, Known, Steps
from converters.targets.tfserving.elementwise import BOUNDS, activated
from converters.targets.tfserving.operators import OPERATORS
from converters.targets.tfserving.shaping import MOVES
from edge_sdk.errors import ModelError

_BITS = {"int8": 8, "uint8": 8, "int16": 16}


class Translation:
    """The operations of one model.

    Args:
        tf: TensorFlow.
        content: the .tflite.

    Raises:
        ModelError: if an operator has no translation; the message names all that have none.
    """

    def __init__(self, tf: Any, content: bytes) -> None:
        self._tf, self._model = tf, read_graph(content)
        fill_options(self._model)
        self._graph = main_graph(self._model)
        self._known = [self._described(tensor) for tensor in self._graph.tensors]
        self._held: dict[int, Held] = {}
        names = {operator_name(self._model, operator) for operator in self._graph.operators}
        if strangers := sorted(names - OPERATORS.keys()):
            raise ModelError(
                f"there is no translation to TensorFlow of {', '.join(strangers)}; known are {', '.join(sorted(OPERATORS))}. "
                "Export to kserve or torchserve, which run the variant as it is"
            )

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Placeholders and outputs by their names; stored numbers where they are quantized."""
        tf, inputs, outputs = self._tf, {}, {}
        for index in map(int, self._graph.inputs):
            known = self._known[index]
            entry = inputs[known.name] = tf.compat.v1.placeholder(known.dtype, known.shape)
            steps = tf.cast(entry, "float32") - np.float32(known.zero_points[0]) if known.quantized else None
            self._held[index] = Held(tf, known, real=None if known.quantized else entry, steps=steps)
        for place, operator in enumerate(self._graph.operators):
            self._step(place, operator)
        for index in map(int, self._graph.outputs):
            known, held = self._known[index], self._value(index)
            outputs[known.name] = tf.identity(self._stored(held.steps, known) if known.quantized else held.real)
        return inputs, outputs

    def _step(self, place: int, operator: Any) -> None:
        name = operator_name(self._model, operator)
        outputs = [int(index) for index in operator.outputs]
        made = tuple(self._known[index] for index in outputs)
        try:
            call = Call(
                tf=self._tf,
                options=operator.builtinOptions,
                inputs=tuple(None if index < 0 else self._value(int(index)) for index in operator.inputs),
                known=tuple(None if index < 0 else self._known[int(index)] for index in operator.inputs),
                made=made,
            )
            results = OPERATORS[name](call)
            results = list(results) if isinstance(results, list | tuple) else [results]
            fused = int(getattr(operator.builtinOptions, "fusedActivationFunction", 0))
            for index, known, result in zip(outputs, made, results, strict=True):
                shape = tuple((result.values if isinstance(result, Steps) else result).shape)
                if shape != known.shape:
                    raise ModelError(f"its output came out as {shape}: a fault of this converter")
                self._held[index] = self._onto_grid(result, known, fused, is_there=self._moves(name, call))
        except (ModelError, ValueError, TypeError) as exc:
            raise ModelError(f"{name} (operator {place}, {made[0].name!r}): {exc}") from exc

    def _moves(self, name: str, call: Call) -> bool:
        """Whether what it makes stands on its output's numbers already."""
        quantized = [known for known in call.known if known is not None and known.quantized]
        return name in MOVES and all(known.same_scale(call.made[0]) for known in quantized)

    def _value(self, index: int) -> Held:
        if index not in self._held:
            known, stored = self._known[index], constant_of(self._model, self._graph.tensors[index])
            if stored is None:
                raise ModelError(
                    f"it takes {known.name!r}, which nothing before it makes; the .tflite model is damaged"
                )
            self._held[index] = Held.constant(self._tf, known, stored)
        return self._held[index]

    def _described(self, tensor: Any) -> Known:
        quantization = tensor.quantization
        scales = None if quantization is None else quantization.scale
        zeros = None if quantization is None else quantization.zeroPoint
        return Known(
            name=text(tensor.name),
            shape=shape_of(tensor),
            dtype=type_name(tensor).lower(),
            scales=np.array([] if scales is None else scales, np.float32),
            zero_points=np.zeros(1 if scales is None else len(scales), np.int64)
            if zeros is None
            else np.array(zeros, np.int64),
            axis=0 if quantization is None else int(quantization.quantizedDimension),
        )

    def _onto_grid(self, result: Any, known: Known, fused: int, *, is_there: bool) -> Held:
        """An operator's result, its fused activation applied, as numbers that the tensor can store."""
        tf = self._tf
        if isinstance(result, Steps):
            if fused not in BOUNDS:
                return self._onto_grid(Held(tf, known, steps=result.values).real, known, fused, is_there=False)
            low, high = self._limits(known)
            ends = [np.round(end / known.scales[0]) for end in BOUNDS[fused]]
            return Held(tf, known, steps=tf.clip_by_value(result.values, max(low, ends[0]), min(high, ends[1])))
        real = activated(tf, result, fused)
        if not known.quantized or is_there or known.dtype not in _BITS:
            return Held(tf, known, real=real)
        low, high = (steps * float(known.scales[0]) for steps in self._limits(known))
        quantize = tf.quantization.fake_quant_with_min_max_args
        return Held(tf, known, real=quantize(real, min=low, max=high, num_bits=_BITS[known.dtype]))

    def _limits(self, known: Known) -> tuple[float, float]:
        """The lowest and highest steps that the tensor can store."""
        limits, zero = np.iinfo(known.dtype), int(known.zero_points[0])
        return float(limits.min - zero), float(limits.max - zero)

    def _stored(self, steps: Any, known: Known) -> Any:
        clipped = self._tf.clip_by_value(steps, *self._limits(known))
        return self._tf.cast(clipped + np.float32(known.zero_points[0]), known.dtype)
