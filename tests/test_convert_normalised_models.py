"""Normalising: whatever form a float .tflite comes in, the later steps meet the same one, and it computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.interpreter import open_interpreter
from converters.load import FloatModel, load
from edge_sdk.tensors import Array
from edge_sdk.tflite import describe
from tests.tiny_models import TinyModel, between_convolutions, conv_options, image_net, options


def test_dynamic_batch_alone_is_fixed_to_one_and_said(tmp_path: Path) -> None:
    net = TinyModel()
    entry = net.tensor("input", (1, 4), signature=(-1, 4))
    last = net.tensor("last", (1, 4), signature=(-1, 4))
    net.operator("RELU", [entry], [last])
    path = tmp_path / "model.tflite"
    path.write_bytes(net.build([entry], [last]))
    model = load(path)
    assert model.notes == ("The dynamic batch of input 'input' was fixed to 1.",)
    assert not any(tensor.dynamic for tensor in describe(model.content).tensors)


def test_shape_arithmetic_of_a_fixed_batch_is_computed_once(tmp_path: Path) -> None:
    net = TinyModel()
    entry, shape = net.tensor("input", (1, 4), signature=(-1, 4)), net.tensor("shape", (2,), dtype="INT32")
    net.operator("SHAPE", [entry], [shape], options("Shape", outType=schema.TensorType.INT32))
    last = net.tensor("last", (1, 4), signature=(-1, 4))
    net.operator("RESHAPE", [entry, shape], [last], options("Reshape"))
    path = tmp_path / "model.tflite"
    path.write_bytes(net.build([entry], [last]))
    assert [operator.name for operator in describe(load(path).content).operators] == ["RESHAPE"]


def test_old_file_is_normalised(tmp_path: Path) -> None:
    """Operator codes in the deprecated field only, weights as float16 behind DEQUANTIZE, no signature, one name twice."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 4)).astype(np.float16)
    net = TinyModel()
    entry, half = net.tensor("input", (1, 4)), net.constant("weights", weights)
    whole, made, last = net.tensor("weights_f32", (4, 4)), net.tensor("same", (1, 4)), net.tensor("same", (1, 4))
    net.operator("DEQUANTIZE", [half], [whole])
    net.operator(
        "FULLY_CONNECTED",
        [entry, whole, net.constant("bias", np.zeros(4, np.float32))],
        [made],
        options("FullyConnected"),
    )
    net.operator("TANH", [made], [last])
    for code in net.model.operatorCodes:
        code.builtinCode = 0
    path = tmp_path / "old.tflite"
    path.write_bytes(net.build([entry], [last]))
    model = load(path)
    described = describe(model.content)
    assert [operator.name for operator in described.operators] == ["FULLY_CONNECTED", "TANH"]
    assert model.float16_weights_folded == 1
    assert [s.key for s in described.signatures] == ["serving_default"]
    names = [tensor.name for tensor in described.tensors]
    assert len(set(names)) == len(names)
    assert described.tensors[described.outputs[0]].name == "same"
    folded = schema.ModelT.InitFromPackedBuf(model.content, 0)
    stored = next(t for t in folded.subgraphs[0].tensors if t.name == b"weights_f32")
    values = folded.buffers[stored.buffer].data.view(np.float32).reshape(4, 4)
    np.testing.assert_array_equal(values, weights.astype(np.float32))


def test_lone_activation_is_fused_into_the_operator_before(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(image_net())
    model = load(path)
    assert "RELU" not in {operator.name for operator in describe(model.content).operators}
    assert model.notes == ("Activations fused into the operator before them: 1.",)


@pytest.mark.parametrize(("name", "constants"), [("NEG", ()), ("SQUARE", ()), ("POW", (np.array(2, np.float32),))])
def test_operator_with_an_integer_equivalent_is_rewritten(
    tmp_path: Path, name: str, constants: tuple[object, ...]
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(between_convolutions(name, constants=constants))
    model = load(path)
    assert "MUL" in {operator.name for operator in describe(model.content).operators}
    assert any(note.startswith(name) for note in model.notes)
    runs = [open_interpreter(content, optimised=False) for content in (path.read_bytes(), model.content)]
    for run in runs:
        shape = run.get_input_details()[0]["shape"]
        run.set_tensor(
            run.get_input_details()[0]["index"], np.linspace(-1, 1, np.prod(shape), dtype=np.float32).reshape(shape)
        )
        run.invoke()
    np.testing.assert_allclose(
        *(run.get_tensor(run.get_output_details()[0]["index"]) for run in runs), rtol=1e-6, atol=1e-6
    )


def operators(model: FloatModel) -> list[str]:
    return [operator.name for operator in describe(model.content).operators]


@pytest.mark.parametrize("read_by", ["another operator", "the model's outputs"])
def test_activation_is_not_fused_where_the_value_before_it_is_read(tmp_path: Path, read_by: str) -> None:
    net = TinyModel()
    entry, made, active, last = (net.tensor(name, (1, 2, 2, 3)) for name in ("input", "made", "active", "last"))
    kernel = net.constant("kernel", np.random.default_rng(0).normal(size=(3, 1, 1, 3)).astype(np.float32))
    net.operator("CONV_2D", [entry, kernel, net.constant("bias", np.zeros(3, np.float32))], [made], conv_options())
    net.operator("RELU", [made], [active])
    outputs = [active, made]
    if read_by == "another operator":
        net.operator("ADD", [active, made], [last], options("Add"))
        outputs = [last]
    path = tmp_path / "model.tflite"
    path.write_bytes(net.build([entry], outputs))
    model = load(path)
    assert operators(model)[:2] == ["CONV_2D", "RELU"]
    for before, after in zip(outputs_of(path.read_bytes()), outputs_of(model.content), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-6)


def outputs_of(content: bytes) -> list[Array]:
    run = open_interpreter(content, optimised=False)
    entry = run.get_input_details()[0]
    run.set_tensor(
        entry["index"], np.linspace(-1, 1, np.prod(entry["shape"]), dtype=np.float32).reshape(entry["shape"])
    )
    run.invoke()
    return [run.get_tensor(details["index"]) for details in run.get_output_details()]


def test_an_operator_that_nobody_reads_falls_away(tmp_path: Path) -> None:
    net = TinyModel()
    entry, last, unread = (net.tensor(name, (1, 4)) for name in ("input", "last", "unread"))
    net.operator("RELU", [entry], [last])
    net.operator("TANH", [entry], [unread])
    path = tmp_path / "net.tflite"
    path.write_bytes(net.build([entry], [last]))
    assert [operator.name for operator in describe(load(path).content).operators] == ["RELU"]
