"""Models and options that an engine cannot take are refused by name, in a process of its own or inline."""

from __future__ import annotations

from typing import Literal

import pytest

from edge_sdk.engines import load_engine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import ConfigError, EngineError
from edge_sdk.tensors import TensorSpec
from tests.tiny_models import TinyModel, options


def adding(name: str = "x", *, shape: tuple[int, ...] = (1, 4), dtype: str = "FLOAT32") -> bytes:
    """y = x + x."""
    net = TinyModel()
    x, y = net.tensor(name, shape, dtype=dtype), net.tensor("y", shape, dtype=dtype)
    net.operator("ADD", [x, x], [y], options("Add"))
    return net.build([x], [y])


def places(stated: tuple[int, ...]) -> bytes:
    """WHERE: as many rows as there are true values."""
    net = TinyModel()
    x, y = net.tensor("x", (1, 4), dtype="BOOL"), net.tensor("y", stated, dtype="INT64")
    net.operator("WHERE", [x], [y])
    return net.build([x], [y])


MODELS = {
    "a name that is no UTF-8": (adding("x@@").replace(b"x@@", b"x\xff\xfe"), "refuses the model: .*can't decode"),
    "text": (adding(dtype="STRING"), "tensor 'x' has dtype 'bytes'; allowed are int8"),
    "no fixed shape": (places((0, 2)), r"tensor 'y' has shape \(0, 2\); axes are 1 or more"),
    "two gigabytes": (adding(shape=(1, 1 << 15, 1 << 14)), "tensor 'x' has shape .* at most 1073741824 bytes"),
}


@pytest.mark.parametrize("isolation", ["process", "none"])
@pytest.mark.parametrize(("model", "said"), MODELS.values(), ids=MODELS)
def test_a_model_that_cannot_be_run_is_refused(model: bytes, said: str, isolation: Literal["process", "none"]) -> None:
    with pytest.raises(EngineError, match=said):
        open_engine("litert", model, isolation=isolation)


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_an_output_of_another_shape_than_stated_is_an_error(isolation: Literal["process", "none"]) -> None:
    with open_engine("litert", places((4, 2)), isolation=isolation) as engine:
        engine.input_arrays[0][...] = True
        assert engine.run()[0].shape == (4, 2)
        engine.input_arrays[0][0, 0] = False
        with pytest.raises(EngineError, match=r"output 'y' came in shape \(3, 2\), the model states \(4, 2\)"):
            engine.run()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"wait_ms": "abc"}, "wait_ms is a number of milliseconds from 0 to 1e8; found 'abc'"),
        ({"wait_ms": "nan"}, "wait_ms is a number"),
        ({"wait_ms": "inf"}, "wait_ms is a number"),
        ({"wait_ms": "-1"}, "wait_ms is a number"),
        ({"input": "1,-4 int8"}, "input is such as .*axes are 1 or more"),
        ({"input": "1000000,1000000 int8"}, "at most 1073741824 bytes"),
        ({"output": "4 object"}, "output is such as .*dtype 'object'"),
        ({"output": "four int8"}, "output is such as"),
    ],
)
def test_an_option_of_the_null_engine_is_checked(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_engine("null", "", given)


def test_tensors_that_a_bundle_does_not_state_are_named_readably() -> None:
    stated = TensorSpec("image", (1, 128, 128, 3), "int8", 1 / 128, -1)
    with load_engine("null", "", {"input": "1,4 uint8"}) as engine, pytest.raises(EngineError) as caught:
        engine.expect((stated,), engine.outputs)
    assert str(caught.value) == (
        "the model's inputs are not what the bundle states: found 'input' uint8 1x4; "
        "stated 'image' int8 1x128x128x3, scale 0.0078125, zero point -1"
    )
