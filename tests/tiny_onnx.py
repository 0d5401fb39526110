"""Tiny ONNX models, one operator each, and what the imported .tflite computes beside ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from converters.graph import main_graph, operator_name, read_graph
from converters.interpreter import open_interpreter
from converters.load.onnx import Imported, import_onnx, reference

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node
_RNG = np.random.default_rng(0)


def f32(*shape: int) -> Any:
    """Weights of a fixed seed."""
    return _RNG.normal(0, 0.5, shape).astype(np.float32)


def i64(*numbers: Any) -> Any:
    """Such as axes or a shape."""
    return np.array(numbers, np.int64)


def model(
    nodes: list[Any],
    shape: Any = (1, 4, 6, 6),
    *,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 17,
    dtype: int = FLOAT,
    domains: tuple[str, ...] = (),
    **constants: Any,
) -> bytes:
    """A model of one input ``x``; ``constants`` become initializers."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=min(10, 8 if opset < 20 else 10)).SerializeToString()
    )


def operators(content: bytes) -> Counter[str]:
    """How often each .tflite operator occurs."""
    graph = read_graph(content)
    return Counter(operator_name(graph, operator) for operator in main_graph(graph).operators)


def compute(content: bytes, samples: Any) -> list[Any]:
    """For each output (n, *shape), as TensorFlow Lite's own kernels compute it."""
    interpreter = open_interpreter(content, optimised=False)
    entry, ends = interpreter.get_input_details()[0]["index"], main_graph(read_graph(content)).outputs
    made = []
    for sample in samples:
        interpreter.set_tensor(entry, sample)
        interpreter.invoke()
        made.append([interpreter.get_tensor(int(end)) for end in ends])
    return [np.stack(column) for column in zip(*made, strict=True)]


def agrees(content: bytes, *, tolerance: float = 1e-4, low: float = -3, high: float = 3, **how: Any) -> Imported:
    """Import, run both on the same samples, and compare: the difference is relative to the largest output."""
    imported = import_onnx(content, **how)
    shape = open_interpreter(imported.content).get_input_details()[0]["shape"]
    samples = np.random.default_rng(5).uniform(low, high, (2, *shape)).astype(np.float32)
    ours, theirs = compute(imported.content, samples), reference(content, samples, imported)
    assert len(ours) == len(theirs)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine.shape == wanted.shape
        if wanted.dtype.kind == "f":
            scale = max(float(np.abs(wanted).max()), 1e-3)
            assert np.abs(mine - wanted).max() <= tolerance * scale, np.abs(mine - wanted).max() / scale
        else:
            np.testing.assert_array_equal(mine, wanted)
    return imported


def chain(*nodes: Any, shape: Any = (1, 4, 6, 6), opset: int = 17, **constants: Any) -> bytes:
    """Nodes one behind the other, given as (operator, further inputs, attributes); the last makes ``y``."""
    made, before = [], "x"
    for place, (operator, further, attributes) in enumerate(nodes):
        after = "y" if place == len(nodes) - 1 else f"t{place}"
        made.append(node(operator, [before, *further], [after], **attributes))
        before = after
    return model(made, shape, opset=opset, **constants)
