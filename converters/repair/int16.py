"""16-bit activations for single layers, where every target takes them: 256 times finer steps, at some cost in time."""

from __future__ import annotations

import re
from collections.abc import Sequence

from converters.quantize.kernels import has_kernel
from converters.quantize.recipe import Override, Recipe
from edge_sdk.tflite import describe


def int16_tensors(content: bytes, tensor: str) -> tuple[str, ...]:
    """What must be in int16 so that an operator loses little: those that make its inputs, itself, and those that read any of these.

    The inputs count: a few large values hide in their SQNR that the small ones, which the operator goes by, are lost.

    Args:
        content: the float model.
        tensor: name of what the operator makes.

    Returns:
        The first output of each of these operators that has a kernel; empty if the operator itself has none.
    """
    model = describe(content)
    index = next((spec.index for spec in model.tensors if spec.name == tensor), None)
    maker = next((o for o in model.operators if index in o.outputs), None)
    if maker is None or index is None or not has_kernel(maker.name, "int16"):
        return ()
    about = {index, *(i for i in maker.inputs if i >= 0 and not model.tensors[i].constant)}
    touching = [o for o in model.operators if about.intersection((*o.inputs, *o.outputs))]
    return tuple(model.tensors[o.outputs[0]].name for o in touching if has_kernel(o.name, "int16"))


def with_int16(recipe: Recipe, tensors: Sequence[str]) -> Recipe:
    """The recipe with the operators that make these tensors in int16."""
    added = tuple(Override(match=f"^{re.escape(name)}$", scheme="int16") for name in tensors)
    return recipe.model_copy(update={"override": (*recipe.override, *added)})
