"""``edge-sdk inspect``: what people and machines are told of a model or a bundle, and of files that are neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_sdk.bundle import Manifest, Variant, write_bundle
from edge_sdk.bundle.write import stored_files
from edge_sdk.cli import main
from edge_sdk.cli.inspect_bundle import openvino_verdict
from edge_sdk.cli.table import WIDTH, shorten, size, table
from edge_sdk.contract import Contract
from edge_sdk.openvino.archive import Archive
from edge_sdk.tasks import ClassifySettings
from edge_sdk.tensors import TensorSpec

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["edge-sdk", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def tiny_model(name: str = "scores", kind: str = "INT8") -> bytes:
    """One RELU from "in" (int8, scale 0.5, zero point 3) to an output of this name and type."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [0.5], [3]
    tensors = [schema.TensorT(), schema.TensorT()]
    for tensor, text, type_ in zip(tensors, ("in", name), ("INT8", kind), strict=True):
        tensor.name, tensor.shape, tensor.type = text, [1, 4], getattr(schema.TensorType, type_)
    tensors[0].quantization = quantization
    operator, graph, model = schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    operator.inputs, operator.outputs = [0], [1]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [operator], [0], [1]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def bundle(path: Path, model: bytes) -> Path:
    graph = b'<layer id="0" name="w" type="Const"/><layer name="q" type="FakeQuantize"/><layer name="c" type="Convolution"/>'
    files = {
        "m.tflite": model,
        "labels.txt": b"cat\ndog\n",
        "other.bin": b"123",
        "vino.zip": Archive(graph, b"").packed(),
    }
    spec = TensorSpec("in", (1, 4), "int8", 0.5, 3)
    variants = (
        Variant(
            id="tflite-int8",
            kind="tflite-int8",
            file="m.tflite",
            inputs=(spec,),
            outputs=(spec,),
            operators={"RELU": 1},
        ),
        Variant(id="openvino", kind="openvino", file="vino.zip", inputs=(spec,), outputs=(spec,)),
        Variant(id="mine", kind="null", file="other.bin", inputs=(spec,), outputs=(spec,)),
    )
    manifest = Manifest(
        name="pets",
        created_by="edge-sdk 9",
        contract=Contract(input="image", colour="rgb", range=(-1, 1), resize="letterbox", pad=9),
        task=ClassifySettings(kind="classify", top_k=3),
        labels="labels.txt",
        variants=variants,
        boards=("raspberry-pi-5",),
        measured={"top1": {"float": 0.9444, "int8": 0.9511}, "layers": list(range(99))},
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


def test_a_real_float_model_for_people(inspect: Run, face_model: Path) -> None:
    code, out, _ = inspect(face_model)
    assert code == 0
    for part in (
        "229.0 kB",
        "1x128x128x3",
        "regressors",
        "Operators: 164",
        "CONV_2D",
        "239 of 250 tensors",
        "integers",
    ):
        assert part in out
    assert max(map(len, out.splitlines())) <= WIDTH
    assert "conv2d/Kernel" not in out
    _, listed, _ = inspect(face_model, "--tensors")
    assert "conv2d/Kernel" in listed
    assert max(map(len, listed.splitlines())) <= WIDTH


def test_a_real_float_model_for_machines(inspect: Run, face_model: Path) -> None:
    found = json.loads(inspect(face_model, "--json")[1])
    assert (found["kind"], found["full_integer"], found["size_bytes"]) == ("tflite", False, 229_032)
    assert found["operators"]["CONV_2D"] == 21
    assert [tensor["name"] for tensor in found["outputs"]] == ["regressors", "classificators"]
    assert "tensors" not in found
    assert len(json.loads(inspect(face_model, "--json", "--tensors")[1])["tensors"]) == 250


def test_a_full_integer_model_is_said_to_be_one(inspect: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny_model())
    code, out, _ = inspect(path)
    assert code == 0
    assert "Full-integer: no operator takes or makes a floating-point tensor." in out
    assert "scale 0.5, zero point 3" in out


def test_what_is_float_is_named_with_its_operator(inspect: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny_model("half done", "FLOAT32"))
    _, out, _ = inspect(path)
    assert "1 of 2 tensors are floating-point, its output among them, in 1 of 1 operators" in out
    assert "RELU (operator 0)" in out and "half done" in out
    assert "fall back to the processor" in " ".join(out.split())


def test_names_cannot_command_the_terminal(inspect: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny_model("\x1b[31mred\r\nfaked line", "FLOAT32"))
    _, out, _ = inspect(path, "--tensors")
    assert "\x1b" not in out and "\r" not in out
    assert "[31mred" in out


def test_a_bundle_for_people(inspect: Run, tmp_path: Path) -> None:
    code, out, _ = inspect(bundle(tmp_path / "pets.edge", tiny_model()))
    assert code == 0
    for part in (
        "image, rgb, bytes 0..255 stand for -1..1, resize letterbox, filled with 9",
        "classify, top_k 3",
        "2: cat, dog",
        "raspberry-pi-5",
        "top1.int8 0.9511",
        "99 entries",
        "Whole: each of the 4 files has the size and the hash",
        "Full-integer",
        "OpenVINO, quantized: 1 FakeQuantize among 1 Convolution.",
        "Not looked into: other.bin is no .tflite model",
    ):
        assert part in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= WIDTH


def test_a_bundle_for_machines(inspect: Run, tmp_path: Path) -> None:
    found = json.loads(inspect(bundle(tmp_path / "pets.edge", tiny_model()), "--json")[1])
    assert found["kind"] == "bundle"
    assert found["manifest"]["measured"]["top1"] == {"float": 0.9444, "int8": 0.9511}
    assert found["labels"] == ["cat", "dog"]
    assert found["variants"]["tflite-int8"].startswith("Full-integer")


def test_a_bundle_with_a_float_or_damaged_variant_says_so(inspect: Run, tmp_path: Path) -> None:
    assert "Not full-integer" in inspect(bundle(tmp_path / "a.edge", tiny_model(kind="FLOAT32")))[1]
    assert "Damaged: not a .tflite model" in inspect(bundle(tmp_path / "b.edge", b"garbage here"))[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no bundle and no .tflite model"),
        (b"\x7fELF garbage", "it begins with b'\\x7fELF"),
        (b"\x10\0\0\0TFL3" + b"\xff" * 90, "not a whole .tflite model"),
        (b"PK\x03\x04garbage", "is not a bundle"),
    ],
)
def test_garbage_is_one_clean_line(inspect: Run, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(content)
    code, out, err = inspect(path)
    assert (code, out) == (1, "")
    assert message in err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_what_is_no_file_is_one_clean_line(inspect: Run, tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "is not a file"),
        (tmp_path / "x", "does not exist"),
        (Path("/dev/zero"), "is not a file"),
    ):
        code, out, err = inspect(path)
        assert (code, out) == (1, "")
        assert message in err and err.count("\n") == 1


def test_a_truncated_real_model_is_one_clean_line(inspect: Run, tmp_path: Path, face_model: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(face_model.read_bytes()[:100_000])
    code, _, err = inspect(path)
    assert code == 1 and err.startswith("error: ") and err.count("\n") == 1


def test_tables_fit_the_terminal() -> None:
    rows = [("a" * 150, "1"), ("b", "22")]
    lines = list(table(("name", "count"), rows, right=("count",)))
    assert max(map(len, lines)) == WIDTH
    assert lines[1].endswith("a      1") and "…" in lines[1]
    assert lines[2].endswith("   22")


def test_sizes_and_shortened_names() -> None:
    assert [size(n) for n in (0, 999, 1_000, 999_949, 999_950, 4_000_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "4.0 GB",
    ]
    assert [shorten("abcdefgh", n) for n in (8, 5, 2, 1)] == ["abcdefgh", "ab…gh", "a…", "…"]


def test_a_damaged_model_of_openvino_says_so() -> None:
    assert openvino_verdict(b"PK\3\4 garbage").startswith("Damaged: the model is not OpenVINO's")
    whole = Archive(b'<layer id="0" type="MatMul"/>', b"").packed()
    assert openvino_verdict(whole) == "OpenVINO in floating point: 1 MatMul."
