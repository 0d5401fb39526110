"""Small models of OpenVINO, as the engine takes them."""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.engines.isolation import open_engine
from edge_sdk.openvino.archive import GRAPH, WEIGHTS, Archive
from edge_sdk.openvino.library import load_openvino


def needs_openvino() -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed; it comes with the extra openvino")


def saved(model: Any) -> Archive:
    """An ``openvino.Model``."""
    with tempfile.TemporaryDirectory() as folder:
        load_openvino().save_model(model, Path(folder) / GRAPH, compress_to_fp16=False)
        return Archive((Path(folder) / GRAPH).read_bytes(), (Path(folder) / WEIGHTS).read_bytes())


@functools.cache
def converted(content: bytes) -> bytes:
    """A .tflite model."""
    from converters.targets.openvino.ir import to_ir

    with open_engine("litert", content, isolation="none") as engine:
        return to_ir(content, engine.inputs, engine.outputs).archive.packed()


@functools.cache  # each model of OpenVINO has other names inside
def adding(shape: tuple[int, ...] = (1, 4), *, dynamic: bool = False) -> Archive:
    """y = x + 1, float32."""
    openvino = load_openvino()
    from openvino import opset8

    x = opset8.parameter([-1, *shape[1:]] if dynamic else list(shape), np.float32, name="x")
    y = opset8.add(x, opset8.constant(np.ones(shape, np.float32)))
    x.output(0).get_tensor().set_names({"x"})
    y.output(0).get_tensor().set_names({"y"})
    return saved(openvino.Model([y], [x], "adding"))


def summing() -> bytes:
    """A model with a variable, first 3: it gives the sum of all inputs so far, and 3."""
    openvino = load_openvino()
    from openvino import opset8

    x = opset8.parameter([1, 1], np.float32, name="x")
    before = opset8.read_value(opset8.constant(np.full((1, 1), 3, np.float32)), "sum")
    total = opset8.add(before, x)
    kept = opset8.assign(total, "sum")
    return saved(openvino.Model([opset8.result(total)], [kept], [x], "summing")).packed()


def endless() -> bytes:
    """A model with a loop whose condition stays true."""
    openvino = load_openvino()
    from openvino import opset8

    x = opset8.parameter([1, 1], np.float32, name="x")
    inside = opset8.parameter([1, 1], np.float32, name="inside")
    more = opset8.multiply(inside, opset8.constant(np.full((1, 1), 0.5, np.float32)))
    going_on = opset8.greater_equal(
        opset8.reduce_max(opset8.abs(more), np.array([0, 1])), opset8.constant(np.float32(-1))
    )
    body = openvino.Model([going_on, more], [inside], "body")
    loop = opset8.loop(opset8.constant(np.int64(-1)), opset8.constant(np.array(True)))
    loop.set_function(body)
    loop.set_special_body_ports([-1, 0])
    loop.set_merged_input(inside, x.output(0), more.output(0))
    out = loop.get_iter_value(more.output(0), -1)
    return saved(openvino.Model([out], [x], "endless")).packed()
