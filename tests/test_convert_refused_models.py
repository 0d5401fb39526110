"""Models that cannot be made integer are refused before any work, by name, with what to do."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.load import load
from converters.load.loaded import Reference
from converters.load.numeric_check import check_inputs, check_numbers, run_float
from converters.load.probe import probe
from edge_sdk.errors import ModelError
from tests.tiny_models import TinyModel, image_net, options


def refused(content: bytes, folder: Path, match: str, name: str = "model.tflite") -> None:
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def one_operator(name: str, *, dtype: str = "FLOAT32", op_options: object = None) -> bytes:
    net = TinyModel()
    entry, last = net.tensor("input", (1, 4), dtype=dtype), net.tensor("last", (1, 4), dtype=dtype)
    net.operator(name, [entry], [last], op_options)
    return net.build([entry], [last])


def test_not_a_model(tmp_path: Path) -> None:
    refused(b"GIF89a, and then some more bytes", tmp_path, "not a .tflite model")
    refused(b"", tmp_path, "not a .tflite model")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist; give a trained model"):
        load(tmp_path / "absent.tflite")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
def test_truncated(tmp_path: Path, share: float) -> None:
    content = image_net()
    refused(content[: int(len(content) * share)], tmp_path, "model")


def test_damaged_bytes_are_one_clean_error_or_a_model(tmp_path: Path) -> None:
    content, rng = image_net(), random.Random(7)
    path = tmp_path / "model.tflite"
    refusals = 0
    for _ in range(25):
        damaged = bytearray(content)
        for _ in range(4):
            struct.pack_into("<I", damaged, 8 + 4 * rng.randrange(len(content) // 4 - 4), rng.getrandbits(32))
        path.write_bytes(damaged)
        try:
            load(path)
        except ModelError:
            refusals += 1
    assert refusals > 5


def test_what_is_no_model_format_is_named(tmp_path: Path) -> None:
    refused(b"something", tmp_path, r"\.caffemodel was found; a model is \.keras, \.h5", "net.caffemodel")
    refused(b"something", tmp_path, "give the SavedModel's folder", "saved_model.pb")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match=r"a folder without a saved_model\.pb"):
        load(tmp_path / "folder")


def test_a_wrong_translation_is_an_error(tmp_path: Path) -> None:
    content = image_net()
    inputs = check_inputs((1, 16, 16, 3), (0, 1))
    right = run_float(content, inputs)
    assert check_numbers(content, Reference("itself", inputs, right)).difference == 0
    with pytest.raises(ModelError, match="translation is wrong: output 'scores' differs from itself by"):
        check_numbers(content, Reference("itself", inputs, (right[0][:, :, ::-1],)))
    with pytest.raises(ModelError, match="has shape"):
        check_numbers(content, Reference("itself", inputs, (right[0][..., None],)))


def test_custom_operator_is_named(tmp_path: Path) -> None:
    refused(one_operator("Landmarks2Matrix"), tmp_path, r"Landmarks2Matrix \(operator 0\) is a custom operator")


def test_loop_is_named(tmp_path: Path) -> None:
    refused(one_operator("WHILE"), tmp_path, r"WHILE \(operator 0\) runs a second subgraph")


def test_shape_that_depends_on_values_is_named(tmp_path: Path) -> None:
    net = TinyModel()
    entry, flags, places = (
        net.tensor("input", (1, 4)),
        net.tensor("flags", (1, 4), dtype="BOOL"),
        net.tensor("places", (4, 2), dtype="INT64"),
    )
    net.operator("GREATER", [entry, net.constant("zero", np.zeros(4, np.float32))], [flags], options("Greater"))
    net.operator("WHERE", [flags], [places])
    refused(net.build([entry], [places]), tmp_path, r"WHERE \(operator 1\)")


@pytest.mark.parametrize("signature", [(1, -1, -1, 3), (-1, 8, -1, 3)])
def test_dynamic_size_is_named(tmp_path: Path, signature: tuple[int, ...]) -> None:
    net = TinyModel()
    entry = net.tensor("photo", (1, 8, 8, 3), signature=signature)
    last = net.tensor("last", (1, 8, 8, 3))
    net.operator("RELU", [entry], [last])
    refused(net.build([entry], [last]), tmp_path, "'photo' has the dynamic shape.*batch of 1")


def test_quantized_model_is_refused(tmp_path: Path) -> None:
    net = TinyModel()
    entry, last = net.tensor("input", (1, 4), dtype="INT8"), net.tensor("last", (1, 4), dtype="INT8")
    for index in (entry, last):
        net.graph.tensors[index].quantization = schema.QuantizationParametersT()
        net.graph.tensors[index].quantization.scale = np.array([0.1], np.float32)
        net.graph.tensors[index].quantization.zeroPoint = np.array([0], np.int64)
    net.operator("RELU", [entry], [last])
    refused(net.build([entry], [last]), tmp_path, "quantized already: tensor 'input' is int8")


def test_text_and_double_precision_are_refused(tmp_path: Path) -> None:
    refused(one_operator("RESHAPE", dtype="STRING"), tmp_path, "'input' is string")
    refused(one_operator("RELU", dtype="FLOAT64"), tmp_path, "'input' is float64")


def test_several_inputs_are_named(tmp_path: Path) -> None:
    net = TinyModel()
    left, right, last = net.tensor("left", (1, 4)), net.tensor("right", (1, 4)), net.tensor("sum", (1, 4))
    net.operator("ADD", [left, right], [last], options("Add"))
    refused(net.build([left, right], [last]), tmp_path, "2 inputs .*'left', 'right'")


def test_output_that_is_a_constant_is_named(tmp_path: Path) -> None:
    net = TinyModel()
    entry, last = net.tensor("input", (1, 4)), net.tensor("last", (1, 4))
    net.operator("RELU", [net.constant("fixed", np.ones((1, 4), np.float32))], [last])
    refused(net.build([entry], [last]), tmp_path, "'last' does not depend on the input")


def test_model_that_the_interpreter_refuses_is_one_error(tmp_path: Path) -> None:
    net = TinyModel()
    entry, last = net.tensor("input", (1, 4)), net.tensor("last", (1, 4))
    net.operator("RESHAPE", [entry, net.constant("shape", np.array([3, 3], np.int32))], [last], options("Reshape"))
    refused(net.build([entry], [last]), tmp_path, "does not run")


def test_model_that_never_ends_is_stopped_by_the_probe() -> None:
    endless = Path(__file__).parents[1] / "edge_sdk" / "engines" / "endless.tflite"
    with pytest.raises(ModelError, match=r"hangs: one run had not come back after 1\.5 s"):
        probe(endless.read_bytes(), hang_ms=1500)


def test_several_signatures_without_a_default_are_named(tmp_path: Path) -> None:
    net = TinyModel()
    entry, last = net.tensor("input", (1, 4)), net.tensor("last", (1, 4))
    net.operator("RELU", [entry], [last])
    net.build([entry], [last])
    net.model.subgraphs.append(net.graph)
    net.model.signatureDefs = []
    for place, key in enumerate(("encode", "decode")):
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex, signature.inputs, signature.outputs = key, place, [], []
        net.model.signatureDefs.append(signature)
    builder = flatbuffers.Builder(1024)
    builder.Finish(net.model.Pack(builder), file_identifier=b"TFL3")
    refused(bytes(builder.Output()), tmp_path, "'encode', 'decode' and none called 'serving_default'")


def test_a_graph_without_operators_is_refused(tmp_path: Path) -> None:
    """The generated reader gives None for what a file leaves out; found by fuzzing."""
    net = TinyModel()
    entry = net.tensor("input", (1, 4))
    net.graph.operators = None
    refused(net.build([entry], []), tmp_path, "the model has no output")
