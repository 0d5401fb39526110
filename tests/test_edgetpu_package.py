"""Compiled Edge TPU models: every field is read and shown, and nothing damaged or hostile does more than raise a ModelError."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.cli import main
from edge_sdk.cli.inspect_edgetpu import compiled_facts, compiled_lines
from edge_sdk.contract import Contract
from edge_sdk.edgetpu.builtin_operators import NAMES
from edge_sdk.edgetpu.executable import DmaHints
from edge_sdk.edgetpu.package import CompiledModel, read_compiled
from edge_sdk.errors import ModelError
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import TensorSpec
from edge_sdk.tflite import describe
from tests.edgetpu_files import (
    EXECUTION_ONLY,
    PARAMETER_CACHING,
    STAND_ALONE,
    End,
    ExecutableSpec,
    PackageSpec,
    compiled_model,
    custom_options,
    executable_bytes,
    model_with,
    package_bytes,
)
from tests.shared_data import edgetpu_pairs, needs_edgetpu_pairs

LONGEST_S = 5.0

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


def read(content: bytes) -> CompiledModel:
    found = read_compiled(content)
    assert found is not None
    return found


# Real files

FIGURES = {  # min runtime, cached, streamed, instructions, narrow memory, token; read with flatc and the schema of libedgetpu
    "deeplabv3_mnv2_dm05_pascal_quant": (12, 766720, 0, 160672, 192744, 0x36959A24102F7ACD),
    "keras_lstm_mnist_ptq": (12, 43968, 576, 60864, 4876, 0x6CAD28922F0B3DB3),
    "mobilenet_v1_0.25_128_quant": (12, 566912, 0, 170032, 8996, 0x6D146C3F97D6648C),
    "posenet_mobilenet_v1_075_353_481_16_quant_decoder": (12, 1444608, 0, 118368, 147648, 0x26254650B218322F),
    "split_concat": (13, 192, 0, 23648, 832, 0x0F5DAF073FCC3811),
}


@needs_edgetpu_pairs
@pytest.mark.parametrize(("original", "compiled"), edgetpu_pairs(), ids=lambda path: path.stem)
def test_real_compiled_models(original: Path, compiled: Path, inspect: Run):
    assert read_compiled(original.read_bytes()) is None
    model = read(compiled.read_bytes())
    (package,) = [operator.package for operator in model.operators]
    assert (model.refusal, package.signature_bytes, package.keypair_version) == ("", 0, 0)
    assert [executable.kind for executable in package.executables] == ["execution-only", "parameter-caching"]
    assert {executable.chip for executable in package.executables} == {"beagle"}
    assert model.tokens == {executable.parameter_caching_token for executable in package.executables}
    if original.stem in FIGURES:
        memory = package.executables[0].used_narrow_memory_bytes_per_tile
        sizes = (model.cached_bytes, model.streamed_bytes, model.instruction_bytes)
        assert (model.min_runtime_version, *sizes, memory, *model.tokens) == FIGURES[original.stem]
    described = describe(compiled.read_bytes())
    assert model.partitions + len(model.cpu_operators) == len(described.operators)
    assert [operator.name for operator in model.cpu_operators] == [
        operator.name for operator in described.operators if operator.name != "edgetpu-custom-op"
    ]
    by_name = {tensor.name: tensor for tensor in described.tensors}
    assert package.main is not None
    for layer in package.main.input_layers:
        tensor = by_name[layer.name]
        raised = {"int8": 128, "int16": 32768}.get(tensor.dtype, 0)
        assert (layer.scale, layer.zero_point) == (tensor.scales[0], tensor.zero_points[0] + raised)
        assert layer.dtype == tensor.dtype
        assert layer.size_bytes >= tensor.size_bytes
        assert tuple(n for n in layer.shape if n > 1) == tuple(n for n in tensor.shape if n > 1)
    code, out, _ = inspect(compiled)
    assert code == 0
    assert f"{model.cached_bytes:,} bytes of parameters stay on the chip" in out


# Every field, of made-up files


def test_every_field_is_read():
    ends = {
        "inputs": (End("image", (1, 8, 6, 3), "int8", 0.5, -3),),
        "outputs": (End("scores", (1, 5), "uint8", 0.25, 7), End("state", (1, 2), "int16", 0.125)),
    }
    main = ExecutableSpec(
        EXECUTION_ONLY,
        parameters=40,
        token=2**63 + 5,
        instructions=(16, 32),
        batch_size=2,
        scratch=64,
        cycles=11,
        cycles_64bit=2**40,
        narrow_memory=832,
        use_tpu_dram=True,
        name="net",
        chip="beagle_fpga",
        source=24,
        **ends,
    )
    caching = ExecutableSpec(PARAMETER_CACHING, parameters=1000, token=2**63 + 5, instructions=(8,))
    spec = PackageSpec((main, caching), runtime=12, compiler="cl/9", signature=64, keypair=3, identifier="mine")
    options = custom_options(spec, PackageSpec(runtime=10), _3=b"old one")
    model = read(model_with([options], ends["inputs"], ends["outputs"], cpu="RELU"))
    (operator,) = model.operators
    assert (operator.inputs, operator.outputs) == (("image",), ("scores", "state"))
    assert (operator.version, operator.execution_preference, operator.chips) == (1, -1, (18, 18))
    assert (operator.deprecated_bytes, operator.further_packages[0].min_runtime_version) == (7, 10)
    package = operator.package
    assert (package.min_runtime_version, package.compiler_version, package.signature_bytes) == (12, "cl/9", 64)
    assert (package.keypair_version, package.virtual_chip_id, package.model_identifier) == (3, 0, "mine")
    assert (package.main, package.caching) == package.executables
    first = package.executables[0]
    assert (first.kind, first.name, first.chip, first.version) == ("execution-only", "net", "beagle_fpga", 0)
    assert (first.model_bytes, first.batch_size, first.scratch_bytes) == (24, 2, 64)
    assert (first.instruction_chunks, first.instruction_bytes, first.parameter_bytes) == (2, 48, 40)
    assert (first.estimated_cycles, first.estimated_cycles_64bit, first.use_tpu_dram) == (11, 2**40, True)
    assert (first.used_narrow_memory_bytes_per_tile, first.parameter_caching_token) == (832, 2**63 + 5)
    assert first.dma_hints == DmaHints(2, 0, 0, 40, 0, 1, 0, 0, True)
    image, scores, state = *first.input_layers, *first.output_layers
    assert (image.shape, image.dtype, image.size_bytes) == ((8, 6, 3), "int8", 144)
    assert (image.scale, image.zero_point, image.executions) == (0.5, 125, 1)
    assert (scores.shape, scores.size_bytes, scores.zero_point) == ((1, 1, 5), 8, 7)
    assert (state.dtype, state.size_bytes, state.zero_point) == ("int16", 8, 32768)
    assert (model.cached_bytes, model.streamed_bytes, model.instruction_bytes) == (1000, 40, 48)
    assert (model.input_bytes, model.output_bytes, model.min_runtime_version) == (144, 16, 12)
    assert [(left.name, left.after_tpu) for left in model.cpu_operators] == [("RELU", True)]


def test_ranges_of_axes_and_repeated_transfers():
    ends = (End("x", (1, 2, 2, 3), ranges=((0, 0), (0, 7), (1, 3)), executions=28),)
    model = read(model_with([custom_options(PackageSpec((ExecutableSpec(inputs=ends, outputs=ends),)))]))
    (layer,) = model.operators[0].package.executables[0].input_layers
    assert (layer.shape, layer.executions, layer.size_bytes) == ((1, 8, 3), 28, 12)
    assert (model.input_bytes, model.output_bytes) == (28 * 12, 28 * 16)
    assert "12 x 28" in "\n".join(compiled_lines(model))


def test_options_behind_the_flatbuffer():
    """As converters write those of models larger than 2 GB."""
    content = model_with([b""])
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    operator = model.subgraphs[0].operators[0]
    options = custom_options(PackageSpec(runtime=11))
    operator.customOptions, operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize = None, 1, 1

    def packed() -> bytes:
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize = len(packed()), len(options)
    assert read(packed() + options).min_runtime_version == 11
    with pytest.raises(ModelError, match=r"bytes .* are wanted"):
        read_compiled(packed() + options[:-1])


def test_a_file_of_before_2020_states_operators_in_the_deprecated_field():
    model = schema.ModelT.InitFromPackedBuf(compiled_model(cpu="RELU"), 0)
    for code in model.operatorCodes:
        code.builtinCode = 0
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    found = read(bytes(builder.Output()))
    assert (found.partitions, [left.name for left in found.cpu_operators]) == (1, ["RELU"])


def test_a_bundles_variant_is_told_in_a_sentence(tmp_path: Path, inspect: Run):
    files = {"edgetpu.tflite": compiled_model(cached=5000, streamed=70, cpu="RELU")}
    spec = TensorSpec("image", (1, 8, 8, 3), "uint8", 0.0078125, 128)
    variant = Variant(id="edgetpu", kind="edgetpu", file="edgetpu.tflite", inputs=(spec,), outputs=(spec,))
    path, contract = tmp_path / "m.edge", Contract(input="tensor")
    stored = stored_files(files)
    manifest = Manifest(
        name="m", created_by="t", contract=contract, task=RawSettings(), variants=(variant,), files=stored
    )
    write_bundle(path, manifest, files)
    code, out, _ = inspect(path)
    assert code == 0
    said = "Compiled for the Edge TPU: 1 partition, 5,000 bytes cached on the chip, 70 streamed; runtime version 13"
    assert said in " ".join(out.split())


def test_every_field_is_shown(tmp_path: Path, inspect: Run):
    content = compiled_model(cached=5000, streamed=70, token=0xABC, runtime=14, cpu="RELU")
    path = tmp_path / "m_edgetpu.tflite"
    path.write_bytes(content)
    code, out, err = inspect(path)
    text = " ".join(out.split())
    assert (code, err) == (0, "")
    for said in (
        "partitions 1",
        "5,000 bytes of parameters stay on the chip",
        "70 bytes of parameters are sent at every inference",
        "64 bytes are sent at every inference",
        "libedgetpu of runtime version 14 or newer",
        "0x0000000000000abc",
        "1 operator: RELU",
        "type execution-only parameter-caching",
        "narrow memory, bytes per tile 832 0",
        "estimated cycles, 64 bits not stated",
        "runtime 14, compiler cl/123, not signed, key pair 0",
        "image 8x8x3 uint8 192 0.0078125 128",
    ):
        assert said in text, said
    found = json.loads(inspect(path, "--json")[1])["edgetpu"]
    assert found["caching_tokens"] == ["0x0000000000000abc"]
    assert found["cpu_operator_counts"] == {"RELU": 1}
    executable = found["operators"][0]["package"]["executables"][0]
    assert {field.name for field in dataclasses.fields(type(read(content).operators[0].package.executables[0]))} == set(
        executable
    )


def test_names_of_operators_are_those_of_the_interpreters_schema():
    numbers = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    assert [numbers[i] for i in range(len(NAMES))] == list(NAMES)
    assert len(NAMES) >= 150


def test_the_package_is_read_where_only_numpy_click_and_pydantic_are():
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('ai_edge_litert', 'flatbuffers', 'tflite_runtime', 'tensorflow')));"
        "from edge_sdk.edgetpu.package import read_compiled; print(read_compiled(sys.stdin.buffer.read()).cached_bytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=compiled_model(), capture_output=True, timeout=60, check=True
    )
    assert done.stdout.strip() == b"4096"


def test_inspect_without_the_schema_shows_the_packages(tmp_path: Path, inspect: Run, monkeypatch: pytest.MonkeyPatch):
    from edge_sdk import tflite

    path, plain = tmp_path / "m.tflite", tmp_path / "plain.tflite"
    path.write_bytes(compiled_model())
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    tflite._schema.cache_clear()
    code, out, _ = inspect(path)
    assert code == 0
    assert "4,096 bytes of parameters stay on the chip" in out
    assert "Tensors and signatures are not looked into" in " ".join(out.split())
    plain.write_bytes(compiled_model().replace(b"edgetpu-custom-op", b"another-custom-op"))
    code, _, err = inspect(plain)
    assert code == 1
    assert "ai_edge_litert" in err


# What follows from the fields


def test_parameters_of_a_stand_alone_executable_are_streamed():
    model = read(compiled_model(cached=0, streamed=300))
    assert (model.cached_bytes, model.streamed_bytes, model.tokens) == (0, 300, frozenset())
    assert "none: no parameters stay on the chip" in " ".join(" ".join(compiled_lines(model)).split())


def test_several_partitions_are_added_up():
    pair = (ExecutableSpec(EXECUTION_ONLY, 5, token=1), ExecutableSpec(PARAMETER_CACHING, 100, token=1))
    options = [custom_options(PackageSpec(pair, runtime=10)), custom_options(PackageSpec(runtime=13))]
    model = read(model_with(options))
    assert (model.partitions, model.cached_bytes, model.streamed_bytes) == (2, 100, 5)
    assert (model.min_runtime_version, model.instruction_bytes) == (13, 128)


def test_of_three_executables_the_runtime_takes_the_stand_alone_one():
    kinds = [(PARAMETER_CACHING, 100), (EXECUTION_ONLY, 20), (STAND_ALONE, 3)]
    specs = [ExecutableSpec(kind, parameters, token=5) for kind, parameters in kinds]
    model = read(model_with([custom_options(PackageSpec(specs))]))
    assert (model.refusal, model.cached_bytes, model.streamed_bytes, model.tokens) == ("", 0, 3, frozenset())


@pytest.mark.parametrize(("other", "together"), [(7, True), (8, False)])
def test_models_of_one_token_were_compiled_together(tmp_path: Path, inspect: Run, other: int, together: bool):
    paths = [tmp_path / "a_edgetpu.tflite", tmp_path / "b_edgetpu.tflite"]
    for path, token in zip(paths, (7, other), strict=True):
        path.write_bytes(compiled_model(token=token))
    code, out, _ = inspect(paths[0], "--beside", paths[1])
    assert code == 0
    assert ("Compiled together: both have one token" in out) is together
    assert ("Not compiled together: their tokens differ" in out) is not together
    assert json.loads(inspect(paths[0], "--beside", paths[1], "--json")[1])["beside"]["compiled_together"] is together


def test_models_that_cache_nothing_share_nothing():
    a = read(compiled_model(cached=0, streamed=9, token=7))
    assert not a.compiled_together_with(a)


def test_beside_needs_a_compiled_model(tmp_path: Path, inspect: Run):
    path = tmp_path / "m.tflite"
    path.write_bytes(compiled_model().replace(b"edgetpu-custom-op", b"another-custom-op"))
    code, _, err = inspect(path, "--beside", path)
    assert code == 2
    assert "--beside compares models compiled for the Edge TPU" in err


@pytest.mark.parametrize(
    ("spec", "refusal"),
    [
        (PackageSpec((ExecutableSpec(STAND_ALONE), ExecutableSpec(STAND_ALONE))), "several executables of one type"),
        (PackageSpec((ExecutableSpec(STAND_ALONE), ExecutableSpec(EXECUTION_ONLY))), "do not go together"),
        (PackageSpec(()), "it holds no executable"),
        (PackageSpec((ExecutableSpec(batch_size=0),)), "a batch of less than one input"),
        (PackageSpec(virtual_chip=-1), "several chips"),
        (PackageSpec(runtime=15), "it needs runtime version 15, and the newest known is 14"),
    ],
)
def test_what_the_runtime_refuses_is_said(spec: PackageSpec, refusal: str):
    model = read(model_with([custom_options(spec)]))
    assert refusal in model.refusal
    assert refusal in " ".join(" ".join(compiled_lines(model)).split())


# Hostile files


def test_a_model_without_the_operator_is_not_compiled():
    assert read_compiled(compiled_model().replace(b"edgetpu-custom-op", b"another-custom-op")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (b"", "bytes -1 to 0 are wanted"),
        (b"\x05\x04\x01", "a FlexBuffer map is expected and a value of type 1 found"),
        (b"\x00\x00\x00\x00\x00\x24\x03", "3 bytes wide"),
        (custom_options(b""), "has no package: its options have the keys 1, 4, 5, 6, 7"),
        (custom_options(b"DWN1"), "has b'' at bytes 4 to 8, not b'DWN1'. The file is damaged"),
        (custom_options(package_bytes(PackageSpec(), identifier=b"DWN2")), "has b'DWN2' at bytes 4 to 8"),
        (
            custom_options(PackageSpec((ExecutableSpec(kind=3),))),
            "executable 0 of package 0 .* is of type 3; known are",
        ),
        (custom_options(PackageSpec((ExecutableSpec(scratch=-1),))), "field 4 of a table states a size of -1"),
        (custom_options(PackageSpec((ExecutableSpec(inputs=(End("x", (1, 2), scale=float("nan")),)),))), "no number"),
        (custom_options(PackageSpec((ExecutableSpec(inputs=(End("x", (1,), ranges=((5, 0),)),)),))), "has the shape"),
    ],
)
def test_what_is_damaged_is_named(options: bytes, message: str):
    with pytest.raises(ModelError, match=message):
        read_compiled(model_with([options]))


def test_a_model_that_is_no_tflite_file():
    with pytest.raises(ModelError, match=r"not a \.tflite model"):
        read_compiled(b"PK edgetpu-custom-op")


def test_damage_is_one_clean_line(tmp_path: Path, inspect: Run):
    path = tmp_path / "m_edgetpu.tflite"
    path.write_bytes(compiled_model().replace(b"DWN1", b"DWN9"))
    code, out, err = inspect(path)
    assert (code, out) == (1, "")
    assert err.startswith("error: package 0 of operator 0 (edgetpu-custom-op) has b'DWN9' at bytes 4 to 8")
    assert "compile the model again" in err


@pytest.mark.parametrize(("name", "what"), [("", "entries"), ("n" * 4000, "letters")])
def test_a_table_referred_to_a_million_times_is_not_read_as_often(name: str, what: str):
    """Executables that are all one, with layers that are all one: what is read stays within the file's size."""
    builder = flatbuffers.Builder()
    text = builder.CreateString(name)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    layer = builder.EndObject()
    builder.StartVector(4, 20_000, 4)
    for _ in range(20_000):
        builder.PrependUOffsetTRelative(layer)
    layers = builder.EndVector()
    builder.StartObject(9)
    builder.PrependUOffsetTRelativeSlot(8, layers, 0)
    builder.Finish(builder.EndObject())
    started = time.monotonic()
    with pytest.raises(ModelError, match=f"{what} more it is above .*, all that is read of this file"):
        read_compiled(model_with([custom_options(_package_of([bytes(builder.Output())], 50_000))]))
    assert time.monotonic() - started < LONGEST_S


def test_a_key_without_an_end():
    keys, entries, root = (
        b"\x01\x01",
        b"\x01\x01\x01\x07\x04",
        b"\x02\x24\x01",
    )  # the key's letters lead to the end, without a zero
    crafted = keys + entries + root
    with pytest.raises(ModelError, match=r"a key at byte .* has no end"):
        read_compiled(model_with([crafted]))


def _package_of(executables: list[bytes], times: int) -> bytes:
    """A package that refers to the same executables again and again."""
    several = flatbuffers.Builder()
    places = [several.CreateString(executable) for executable in executables] * times
    several.StartVector(4, len(places), 4)
    for place in places:
        several.PrependUOffsetTRelative(place)
    vector = several.EndVector()
    several.StartObject(1)
    several.PrependUOffsetTRelativeSlot(0, vector, 0)
    several.Finish(several.EndObject())
    builder = flatbuffers.Builder()
    inner = builder.CreateByteVector(bytes(several.Output()))
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, inner, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"DWN1")
    return bytes(builder.Output())


def survives(content: bytes) -> None:
    """Read and shown in time, or a ModelError."""
    started = time.monotonic()
    with contextlib.suppress(ModelError):
        model = read_compiled(content)
        if model is not None:
            json.dumps(compiled_facts(model), allow_nan=False)
            list(compiled_lines(model))
    assert time.monotonic() - started < LONGEST_S


SMALL = compiled_model(cached=16, streamed=8, cpu="RELU")


def test_every_truncation_is_survived():
    for length in range(len(SMALL)):
        survives(SMALL[:length])


@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6
    )
)
def test_every_mutation_is_survived(changes: list[tuple[int, bytes]]):
    content = bytearray(SMALL)
    for at, new in changes:
        content[at : at + len(new)] = new
    survives(bytes(content[: len(SMALL)]))


@given(at=st.integers(8, len(SMALL) - 4), value=st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(SMALL)]))
def test_every_length_and_offset_may_be_extreme(at: int, value: int):
    survives(SMALL[:at] + struct.pack("<I", value) + SMALL[at + 4 :])


@given(options=st.binary(max_size=200))
def test_any_options_are_survived(options: bytes):
    survives(model_with([options]))


@given(executable=st.binary(max_size=200))
def test_any_executable_is_survived(executable: bytes):
    survives(model_with([custom_options(_package_of([executable], 1))]))


@given(
    kind=st.sampled_from([STAND_ALONE, PARAMETER_CACHING, EXECUTION_ONLY]),
    parameters=st.integers(0, 5000),
    token=st.integers(0, 2**64 - 1),
    instructions=st.lists(st.integers(0, 300), max_size=4),
    cycles=st.integers(0, 2**63 - 1),
    name=st.text(max_size=20),
)
def test_what_is_written_is_read(
    kind: int, parameters: int, token: int, instructions: list[int], cycles: int, name: str
):
    spec = ExecutableSpec(kind, parameters, token, instructions, cycles_64bit=cycles, name=name)
    assert executable_bytes(spec) == executable_bytes(spec)
    (found,) = read(model_with([custom_options(PackageSpec((spec,)))])).operators[0].package.executables
    assert (found.parameter_bytes, found.parameter_caching_token) == (parameters, token)
    assert (found.instruction_chunks, found.instruction_bytes) == (len(instructions), sum(instructions))
    assert (found.estimated_cycles_64bit, found.name) == (cycles, name)
