"""What no single kernel computes well is rewritten: formulas, normalisations, divisions, masks. The result is integer and close."""

from __future__ import annotations

import numpy as np
import pytest

from converters.quantize.recipe import Recipe
from converters.verify.prove import prove
from edge_sdk.errors import NotIntegerError
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe
from tests.tiny_quant_models import (
    FORMULAS,
    SHAPE,
    Case,
    Net,
    attention_net,
    formula_net,
    mask_net,
    norm_net,
    quantized,
    run,
    softmax_net,
    sqnr_db,
)

SAMPLES = Case("", -3, 3).samples(16)
NATIVE = {"hard swish": "HARD_SWISH", "hard swish by a division": "HARD_SWISH", "gelu": "GELU"}
KERNEL_BY_KERNEL = ("swish", "hard sigmoid")


def spread_samples() -> list[Array]:
    """Samples whose spread differs forty-fold, as that of dark and bright pictures does."""
    rng = np.random.default_rng(5)
    return [
        (rng.normal(0, 1, SHAPE) * np.exp(rng.uniform(np.log(0.1), np.log(4)))).astype(np.float32) for _ in range(40)
    ]


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_becomes_the_one_operator_or_one_table(name: str) -> None:
    before, after = quantized(formula_net(name), SAMPLES)
    operators = prove(after.content).operators
    real = run(before, SAMPLES)
    assert all(sqnr_db(real, run(after.content, SAMPLES, optimised=optimised)) > 34 for optimised in (True, False))
    if name in KERNEL_BY_KERNEL:
        assert after.rewrites == ()
    elif name in NATIVE:
        assert operators == {"CONV_2D": 2, NATIVE[name]: 1}
        assert len(after.rewrites) == 1 and after.rewrites[0].endswith(f"became {NATIVE[name]}.")
    else:
        assert operators == {"CONV_2D": 2, "MUL": 1, "CAST": 2, "SUB": 1, "GATHER": 1}
        assert len(after.rewrites) == 1 and after.rewrites[0].endswith("became a table of 256 values.")


def test_table_names_its_operators_as_numbered_in_the_float_model() -> None:
    _, after = quantized(formula_net("mish"), SAMPLES)
    assert after.rewrites == ("EXP, ADD, LOG, TANH, MUL (operators 1, 2, 3, 4, 5) became a table of 256 values.",)


def test_part_of_a_formula_that_is_read_elsewhere_keeps_its_operator() -> None:
    net = Net()
    entry = net.tensor("input", SHAPE)
    soft = net.formula("softplus", entry)
    before, after = quantized(net.build([entry], [soft, net.mul(entry, net.op("TANH", [soft]))]), SAMPLES)
    assert prove(after.content).operators == {"MUL": 2, "CAST": 4, "SUB": 2, "GATHER": 2}
    assert sqnr_db(run(before, SAMPLES), run(after.content, SAMPLES)) > 38


@pytest.mark.parametrize("axes", [(3,), (1, 2)], ids=["layer", "instance"])
@pytest.mark.parametrize("form", ["plain", "keras", "torch"])
def test_normalisation_is_integer_and_close(axes: tuple[int, ...], form: str) -> None:
    before, after = quantized(norm_net(axes, form), SAMPLES)
    prove(after.content)
    real = run(before, SAMPLES)
    assert all(sqnr_db(real, run(after.content, SAMPLES, optimised=optimised)) > 24 for optimised in (True, False))


@pytest.mark.parametrize("axes", [(3,), (1, 2)], ids=["layer", "instance"])
def test_variance_in_int16_holds_a_spread_that_int8_does_not(axes: tuple[int, ...]) -> None:
    samples = spread_samples()
    found = {}
    for variance in ("int8", "auto", "int16"):
        before, after = quantized(
            norm_net(axes, "plain"), samples, Recipe.model_validate({"name": "mine", "variance": variance})
        )
        assert after.kind == "tflite-int8"
        found[variance] = sqnr_db(run(before, samples), run(after.content, samples, optimised=False))
    assert found["int16"] > found["int8"] + 4
    assert found["auto"] == pytest.approx(found["int16"], abs=0.1)


def test_variance_stays_int8_where_it_has_steps_enough() -> None:
    samples = [np.random.default_rng(i).choice([-1.0, 1.0], SHAPE).astype(np.float32) for i in range(8)]
    net = Net()
    entry = net.tensor("input", SHAPE)
    before, after = quantized(net.build([entry], [net.normalised(entry, (1, 2), 3, "plain")]), samples)
    assert "int16" not in {tensor.dtype for tensor in describe(after.content).tensors}
    assert sqnr_db(run(before, samples), run(after.content, samples)) > 30


def test_attention_masks_and_a_division_by_a_tensor_are_integer_and_close() -> None:
    tokens = [sample.reshape(1, 16, 8) for sample in SAMPLES]
    for content, samples, wanted in (
        (attention_net(), tokens, 29.0),
        (softmax_net(), SAMPLES, 38.0),
        (mask_net("greater"), SAMPLES, 38.0),
        (mask_net("one hot"), SAMPLES, 18.0),  # where two channels are nearly equal the other one may be the largest
    ):
        before, after = quantized(content, samples)
        proven = prove(after.content)
        assert [spec.dtype for spec in proven.outputs] == ["int8"]
        real = run(before, samples)
        assert all(
            sqnr_db(real, run(after.content, samples, optimised=optimised)) > wanted for optimised in (True, False)
        )


def test_division_by_what_comes_near_zero_is_refused() -> None:
    net = Net()
    entry = net.tensor("input", SHAPE)
    with pytest.raises(NotIntegerError, match=r"DIV \(operator 1\) cannot be made integer"):
        quantized(net.build([entry], [net.div(entry, net.conv(entry, 1))]), SAMPLES)
