"""Graphs that nobody thought of: whatever stands beside whatever, in whichever mixture of types, the result runs and is close to float."""

from __future__ import annotations

import random

import numpy as np
import pytest

from converters.quantize.quantize import quantize
from converters.quantize.recipe import Recipe, read_recipe
from converters.verify.prove import prove
from edge_sdk.errors import ConfigError
from tests.tiny_models import options
from tests.tiny_quant_models import SHAPE, STEPS, Case, Net, float_model, i32, run, sqnr_db

SAMPLES = Case("", -2, 2).samples(12)
KINDS = (
    "conv",
    "add",
    "sub",
    "mul",
    "maximum",
    "minimum",
    "unary",
    "concat",
    "reshape",
    "select",
    "pool",
    "norm",
    "formula",
    "div",
)
UNARY = ("TANH", "LOGISTIC", "SIN", "ELU", "HARD_SWISH", "COS", "CEIL")


def random_net(seed: int) -> bytes:
    chance = random.Random(seed)
    net = Net()
    entry = net.tensor("input", SHAPE)
    made = [entry]
    for number in range(chance.randint(3, 14)):
        made.append(_one_more(net, chance, number, chance.choice(made[-4:]), chance.choice(made)))
    read = {int(i) for operator in net.graph.operators for i in operator.inputs}
    return net.build([entry], [index for index in made[1:] if index not in read])


def _one_more(net: Net, chance: random.Random, number: int, x: int, y: int) -> int:
    kind = chance.choice(KINDS)
    extremum, steps = options("MaximumMinimum"), net.constant(f"steps_{number}", STEPS)
    if kind == "conv":
        return net.conv(x, number)
    if kind in ("add", "sub"):
        return getattr(net, kind)(x, y)
    if kind == "mul":
        return net.op("TANH", [net.mul(x, y)])
    if kind in ("maximum", "minimum"):
        return net.op(kind.upper(), [x, y if kind == "maximum" else steps], SHAPE, extremum)
    if kind == "unary":
        return net.op(chance.choice(UNARY), [x])
    if kind == "concat":
        wide = net.op("CONCATENATION", [x, y], (1, 4, 4, 16), options("Concatenation", axis=3))
        begin, size = net.constant(f"begin_{number}", i32(0, 0, 0, 4)), net.constant(f"size_{number}", i32(*SHAPE))
        return net.op("SLICE", [wide, begin, size], SHAPE, options("Slice"))
    if kind == "reshape":
        flat = net.op(
            "RESHAPE",
            [x, net.constant(f"flat_{number}", i32(1, 16, 8))],
            (1, 16, 8),
            options("Reshape", newShape=[1, 16, 8]),
        )
        return net.op(
            "RESHAPE",
            [flat, net.constant(f"shape_{number}", i32(*SHAPE))],
            SHAPE,
            options("Reshape", newShape=list(SHAPE)),
        )
    if kind == "select":
        where = net.tensor(f"where_{number}", SHAPE, dtype="BOOL")
        net.operator("LESS", [x, net.number(0.3)], [where], options("Less"))
        return net.op("SELECT_V2", [where, y, net.number(0.5)], SHAPE, options("SelectV2"))
    if kind == "pool":
        return net.op(
            "MAX_POOL_2D", [x], SHAPE, options("Pool2D", padding=0, strideW=1, strideH=1, filterWidth=2, filterHeight=2)
        )
    if kind == "norm":
        return net.normalised(x, chance.choice([(3,), (1, 2)]), number, chance.choice(["plain", "keras", "torch"]))
    if kind == "formula":
        return net.formula(chance.choice(["swish", "mish", "hard swish", "softsign"]), x)
    return net.div(x, net.scalar("ADD", net.op("ABS", [y], SHAPE, options("Abs")), 1.0))


def recipes(seed: int) -> list[Recipe]:
    chance = random.Random(seed)
    named = [read_recipe("int8"), read_recipe("int16x8")]
    kinds = ("TANH|ADD", "CONV_2D", "MUL|SUB|SIN", "CONCATENATION|RESHAPE", "MEAN|MAXIMUM")
    return named + [
        Recipe.model_validate(
            {"name": scheme, "allow_float": True, "override": [{"operator": chance.choice(kinds), "scheme": scheme}]}
        )
        for scheme in ("int16", "float")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_random_graph_in_any_mixture_of_types_runs_and_is_close(seed: int) -> None:
    before, ranges = float_model(random_net(seed), SAMPLES)
    real = run(before, SAMPLES)
    for recipe in recipes(seed):
        try:
            after = quantize(before, ranges, recipe)
        except ConfigError as exc:
            assert "fits no operator" in str(exc)  # the graph has none of that kind
            continue
        if after.kind != "tflite-mixed":
            prove(after.content)
        found = [sqnr_db(real, run(after.content, SAMPLES, optimised=optimised)) for optimised in (True, False)]
        assert min(found) > (20 if recipe.scheme == "int16x8" else 8), recipe.name
        assert np.isfinite(found).all()
