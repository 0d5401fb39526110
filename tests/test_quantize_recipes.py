"""Recipes are data: named ones, a user's own, what they refuse, and what each of them makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from converters.interpreter import open_interpreter
from converters.quantize.quantize import quantize
from converters.quantize.recipe import Recipe, read_recipe, recipe_names
from converters.verify.prove import prove
from edge_sdk.errors import ConfigError, NotIntegerError
from edge_sdk.tflite import describe
from tests.tiny_models import image_net, options
from tests.tiny_quant_models import Case, float_model, formula_net, quantized, run, sqnr_db

IMAGES = [np.random.default_rng(i).uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32) for i in range(12)]
SAMPLES = Case("", -3, 3).samples(12)


def own(**keys: object) -> Recipe:
    return Recipe.model_validate({"name": "mine", **keys})


@pytest.mark.parametrize(
    ("name", "kind", "ends", "wanted_db"),
    [
        ("int8", "tflite-int8", "int8", 30),
        ("int8-per-tensor", "tflite-int8", "int8", 28),
        ("int8-uint8-io", "tflite-int8", "uint8", 30),
        ("int16x8", "tflite-int16x8", "int16", 35),
        ("float16", "tflite-float16", "float32", 60),
        ("dynamic", "tflite-dynamic", "float32", 30),
    ],
)
def test_named_recipe_makes_its_kind_and_stays_close_to_float(
    name: str, kind: str, ends: str, wanted_db: float
) -> None:
    before, after = quantized(image_net(), IMAGES, name)
    description = describe(after.content)
    tensors = [description.tensors[i] for i in (*description.inputs, *description.outputs)]
    assert after.kind == kind
    assert [(tensor.name, tensor.dtype) for tensor in tensors] == [("image", ends), ("scores", ends)]
    if read_recipe(name).integer:
        prove(after.content)
    real = run(before, IMAGES)
    for optimised in (True, False):
        assert sqnr_db(real, run(after.content, IMAGES, optimised=optimised)) > wanted_db


def test_there_is_a_test_for_every_named_recipe() -> None:
    assert recipe_names() == ("dynamic", "float16", "int16x8", "int8", "int8-per-tensor", "int8-uint8-io")
    assert all(read_recipe(name).about for name in recipe_names())


@pytest.mark.parametrize("name", ["int8", "int8-per-tensor", "int8-uint8-io", "int16x8", "float16", "dynamic"])
def test_same_model_and_ranges_give_the_same_bytes(name: str) -> None:
    content, ranges = float_model(formula_net("mish"), SAMPLES)
    first, second = (quantize(content, ranges, read_recipe(name)).content for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("int8", {"CONV_2D": 3, "MEAN": 2, "FULLY_CONNECTED": 4, "SOFTMAX": 2}),
        ("int8-uint8-io", {"QUANTIZE": 1, "CONV_2D": 3, "MEAN": 2, "FULLY_CONNECTED": 4, "SOFTMAX": 2}),
        ("int16x8", {"CONV_2D": 1, "MEAN": 3, "FULLY_CONNECTED": 1, "SOFTMAX": 3}),
        ("float16", {"DEQUANTIZE": 3, "CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}),
        ("dynamic", {"CONV_2D": 5, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}),
    ],
)
def test_operator_versions_are_the_lowest_that_are_right(name: str, versions: dict[str, int]) -> None:
    operators = describe(quantized(image_net(), IMAGES, name)[1].content).operators
    assert {operator.name: operator.version for operator in operators} == versions


def test_per_tensor_weights_have_one_scale() -> None:
    for recipe, count in (("int8-per-tensor", 1), ("int8", 8)):
        tensors = describe(quantized(image_net(), IMAGES, recipe)[1].content).tensors
        assert {len(tensor.scales) for tensor in tensors if tensor.name == "kernel"} == {count}


def test_uint8_ends_store_what_int8_does_plus_128() -> None:
    signed, unsigned = (quantized(image_net(), IMAGES, recipe)[1].content for recipe in ("int8", "int8-uint8-io"))
    for optimised in (True, False):
        sides = [open_interpreter(content, optimised=optimised) for content in (signed, unsigned)]
        for seed in range(5):
            stored = np.random.default_rng(seed).integers(0, 256, (1, 16, 16, 3), np.uint8)
            made = []
            for side, tensor in zip(sides, ((stored.astype(np.int16) - 128).astype(np.int8), stored), strict=True):
                side.set_tensor(side.get_input_details()[0]["index"], tensor)
                side.invoke()
                made.append(side.get_tensor(side.get_output_details()[0]["index"]))
            assert np.array_equal(made[0].astype(np.int16) + 128, made[1])


def test_float16_leaves_what_it_cannot_store_and_says_so() -> None:
    case = Case("MUL", constants=(None, np.linspace(-1e6, 1e6, 128, dtype=np.float32).reshape(1, 4, 4, 8)))
    before, after = quantized(case.build(), case.samples(), "float16")
    assert after.notes == ("Constant 'c1' stays float32: it is beyond what float16 can store.",)
    assert sqnr_db(run(before, case.samples()), run(after.content, case.samples())) > 100


def test_smaller_weights_are_smaller() -> None:
    case = Case("FULLY_CONNECTED", shape=(1, 256), output_shape=(1, 256), op_options=options("FullyConnected"),
                constants=(None, np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)))  # fmt: skip
    before, half = quantized(case.build(), case.samples(), "float16")
    _, quarter = quantized(case.build(), case.samples(), "dynamic")
    assert len(half.content) < 0.52 * len(before)
    assert len(quarter.content) < 0.28 * len(before)


def test_overrides_by_regular_expression_mix_int16_into_int8() -> None:
    recipe = own(override=[{"match": "^logits$", "scheme": "int16"}])
    before, after = quantized(image_net(), IMAGES, recipe)
    description = describe(after.content)
    kinds = {tensor.name: tensor.dtype for tensor in description.tensors}
    assert after.kind == "tflite-int8"
    prove(after.content)
    assert (kinds["pooled"], kinds["logits"], kinds["scores"]) == ("int8", "int16", "int8")
    zero_points = [z for tensor in description.tensors if tensor.dtype == "int16" for z in tensor.zero_points]
    assert set(zero_points) == {0}
    assert kinds["offsets"] == "int64"
    assert [o.name for o in description.operators] == [
        "CONV_2D",
        "MEAN",
        "QUANTIZE",
        "FULLY_CONNECTED",
        "QUANTIZE",
        "SOFTMAX",
    ]
    real = run(before, IMAGES)
    plain = sqnr_db(real, run(quantized(image_net(), IMAGES)[1].content, IMAGES))
    assert all(
        sqnr_db(real, run(after.content, IMAGES, optimised=optimised)) > plain - 0.5 for optimised in (True, False)
    )


def test_float_override_is_taken_when_allowed_and_never_called_integer() -> None:
    override = {"operator": "SOFTMAX|FULLY_CONNECTED", "scheme": "float"}
    before, after = quantized(image_net(), IMAGES, own(allow_float=True, override=[override]))
    assert after.kind == "tflite-mixed"
    with pytest.raises(NotIntegerError):
        prove(after.content)
    operators = [operator.name for operator in describe(after.content).operators]
    assert operators == ["CONV_2D", "MEAN", "DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX"]
    assert sqnr_db(run(before, IMAGES), run(after.content, IMAGES)) > 30


def test_float_operator_in_the_middle_has_integer_neighbours() -> None:
    recipe = own(allow_float=True, override=[{"operator": "EXP|ADD|LOG|TANH|MUL", "scheme": "float"}])
    before, after = quantized(formula_net("mish"), SAMPLES, recipe)
    operators = [operator.name for operator in describe(after.content).operators]
    assert operators == ["CONV_2D", "DEQUANTIZE", "EXP", "ADD", "LOG", "TANH", "MUL", "QUANTIZE", "CONV_2D"]
    assert sqnr_db(run(before, SAMPLES), run(after.content, SAMPLES)) > 34


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"match": "logitz", "scheme": "int16"}, r"match 'logitz' fits no operator. Near names: 'logits'"),
        (
            {"operator": "ELU", "scheme": "int16"},
            r"operator 'ELU' fits no operator. Its operators are CONV_2D, FULLY_CONNECTED",
        ),
    ],
)
def test_override_that_fits_nothing_is_an_error_with_near_names(override: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        quantized(image_net(), IMAGES, own(override=[override]))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"override": [{"match": "x", "scheme": "float"}]}, "allow_float = true"),
        ({"override": [{"scheme": "int16"}]}, "say which operators"),
        ({"override": [{"match": "(", "scheme": "int16"}]}, "no regular expression"),
        (
            {"scheme": "float16", "override": [{"match": "x", "scheme": "int16"}]},
            "overrides go with the schemes int8 and int16x8",
        ),
        ({"scheme": "int8", "io": "float32"}, "it can be int8 or uint8"),
        ({"scheme": "int4"}, "int8"),
    ],
)
def test_recipe_that_contradicts_itself_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        own(**keys)


def test_own_recipe_is_read_and_unknown_keys_are_refused_with_file_and_allowed_keys(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('scheme = "int8"\n[[override]]\nmatch = "head"\nscheme = "int16"\n')
    assert read_recipe(file).override[0].match == "head"
    file.write_text('shceme = "int8"\n')
    with pytest.raises(ConfigError, match=r"mine.toml: shceme: no such key; allowed are about, allow_float, io"):
        read_recipe(file)
    file.write_text('[[override]]\nmtach = "head"\nscheme = "int16"\n')
    with pytest.raises(ConfigError, match=r"override.0.mtach: no such key; allowed are match, operator, scheme"):
        read_recipe(file)
    file.write_text('name = "other"\n')
    with pytest.raises(ConfigError, match="the file's stem is the recipe's name"):
        read_recipe(file)


def test_unknown_name_has_near_ones() -> None:
    with pytest.raises(ConfigError, match=r"no recipe 'int16'. Did you mean int16x8"):
        read_recipe("int16")


def test_integer_recipe_without_ranges_says_what_needs_none() -> None:
    with pytest.raises(ConfigError, match="needs calibration data; the recipes float16 and dynamic do not"):
        quantize(image_net(), None, read_recipe("int8"))
