"""Quantization by a recipe: a float model and the ranges of its tensors become a smaller model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from converters.calibrate.ranges import Ranges
from converters.graph import compact, main_graph, operator_name, read_graph, type_name, write_graph
from converters.quantize.ends import end_names, make_ends_uint8, name_ends
from converters.quantize.float_weights import store_float16, store_int8
from converters.quantize.integer import make_integer
from converters.quantize.natives import use_natives
from converters.quantize.recipe import Recipe
from converters.quantize.steps import tensor_name
from converters.quantize.variance import widen_variances
from converters.versions import set_versions
from edge_sdk.errors import ConfigError

Kind = Literal["tflite-int8", "tflite-int16x8", "tflite-float16", "tflite-dynamic", "tflite-mixed"]


@dataclass(frozen=True)
class QuantizedModel:
    """The model made.

    Attributes:
        content: a .tflite with everything inside the flatbuffer and the lowest operator versions that are right.
        kind: of the variant; ``tflite-mixed`` if a float tensor is left in an integer recipe, by its override.
        rewrites: operators that became others, one sentence each, numbered as in the float model.
        notes: what else a person should know, one sentence each.
    """

    content: bytes
    kind: Kind
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def quantize(content: bytes, ranges: Ranges | None, recipe: Recipe) -> QuantizedModel:
    """Quantize a float model.

    Args:
        content: the float model, as ``converters.load`` makes it.
        ranges: of all its float activations; None where the recipe needs none (``recipe.integer``).
        recipe: how.

    Raises:
        NotIntegerError: if an operator cannot be made integer; the message names it and the choices left.
        ConfigError: if an override fits no operator, or ranges are missing.
        ModelError: if the model is damaged, or the ranges are another model's.
    """
    model = read_graph(content)
    names = end_names(model)
    rewrites: tuple[str, ...] = ()
    if recipe.scheme == "float16":
        notes = tuple(store_float16(model))
    elif recipe.scheme == "dynamic":
        notes = tuple(store_int8(model, per_channel=recipe.weights == "per-channel"))
    else:
        rewrites, notes = _make_integer(model, ranges, recipe)
    name_ends(model, names)
    compact(model)
    set_versions(model)
    compact(model)
    kind = _kind(model, recipe)
    model.description = f"{kind.removeprefix('tflite-')}, made by edge-sdk convert"
    return QuantizedModel(write_graph(model), kind, rewrites, notes)


def _make_integer(model: Any, ranges: Ranges | None, recipe: Recipe) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if ranges is None:
        raise ConfigError(f"recipe {recipe.name!r} needs calibration data; the recipes float16 and dynamic do not")
    operators = [
        (operator_name(model, operator), tensor_name(model, int(operator.outputs[0])))
        for operator in main_graph(model).operators
    ]
    input_dtype = "int16" if recipe.ends == "int16" else "int8"
    schemes = recipe.schemes(operators)
    before = use_natives(model, schemes)
    if recipe.variance != "int8":
        before += widen_variances(model, schemes, ranges, always=recipe.variance == "int16")
    done = make_integer(model, ranges, schemes, input_dtype=input_dtype, per_channel=recipe.weights == "per-channel")
    if recipe.ends == "uint8":
        make_ends_uint8(model)
    return (*before, *done.rewrites), done.notes


def _kind(model: Any, recipe: Recipe) -> Kind:
    if recipe.scheme == "float16":
        return "tflite-float16"
    if recipe.scheme == "dynamic":
        return "tflite-dynamic"
    graph = main_graph(model)
    if any(
        type_name(graph.tensors[i]) == "FLOAT32"
        for operator in graph.operators
        for i in (*operator.inputs, *operator.outputs)
        if i >= 0
    ):
        return "tflite-mixed"
    return "tflite-int16x8" if recipe.scheme == "int16x8" else "tflite-int8"
