"""The numeric check that ends every load: the float .tflite computes what the source framework computes, or there is no model."""

from __future__ import annotations

import numpy as np

from converters.load.loaded import NumericCheck, Reference
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array
from edge_sdk.tflite import ModelDescription, describe

TOLERANCE = (
    1e-3  # of an output's largest magnitude: float32 kernels differ by about 1e-5, wrong padding or axes by far more
)
_LEAST = 1e-6  # magnitudes below it are compared as if they were it
_LEAST_PROBABILITY = 1e-3  # the same of a sigmoid or softmax, which frameworks approximate to about 1e-7
_PROBABILITIES = ("LOGISTIC", "SOFTMAX")
_KEEP_VALUES = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS")
_INPUTS = 4
_SEED = 0


def check_inputs(shape: tuple[int, ...], real_range: tuple[float, float]) -> Array:
    """Inputs to compare on, seeded: noise over the whole range, and slopes, alike in neither axis nor channel.

    Args:
        shape: of the input tensor, with its batch of 1.
        real_range: smallest and largest number.

    Returns:
        float32, shape (4, *shape).
    """
    rng = np.random.default_rng(_SEED)
    low, high = real_range
    inputs = rng.uniform(low, high, (_INPUTS, *shape))
    for number in range(_INPUTS // 2, _INPUTS):
        slope = sum(
            (rng.uniform(-1, 1) * axis for axis in np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")),
            np.zeros(shape),
        )
        slope += 0.2 * rng.uniform(-1, 1, shape)
        inputs[number] = low + (high - low) * (slope - slope.min()) / max(float(np.ptp(slope)), 1e-12)
    return inputs.astype(np.float32)


def run_float(content: bytes, inputs: Array) -> tuple[Array, ...]:
    """The outputs of a float .tflite for each of ``inputs``, each of shape (count, *output shape)."""
    from converters.interpreter import open_interpreter

    interpreter = open_interpreter(content, keep=False)
    entry = interpreter.get_input_details()[0]["index"]
    outputs = [details["index"] for details in interpreter.get_output_details()]
    runs = []
    for tensor in inputs:
        interpreter.set_tensor(entry, tensor)
        interpreter.invoke()
        runs.append([interpreter.get_tensor(index) for index in outputs])
    return tuple(np.stack(values) for values in zip(*runs, strict=True))


def check_numbers(content: bytes, reference: Reference) -> NumericCheck:
    """Compare a float .tflite with what the source computed.

    Raises:
        ModelError: if they differ; the message names the output.
    """
    model = describe(content)
    found = run_float(content, reference.inputs)
    if len(found) != len(reference.outputs):
        raise ModelError(
            f"the translation has {len(found)} outputs, the source {len(reference.outputs)}: it is wrong, and is not used"
        )
    worst = 0.0
    for index, ours, theirs in zip(model.outputs, found, reference.outputs, strict=True):
        least = _LEAST_PROBABILITY if _is_probability(model, index) else _LEAST
        worst = max(worst, _difference(model.tensors[index].name, ours, theirs, reference.framework, least))
    return NumericCheck(reference.framework, len(reference.inputs), worst, TOLERANCE)


def _is_probability(model: ModelDescription, index: int) -> bool:
    """Whether a tensor is the result of a sigmoid or softmax, rearranged at most."""
    makers = {output: operator for operator in model.operators for output in operator.outputs}
    while (maker := makers.get(index)) is not None and maker.name in _KEEP_VALUES:
        index = maker.inputs[0]
    return maker is not None and maker.name in _PROBABILITIES


def _difference(name: str, ours: Array, theirs: Array, framework: str, least: float) -> float:
    if ours.shape != theirs.shape:
        raise ModelError(
            f"output {name!r} of the translation has shape {ours.shape[1:]}, {framework} gives {theirs.shape[1:]}: the translation is wrong"
        )
    if not np.isfinite(theirs).all():
        raise ModelError(
            f"output {name!r} is NaN or infinite in {framework} itself on made-up inputs of the contract's range; "
            "check range, mean and std, and the weights: a training that diverged leaves NaN in them"
        )
    magnitude = float(np.abs(theirs).max(initial=0.0))
    gap = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    share = float(gap.max(initial=0.0)) / max(magnitude, least)
    if not share <= TOLERANCE:
        raise ModelError(
            f"the translation is wrong: output {name!r} differs from {framework} by {share:.2g} of its largest magnitude {magnitude:.4g}, "
            f"{TOLERANCE:g} is allowed; "
            f"{np.mean(gap > TOLERANCE * max(magnitude, least)):.0%} of its values are affected. No model was made. "
            "Another way may be right: export the model to ONNX or float .tflite and give that"
        )
    return share
