"""Keras files: what would run code is refused before anything is opened; the rest is opened by the Keras that wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from converters.load import load
from converters.load.input_shape import fixed_shape
from converters.load.keras_config import KerasConfig, refuse_code
from converters.load.loaded import FloatModel, LoadOptions
from edge_sdk.errors import MissingPackageError, ModelError
from edge_sdk.tflite import describe

DENSE = {
    "class_name": "Dense",
    "module": "keras.layers",
    "registered_name": None,
    "config": {"name": "scores", "units": 3},
}
VERSION = json.dumps({"keras_version": "3.15.1"}).encode()


def layer(class_name: str, name: str = "x", **more: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name, **more.pop("config", {})}, **more}


def model(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    inner = {"class_name": "Functional", "config": {"name": "inner", "layers": list(layers)}}
    return {"class_name": "Sequential", "config": {"name": "outer", "layers": [DENSE, inner]}, **more}


def archive(path: Path, config: object, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("config.json", config if isinstance(config, bytes | str) else json.dumps(config))
        made.writestr("metadata.json", members.pop("metadata", VERSION))
        made.writestr("model.weights.h5", members.pop("weights", b"\x89HDF\r\n\x1a\n"))
    return path


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (layer("Lambda", "twice"), r"layer 'twice' is a Lambda: it runs code that came with the file; give --trust"),
        (layer("Dense", config={"activation": {"class_name": "__lambda__", "config": {"value": ["4wE="]}}}), "Python lambda"),
        (layer("Mine", registered_name="pack>Mine"), r"layer 'x' is of the class pack>Mine, which is not part of Keras"),
        (layer("Custom>Mine"), "class Custom>Mine"),
        (layer("system", module="os"), "system of the module os"),
        (layer("get_file", module="keras.utils"), "module keras.utils"),
        (layer("load_model", module="keras.src.saving"), "module keras.src.saving"),
        (layer("function", module="builtins", config={}) | {"config": "eval"}, "function of the module builtins"),
        (layer("TorchModuleWrapper"), "pickled PyTorch module"),
        (layer("TFSMLayer", config={"filepath": "/etc"}), "loads a SavedModel from another place"),
        (layer("StringLookup", config={"vocabulary": "/etc/passwd"}), "reads the file /etc/passwd"),
        (layer("TFOpLambda", config={"function": "io.write_file"}), r"calls TensorFlow's io\.write_file"),
        (layer("TFOpLambda", config={"function": "numpy_function"}), "numpy_function"),
    ],
)  # fmt: skip
def test_code_is_refused_by_name(tmp_path: Path, found: dict[str, Any], message: str) -> None:
    path = archive(tmp_path / "model.keras", model(found))
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "found",
    [
        layer("Conv2D", module="keras.layers", registered_name=None),
        layer("Conv2D", module="keras.src.layers", registered_name="Conv2D"),
        layer("Conv2D", config={"activation": "relu"}),
        layer("TFOpLambda", config={"function": "math.multiply"}),
        layer("TFOpLambda", config={"function": "reshape"}),
        layer("SlicingOpLambda", config={"function": "__operators__.getitem"}),
        layer("StringLookup", config={"vocabulary": ["a", "b"]}),
        layer(
            "Dense", config={"dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}}
        ),
    ],
)
def test_what_is_part_of_keras_passes(found: dict[str, Any]) -> None:
    own_loss = {"loss": layer("Mine", registered_name="pack>Mine")}  # how it was trained is never loaded
    refuse_code(KerasConfig(model(found, compile_config=own_loss), "3.15.1"))


def test_which_keras_is_right() -> None:
    versions = {"3.0.0": False, "2.15.0": True, "2.0.5": True, "1.2.2": True, "": True}
    assert {version: KerasConfig({}, version).keras_2 for version in versions} == versions


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    whole = archive(path, model()).read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "damaged .keras archive"),
        (b"", "damaged .keras archive"),
        (b"no archive", "damaged .keras archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, not a .keras archive; name it .h5"),
    ):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=message):
            load(path)
    for config, message in (
        (b"{", "config.json is not JSON"),
        (b"[" * 100_000, "config.json is not JSON"),
        (b"[]", "config.json is list, not a table"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested more than 200 deep"),
    ):
        with pytest.raises(ModelError, match=message):
            load(archive(path, config))
    for outside in ("../../evil.txt", "/etc/evil", "a\\..\\..\\evil"):
        archive(path, model())
        with zipfile.ZipFile(path, "a") as made:
            made.writestr(outside, "x")
        with pytest.raises(ModelError, match="which lies outside of it"):
            load(path)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=r"model\.weights\.h5 is missing"):
        load(path)


def test_an_archive_that_unpacks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.load.archive._MAX_UNPACKED", 1 << 20)
    path = archive(tmp_path / "model.keras", model(), weights=bytes(10 << 20))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ModelError, match=r"unpacks to 10,\d+,\d+ bytes"):
        load(path)
    monkeypatch.setattr("converters.load.keras.MAX_CONFIG_BYTES", 1000)
    with pytest.raises(ModelError, match=r"config\.json has more than 1,000 bytes"):
        load(archive(path, " " * 2000))


def test_a_changed_byte_is_a_clean_error(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    whole = archive(path, model(layer("Lambda"))).read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(ModelError):
            load(path)


def test_hdf5_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(b"GIF89a")
    with pytest.raises(ModelError, match=r"is not an HDF5 file: it begins with b'GIF89a'"):
        load(path)
    with pytest.raises(ModelError, match=r"is a \.keras archive, not an HDF5 file; name it \.keras"):
        load(archive(path, model()))


@pytest.mark.parametrize(("package", "name"), [("tensorflow", "model.keras"), ("h5py", "model.h5")])
def test_a_missing_framework_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / f"{package}.py").write_text(f"raise ModuleNotFoundError('No module named {package}', name={package!r})")
    monkeypatch.setenv("PYTHONPATH", str(absent))
    path = archive(tmp_path / name, model()) if name.endswith("s") else tmp_path / name
    if name.endswith("h5"):
        path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MissingPackageError, match=rf"needs {package}, .*pip install 'edge-device-sdk\[keras\]'"):
        load(path)


@pytest.mark.parametrize(
    ("dims", "asked", "shape"),
    [
        ((None, 224, 224, 3), None, (1, 224, 224, 3)),
        ((1, 40), None, (1, 40)),
        ((None, None, None, 3), (1, 96, 128, 3), (1, 96, 128, 3)),
        (None, (1, 5), (1, 5)),
    ],
)
def test_the_shape_that_is_converted(
    dims: tuple[int | None, ...] | None, asked: tuple[int, ...] | None, shape: tuple[int, ...]
) -> None:
    assert fixed_shape("x", dims, asked) == shape


@pytest.mark.parametrize(
    ("dims", "asked", "message"),
    [
        ((None, None, None, 3), None, r"input 'x' has the dynamic shape \(\?, \?, \?, 3\).*--input-shape 1,224,224,3 "),
        ((None, None, 40), None, r"--input-shape 1,128,40 "),
        (None, None, r"the dynamic shape of unknown rank.*--input-shape 1,224,224,3 "),
        ((8, 224, 224, 3), None, "a batch of 8"),
        ((), None, "a single number"),
        (
            (None, 224, 224, 3),
            (1, 200, 224, 3),
            r"1,200,224,3 does not fit input 'x', whose shape is \(\?, 224, 224, 3\)",
        ),
        ((None, 4), (1, 4, 4), "does not fit"),
        ((None, None), (2, 4), "the batch, is 1"),
        ((None, None), (1, 0), "1 or more"),
    ],
)
def test_shapes_that_are_refused(
    dims: tuple[int | None, ...] | None, asked: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        fixed_shape("x", dims, asked)


@pytest.fixture(scope="session")
def saved(source_models: Path) -> Path:
    return source_models


def ends(found: FloatModel) -> dict[str, tuple[int, ...]]:
    graph = describe(found.content)
    return {graph.tensors[i].name: graph.tensors[i].shape for i in (*graph.inputs, *graph.outputs)}


def operators(found: FloatModel) -> set[str]:
    return {operator.name for operator in describe(found.content).operators}


def right(found: FloatModel) -> bool:
    return found.check.difference < 1e-5 and found.check.framework.startswith("TensorFlow 2.")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two.keras", "two.h5"])
def test_keras_3_by_its_own_names(saved: Path, name: str) -> None:
    found = load(saved / name)
    assert ends(found) == {"picture": (1, 28, 28, 1), "scores": (1, 3), "mask": (1, 28, 28, 2)}
    assert operators(found) == {"CONV_2D", "MUL", "RESHAPE", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
    assert found.format == f"Keras 3 {Path(name).suffix}"
    assert right(found)
    assert "opened by Keras 3" in found.notes[0]


@pytest.mark.slow
def test_keras_2_is_opened_by_keras_2(saved: Path) -> None:
    found = load(saved / "keras_2.h5")
    assert ends(found) == {"picture": (1, 28, 28, 1), "scores": (1, 3)}
    assert found.format == "Keras 2 .h5"
    assert right(found)
    assert "opened by Keras 2" in found.notes[0]


@pytest.mark.slow
def test_a_wrong_version_is_opened_by_the_other_keras(saved: Path, tmp_path: Path) -> None:
    """A file that says Keras 2 and is of Keras 3."""
    path = tmp_path / "two.keras"
    with zipfile.ZipFile(saved / "two.keras") as source, zipfile.ZipFile(path, "w") as made:
        for member in source.namelist():
            content = source.read(member)
            made.writestr(member, content.replace(b'"3.', b'"2.') if member == "metadata.json" else content)
    found = load(path)
    assert found.format == "Keras 3 .keras"
    assert "opened by Keras 3" in found.notes[0]
    assert found.notes[1].startswith("Keras 2 refused it: ")


@pytest.mark.slow
def test_short_loops_become_plain_operators(saved: Path) -> None:
    found = load(saved / "rnn.keras")
    assert operators(found).isdisjoint({"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"})
    assert right(found)
    assert "Loops unrolled into plain operators: 'forward_lstm' over 12 steps" in " ".join(found.notes)


@pytest.mark.slow
def test_a_long_loop_is_refused_by_its_layer(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"layer 'lstm_1' over 200 steps stays a loop.*up to 64 steps"):
        load(saved / "long_rnn.keras")


@pytest.mark.slow
def test_channels_first_becomes_nhwc(saved: Path) -> None:
    found = load(saved / "channels_first.keras")
    assert ends(found) == {"entry": (1, 16, 16, 3), "mask": (1, 7, 7, 2), "scores": (1, 3)}
    assert right(found)


@pytest.mark.slow
def test_mixed_precision_computes_in_float32(saved: Path) -> None:
    found = load(saved / "mixed.keras")
    assert right(found)
    assert "Layers that computed in 16 bits compute in float32 now" in " ".join(found.notes)


@pytest.mark.slow
def test_a_dynamic_shape_that_was_asked_for(saved: Path) -> None:
    found = load(saved / "dynamic.keras", LoadOptions(input_shape=(1, 20, 30, 3)))
    assert ends(found)["entry"] == (1, 20, 30, 3)
    assert right(found)


@pytest.mark.slow
def test_lambdas_are_refused_without_trust_and_run_with_it(saved: Path) -> None:
    for name in ("lambda.keras", "lambda.h5"):
        with pytest.raises(ModelError, match="layer 'twice' is a Lambda"):
            load(saved / name)
    assert right(load(saved / "lambda.h5", LoadOptions(trust=True)))


@pytest.mark.slow
def test_operators_that_tensorflow_lite_lacks_are_named(saved: Path) -> None:
    with pytest.raises(ModelError, match="TensorFlow Lite has no operator for Erfinv"):
        load(saved / "unknown_operator.keras")


@pytest.mark.slow
def test_several_inputs_are_refused_by_name(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"has 2 inputs \('left', 'right'\)"):
        load(saved / "two_inputs.keras")


@pytest.mark.slow
def test_hdf5_files_that_are_no_models(saved: Path, tmp_path: Path) -> None:
    for name in ("two.weights.h5", "keras_2_weights.h5"):
        with pytest.raises(ModelError, match="holds only weights, not the network"):
            load(saved / name)
    path = tmp_path / "model.h5"
    path.write_bytes((saved / "two.h5").read_bytes()[:3000])
    with pytest.raises(ModelError, match="damaged HDF5 file"):
        load(path)


def test_loading_imports_no_framework() -> None:
    code = "import sys, converters.load.keras, converters.load.saved_model, converters.load.torch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"tensorflow", "keras", "torch", "h5py"}.isdisjoint(done.stdout.split())
