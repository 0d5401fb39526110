"""The child's common part for Keras and SavedModel: a function of TensorFlow becomes a float .tflite, beside what it computes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.load.child import deliver
from converters.load.numeric_check import check_inputs
from converters.load.tensor_names import with_names
from converters.load.worker import Said
from edge_sdk.errors import ModelError, needs
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe

EXTRA = "keras"
MAX_UNROLLED_STEPS = 64
_UNKNOWN_OPERATORS = re.compile(r"^(?:Custom|TF Select|Flex) ops: *(.+)$", re.MULTILINE)
_MOST_WORDS = 300


@dataclass(frozen=True)
class Source:
    """A model of TensorFlow that is ready to be called.

    Attributes:
        run: takes a float32 tensor of ``shape``, gives the outputs in order.
        shape: fixed, with its batch of 1, in the .tflite's axis order.
        entry: the input's name.
        outputs: the outputs' names.
        loops: layers known to loop, as they are called in a message.
    """

    run: Callable[[Any], Sequence[Any]]
    shape: tuple[int, ...]
    entry: str
    outputs: tuple[str, ...]
    loops: tuple[str, ...] = ()


def tensorflow() -> Any:
    """TensorFlow, its logger quiet."""
    with needs("tensorflow", for_="reading a Keras model or a SavedModel", extra=EXTRA):
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    return tf


def finish(source: Source, request: dict[str, Any], folder: Path, *, kind: str, notes: Sequence[str]) -> None:
    """Convert, run the source on the check's inputs, and deliver.

    Args:
        kind: see ``Said.format``.
        notes: see ``Said.notes``.
    """
    framework = f"TensorFlow {tensorflow().__version__}"
    inputs = check_inputs(source.shape, tuple(request["real_range"]))
    outputs = reference(source, inputs)
    content = to_tflite(source)
    deliver(folder, content, Said(kind, framework, framework, tuple(notes)), inputs, outputs)


def reference(source: Source, inputs: Array) -> list[Array]:
    """The source's own outputs, each of shape (count, *output shape)."""
    tf = tensorflow()
    try:
        runs = [[np.asarray(value) for value in source.run(tf.constant(tensor))] for tensor in inputs]
    except Exception as exc:
        raise ModelError(
            f"the model does not run in TensorFlow on an input of shape {source.shape}: {_first_words(exc)}"
        ) from exc
    return [np.stack(values) for values in zip(*runs, strict=True)]


def to_tflite(source: Source) -> bytes:
    """A float .tflite of built-in operators, with the source's names; its variables become constants first.

    Raises:
        ModelError: if it needs operators that TensorFlow Lite does not have; the message names them.
    """
    tf = tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2 as freeze

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def call(x: Any) -> dict[str, Any]:
        return {f"output_{number:04}": value for number, value in enumerate(source.run(x))}

    try:
        concrete = tf.function(call).get_concrete_function(tf.TensorSpec(source.shape, tf.float32, name="x"))
        frozen = freeze(concrete, lower_control_flow=False)
        content = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    except Exception as exc:
        raise ModelError(_why(exc)) from exc
    if source.loops and any(operator.name == "WHILE" for operator in describe(content).operators):
        raise ModelError(
            f"layer {' and '.join(source.loops)} stays a loop, which an int8 model cannot have; "
            f"up to {MAX_UNROLLED_STEPS} steps are unrolled into plain operators. Train it on shorter windows, or use convolutions"
        )
    return with_names(bytes(content), source.entry, source.outputs)


def _why(exc: Exception) -> str:
    found = sorted({name.strip() for line in _UNKNOWN_OPERATORS.findall(str(exc)) for name in line.split(",")})
    if found:
        return (
            f"TensorFlow Lite has no operator for {', '.join(found)}, which the model uses; "
            "take it out of the model, or put what it computes behind the model in your own code"
        )
    return f"TensorFlow cannot translate the model: {_first_words(exc)}"


def _first_words(exc: Exception) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:_MOST_WORDS]}"
