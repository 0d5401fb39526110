"""SavedModels: what to call and what reaches out is read from saved_model.pb before TensorFlow starts; old ones open too."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from converters.load import load
from converters.load.loaded import LoadOptions
from converters.load.saved_model_graph import read_saved_model
from edge_sdk.errors import ModelError
from edge_sdk.tflite import describe
from tests.test_load_keras import ends, right


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F)
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def node(name: str, operator: str, inputs: Sequence[str] = (), calls: str = "") -> bytes:
    called = field(5, field(1, "f") + field(2, field(10, field(1, calls)))) if calls else b""
    return field(1, name) + field(2, operator) + b"".join(field(3, each) for each in inputs) + called


def port(name: str, dtype: int, shape: Sequence[int], tensor: str) -> bytes:
    dims = b"".join(field(2, field(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, tensor) + field(2, dtype) + field(3, dims))


def signature(key: str, inputs: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
    ports = b"".join(field(1, each) for each in inputs) + b"".join(field(2, each) for each in outputs)
    return field(1, key) + field(2, ports)


def saved_model(
    nodes: Sequence[bytes],
    signatures: Sequence[bytes],
    functions: dict[str, Sequence[bytes]] | None = None,
    more: bytes = b"",
) -> bytes:
    library = b"".join(
        field(1, field(1, field(1, name)) + b"".join(field(3, each) for each in inside))
        for name, inside in (functions or {}).items()
    )
    graph = b"".join(field(1, each) for each in nodes) + field(2, library)
    info = field(4, "serve") + field(5, "2.5.0")
    meta = field(1, info) + field(2, graph) + b"".join(field(5, each) for each in signatures) + more
    return field(1, 1) + field(2, meta)


IMAGE = port("image", 1, (-1, 8, 8, 3), "entry:0")
SCORES = port("scores", 1, (-1, 4), "last:0")
NET = [node("entry", "Placeholder"), node("last", "Relu", ["entry"])]
DEFAULT = signature("serving_default", [IMAGE], [SCORES])


def refused(folder: Path, content: bytes, message: str, **options: str | bool) -> None:
    (folder / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        load(folder, LoadOptions(**options))
    assert str(caught.value).startswith(f"{folder}: ")


def test_the_graph_is_read_without_tensorflow() -> None:
    (graph,) = read_saved_model(saved_model(NET, [DEFAULT]))
    assert str(graph.signatures[0]) == "serving_default (image: float32 (?, 8, 8, 3) -> scores: float32 (?, 4))"
    assert (graph.written_by, graph.tags, graph.version_1) == ("2.5.0", ("serve",), True)
    assert list(graph.operators()) == [("Placeholder", "entry"), ("Relu", "last")]


def test_several_signatures_are_listed_with_their_ends(tmp_path: Path) -> None:
    both = [signature("a", [IMAGE], [SCORES]), signature("b", [port("x", 7, (), "t:0")], [SCORES])]
    listed = (
        r"\n  a \(image: float32 \(\?, 8, 8, 3\) -> scores: float32 \(\?, 4\)\)"
        r"\n  b \(x: string \(\) -> scores: float32 \(\?, 4\)\)"
    )
    refused(tmp_path, saved_model(NET, both), f"several signatures; say which one by --signature:{listed}")
    refused(
        tmp_path, saved_model(NET, both), f"no signature 'c'; name one of these by --signature:{listed}", signature="c"
    )
    refused(tmp_path, saved_model(NET, []), "has no signature, so nothing says what to call")


def test_inputs_that_are_not_converted(tmp_path: Path) -> None:
    two = signature("serving_default", [IMAGE, port("other", 1, (1, 2), "o:0")], [SCORES])
    refused(
        tmp_path, saved_model(NET, [two]), r"has 2 inputs \(image: .*; other: float32 \(1, 2\)\); models of one input"
    )
    text = signature("serving_default", [port("text", 7, (-1,), "entry:0")], [SCORES])
    refused(tmp_path, saved_model(NET, [text]), "input 'text' is string; a float model takes float32")


@pytest.mark.parametrize(
    ("operator", "why"),
    [
        ("EagerPyFunc", "runs Python code"),
        ("ReadFile", "reads files"),
        ("WriteFile", "writes files"),
        ("PrintV2", "writes files"),
        ("DataServiceDatasetV2", "opens a connection"),
    ],
)
def test_operators_that_reach_out_are_refused_wherever_they_stand(tmp_path: Path, operator: str, why: str) -> None:
    message = f"its graph reaches out of the model: {operator} \\({{}}\\) {why}.*give --trust if you trust it"
    refused(tmp_path, saved_model([*NET, node("odd", operator)], [DEFAULT]), message.format("odd"))
    functions = {"inner": [node("odd", operator)]}
    refused(tmp_path, saved_model(NET, [DEFAULT], functions), message.format("inner/odd"))


def test_what_protocol_buffers_merge_cannot_hide_an_operator(tmp_path: Path) -> None:
    """A message that stands twice is one of both: a second graph_def adds its nodes; a second graph has its own."""
    odd = field(2, field(1, node("odd", "ReadFile")))
    for more in (odd, field(2, field(2, field(1, field(1, field(1, "f")) + field(3, node("odd", "ReadFile")))))):
        refused(tmp_path, saved_model(NET, [DEFAULT], more=more), r"ReadFile \((f/)?odd\) reads files")
    second = field(2, field(1, field(4, "train")) + odd)
    refused(tmp_path, saved_model(NET, [DEFAULT]) + second, r"ReadFile \(odd\) reads files")
    refused(tmp_path, saved_model([*NET, node("last", "ReadFile")], [DEFAULT]), "a name stands in it twice")


SAVING = [node("save", "SaveV2"), node("restore_all", "NoOp", ["^last"])]


def test_saving_is_refused_where_loading_or_a_call_would_run_it(tmp_path: Path) -> None:
    message = r"reaches out of the model: SaveV2 \({}\) writes files"
    called = [node("entry", "Placeholder"), node("last", "Relu", ["entry", "^save"]), *SAVING]
    refused(tmp_path, saved_model(called, [DEFAULT]), message.format("save"))
    through = [node("entry", "Placeholder"), node("last", "PartitionedCall", ["entry"], calls="inner")]
    refused(
        tmp_path, saved_model(through, [DEFAULT], {"inner": [node("save", "SaveV2")]}), message.format("inner/save")
    )
    saver = field(3, field(3, "save"))
    refused(tmp_path, saved_model([*NET, *SAVING], [DEFAULT], more=saver), message.format("save"))
    begun = field(4, field(1, "main_op") + field(2, field(1, field(1, "save"))))
    refused(tmp_path, saved_model([*NET, *SAVING], [DEFAULT], more=begun), message.format("save"))
    concrete = field(7, field(2, field(1, "inner") + field(2, b"")))
    functions = {"inner": [node("save", "SaveV2")]}
    refused(tmp_path, saved_model(NET, [DEFAULT], functions, concrete), message.format("inner/save"))


def test_a_folder_that_is_not_whole(tmp_path: Path) -> None:
    refused(
        tmp_path,
        saved_model([*NET, node("w", "VarHandleOp")], [DEFAULT]),
        r"its weights are missing: .*variables\.index",
    )
    refused(tmp_path, b"", "has no graph in it")
    (tmp_path / "saved_model.pb").unlink()
    (tmp_path / "saved_model.pbtxt").write_text("meta_graphs {}")
    with pytest.raises(ModelError, match="text form, is not read"):
        load(tmp_path)


def test_damaged_graphs_are_clean_errors(tmp_path: Path) -> None:
    """Every one of these is missing its signature, or its framework, or is damaged."""
    whole, rng = (
        saved_model(NET, [signature("a", [IMAGE], [SCORES]), signature("b", [IMAGE], [SCORES])]),
        random.Random(3),
    )
    for _ in range(300):
        damaged = bytearray(whole[: rng.randrange(1, len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            read_saved_model(bytes(damaged))
        except ModelError as exc:
            assert "saved_model.pb" in str(exc)


@pytest.mark.slow
def test_old_and_new_ones(source_models: Path) -> None:
    found = load(source_models / "tensorflow_1")
    assert ends(found) == {"image": (1, 8, 8, 3), "scores": (1, 4)}
    assert right(found)
    assert found.notes == ("Saved by TensorFlow 1; opened as a graph.",)
    found = load(source_models / "saved_by_keras_2")
    assert ends(found) == {"picture": (1, 28, 28, 1), "scores": (1, 3)}
    assert right(found)
    assert found.format.startswith("SavedModel of TensorFlow 2.")


@pytest.mark.slow
def test_an_export_of_keras_3(source_models: Path) -> None:
    found = load(source_models / "exported")
    assert sorted(ends(found).values()) == [(1, 3), (1, 28, 28, 1), (1, 28, 28, 2)]
    assert right(found)
    assert found.notes[0].endswith("'serving_default' was converted.")


@pytest.mark.slow
def test_the_signature_that_is_asked_for(source_models: Path) -> None:
    folder = source_models / "two_signatures"
    with pytest.raises(ModelError, match=r"several signatures.*\n  both \(window: .*\n  scores \(features: "):
        load(folder)
    with pytest.raises(ModelError, match=r"input 'window' has the dynamic shape \(\?, \?, 6\).*--input-shape 1,128,6 "):
        load(folder, LoadOptions(signature="both"))
    found = load(folder, LoadOptions(signature="both", input_shape=(1, 10, 6)))
    assert ends(found) == {"window": (1, 10, 6), "a_best": (1, 3), "z_scores": (1, 3)}
    assert right(found)
    assert not any(operator.name == "SHAPE" for operator in describe(found.content).operators)


@pytest.mark.slow
def test_python_inside_and_weights_gone(source_models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"EagerPyFunc \(.*\) runs Python code"):
        load(source_models / "with_python")
    folder = tmp_path / "copy"
    shutil.copytree(source_models / "tensorflow_1", folder)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ModelError, match="its weights are missing"):
        load(folder)
