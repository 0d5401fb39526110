"""Every operator that can be integer is, and computes what the float operator does, on the optimised kernels and the plain ones."""

from __future__ import annotations

import pytest

from converters.quantize.kernels import KERNELS
from converters.verify.prove import prove
from edge_sdk.errors import NotIntegerError
from edge_sdk.tflite import describe
from tests.tiny_models import TinyModel, options
from tests.tiny_quant_models import CASES, ELEMENTWISE, SHAPE, Case, quantized, run, sqnr_db

STEPPED = (
    "FLOOR",
    "CEIL",
    "ROUND",
    "SIGN",
    "FLOOR_DIV",
    "FLOOR_MOD",
    "CAST",
    "GREATER",
    "GREATER_EQUAL",
    "LESS",
    "LESS_EQUAL",
    "ARG_MAX",
    "ARG_MIN",
    "TOPK_V2",
    "NOT_EQUAL",
)  # fmt: skip - an input half a step off changes their output by a whole one
WANTED_DB = {"int8": 38.0, "int16x8": 50.0}
WEIGHTED_DB = 43.0  # weights are int8 in both
ALL = [case for case in CASES if case.name not in ("CUMSUM", "EQUAL")]


@pytest.mark.parametrize("recipe", ["int8", "int16x8"])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_operator_is_integer_and_computes_the_same(case: Case, recipe: str) -> None:
    before, after = quantized(case.build(), case.samples(), recipe)
    prove(after.content)
    assert after.kind == f"tflite-{recipe}"
    wanted = WANTED_DB[recipe]
    if recipe == "int16x8":
        weighted = case.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
        wanted = WEIGHTED_DB if weighted else 40.0 if after.notes else wanted
    wanted = 19.0 if case.name in STEPPED else wanted
    real = run(before, case.samples())
    for optimised in (True, False):
        assert sqnr_db(real, run(after.content, case.samples(), optimised=optimised)) > wanted


def test_elementwise_operator_without_a_kernel_becomes_a_table() -> None:
    for case in ELEMENTWISE:
        before, after = quantized(case.build(), case.samples())
        name = describe(before).operators[0].name  # NEG and SQUARE are MUL after loading
        made = {operator.name for operator in describe(after.content).operators}
        if name == "DIV" and case.constants[0] is None:
            assert made == {"MUL"}
        elif name in KERNELS and name != "CAST":
            assert after.rewrites == () and name in made
        else:
            assert after.rewrites == (f"{name} (operator 0) became a table of 256 values.",)
            assert made == {"MUL", "CAST", "SUB", "GATHER"}


def test_operator_without_kernel_in_this_type_runs_on_the_other_and_it_is_said() -> None:
    case = next(case for case in CASES if case.name == "L2_NORMALIZATION")
    _, after = quantized(case.build(), case.samples(), "int16x8")
    assert after.notes == ("L2_NORMALIZATION (operator 0) runs on int8: it has no int16 kernel.",)


def test_operator_with_neither_kernel_nor_table_is_named_with_the_choices() -> None:
    case = next(case for case in CASES if case.name == "CUMSUM")
    with pytest.raises(
        NotIntegerError, match=r"CUMSUM \(operator 0\) cannot be made integer.*'after'.*Choices.*--recipe"
    ) as caught:
        quantized(case.build(), case.samples())
    assert (caught.value.operator, caught.value.tensor) == ("CUMSUM (operator 0)", "after")


def test_wider_range_of_a_concatenation_does_not_coarsen_what_others_read() -> None:
    net = TinyModel()
    entry, small, large, both, last = (net.tensor(n, s) for n, s in zip(
        ("input", "small", "large", "both", "last"), (SHAPE, SHAPE, SHAPE, (*SHAPE[:3], 16), SHAPE), strict=True))  # fmt: skip
    net.operator("TANH", [entry], [small])
    net.operator("MUL", [entry, net.constant("hundred", Case("MUL").samples()[0] * 100)], [large], options("Mul"))
    net.operator("CONCATENATION", [small, large], [both], options("Concatenation", axis=3))
    net.operator("ABS", [small], [last])
    before, after = quantized(net.build([entry], [last, both]), Case("ABS").samples())
    assert sqnr_db(run(before, Case("ABS").samples()), run(after.content, Case("ABS").samples())) > 38
