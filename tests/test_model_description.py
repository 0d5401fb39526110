"""Reading a .tflite model: what a real one holds, and that nothing damaged or hostile does more than raise a ModelError."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.errors import ModelError
from edge_sdk.tflite import MAX_ITEMS, describe

LONGEST_S = 5.0


def test_a_real_model_is_described_as_the_interpreter_sees_it(face_model: Path) -> None:
    model = describe(face_model.read_bytes())
    interpreter = Interpreter(str(face_model))
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    for tensor in model.tensors:
        assert tensor.name == details[tensor.index]["name"]
        assert tensor.shape == tuple(details[tensor.index]["shape"])
        assert tensor.dtype == np.dtype(details[tensor.index]["dtype"]).name
    assert model.inputs == tuple(d["index"] for d in interpreter.get_input_details())
    assert model.outputs == tuple(d["index"] for d in interpreter.get_output_details())
    ops = interpreter._get_ops_details()
    assert [(op.name, op.inputs, op.outputs) for op in model.operators] == [
        (op["op_name"], tuple(op["inputs"]), tuple(op["outputs"])) for op in ops[: len(model.operators)]
    ]
    assert model.size_bytes == face_model.stat().st_size
    assert len(model.float_operators()) == len(model.operators) == 164
    weights = next(t for t in model.tensors if t.name == "conv2d/Kernel")
    assert (weights.constant, weights.dtype, weights.size_bytes) == (True, "float16", 24 * 5 * 5 * 3 * 2)


# A tiny model of two subgraphs, each detail told by the test


def tensor(name: str, buffer: int = 0, dtype: str = "INT8", **fields: object) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.buffer, made.type, made.shape = name, buffer, getattr(schema.TensorType, dtype), [1, 4]
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def operator(code: int, inputs: list[int], outputs: list[int]) -> schema.OperatorT:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
    return made


def graph(tensors: list[schema.TensorT], operators: list[schema.OperatorT]) -> schema.SubGraphT:
    made = schema.SubGraphT()
    made.tensors, made.operators, made.inputs, made.outputs = tensors, operators, [0], [len(tensors) - 1]
    return made


def tiny() -> schema.ModelT:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint, quantization.quantizedDimension = [0.5, 0.25], [0, 0], 1
    elu, other = schema.OperatorCodeT(), schema.OperatorCodeT()
    elu.builtinCode, elu.deprecatedBuiltinCode, elu.version = schema.BuiltinOperator.ELU, 111, 2
    other.builtinCode, other.customCode = schema.BuiltinOperator.CUSTOM, b"edgetpu-custom-op"
    weights, away = schema.BufferT(), schema.BufferT()
    weights.data = [1, 2, 3, 4]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.buffers = 3, [elu, other], [schema.BufferT(), weights, away]
    main = [tensor("in", shapeSignature=[-1, 4]), tensor("weights", 1, quantization=quantization), tensor("out")]
    body = [tensor("body in"), tensor("far", 2), tensor("body out", dtype="FLOAT32")]
    model.subgraphs = [graph(main, [operator(1, [0, 1, -1], [2])]), graph(body, [operator(0, [0], [2])])]
    return model


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_quantization_custom_operators_and_all_subgraphs_are_read() -> None:
    model = describe(packed(tiny()))
    first, second = model.operators
    assert (first.name, first.custom, first.inputs, first.outputs) == ("edgetpu-custom-op", True, (0, 1, -1), (2,))
    assert (second.name, second.custom, second.version, second.subgraph) == ("ELU", False, 2, 1)
    assert (second.inputs, second.outputs) == ((3,), (5,))
    weights = model.tensors[1]
    assert (weights.scales, weights.zero_points, weights.quantized_axis) == ((0.5, 0.25), (0, 0), 1)
    assert (weights.constant, model.tensors[0].constant) == (True, False)
    assert (model.tensors[0].dynamic, model.tensors[0].shape_signature) == (True, (-1, 4))
    assert [t.name for t in model.float_tensors()] == ["body out"]
    assert model.float_operators() == (second,)
    assert (model.inputs, model.outputs, model.subgraphs) == ((0,), (2,), 2)


def test_a_float_tensor_that_nothing_touches_is_no_float_tensor_of_the_model() -> None:
    model = tiny()
    model.subgraphs[1].operators[0].outputs = [0]
    assert describe(packed(model)).float_tensors() == ()


def test_content_behind_the_flatbuffer_must_be_in_the_file() -> None:
    model = tiny()
    model.buffers[2].offset, model.buffers[2].size = 10_000, 4
    content = packed(model).ljust(10_004, b"\0")
    assert describe(content).tensors[4].constant
    with pytest.raises(ModelError, match="cut off: tensor 'far' lies at bytes 10000 to 10004, the file has 10003"):
        describe(content[:-1])


def change(model: schema.ModelT, path: str, value: object) -> bytes:
    *way, last = path.split(".")
    item = model
    for step in way:
        item = item[int(step)] if step.isdigit() else getattr(item, step)
    setattr(item, last, value)
    return packed(model)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 4, "schema version 4; this reads 3"),
        ("subgraphs", [], "no subgraph"),
        ("subgraphs.0.operators.0.opcodeIndex", 7, "operator 0 has code 7; the model has 2"),
        ("subgraphs.0.operators.0.inputs", [0, 3], r"inputs \(0, 3\) are not all among the 3 tensors"),
        ("subgraphs.0.operators.0.inputs", [-2], "are not all among"),
        ("subgraphs.0.outputs", [99], "outputs .* are not all among"),
        ("subgraphs.0.tensors.0.type", 99, "unknown type 99"),
        ("subgraphs.0.tensors.0.shape", [-4], r"has shape \(-4,\)"),
        ("subgraphs.0.tensors.0.shape", [1] * 99, "states 99 numbers"),
        ("subgraphs.0.tensors.0.buffer", 99, "has buffer 99; the model has 3"),
        ("subgraphs.0.tensors.1.quantization.scale", [float("nan")], "a scale that is no number"),
    ],
)
def test_what_is_out_of_range_is_named(path: str, value: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        describe(change(tiny(), path, value))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\3\4" * 9, b"\0" * 64, b"\xff" * 4 + b"TFL3" + b"\xff" * 64])
def test_what_is_no_model_is_a_model_error(content: bytes) -> None:
    with pytest.raises(ModelError):
        describe(content)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_gives_a_description_or_a_model_error_soon(face_model: Path, data: st.DataObject) -> None:
    content = bytearray(face_model.read_bytes())
    structure = st.one_of(st.integers(0, 2_000), st.integers(len(content) - 60_000, len(content) - 5))
    words = st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"]) | st.binary(
        min_size=1, max_size=4
    )
    for at in data.draw(st.lists(structure, max_size=12)):
        word = data.draw(words)
        content[at : at + len(word)] = word
    length = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    began = time.monotonic()
    with contextlib.suppress(ModelError):
        describe(bytes(content[:length]))
    assert time.monotonic() - began < LONGEST_S


def sharing(name: str, count: int) -> bytes:
    """A hostile model that states one tensor ``count`` times over, at four bytes each."""
    builder = flatbuffers.Builder(1 << 16)
    text = builder.CreateString(name)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, text)
    shared = schema.TensorEnd(builder)
    schema.SubGraphStartTensorsVector(builder, count)
    for _ in range(count):
        builder.PrependUOffsetTRelative(shared)
    tensors = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    subgraph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(subgraph)
    subgraphs = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("name", "count", "message"), [("n", 2 * MAX_ITEMS, "more than its"), ("n" * 50_000, 5_000, "cannot hold")]
)
def test_lists_that_share_their_items_do_not_multiply_the_work(name: str, count: int, message: str) -> None:
    content = sharing(name, count)
    began = time.monotonic()
    with pytest.raises(ModelError, match=message):
        describe(content)
    assert time.monotonic() - began < LONGEST_S


def test_without_the_schema_the_message_says_where_to_look_at_models() -> None:
    program = (
        "import sys; sys.modules['ai_edge_litert'] = None\n"
        "from edge_sdk.errors import MissingPackageError\n"
        "from edge_sdk.tflite import describe\n"
        "try: describe(bytes(4) + b'TFL3')\n"
        "except MissingPackageError as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "needs ai_edge_litert" in done.stdout
    assert "64 bits" in done.stdout
