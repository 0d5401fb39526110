"""Models that come full-integer are proven and packed as they are; what compares with a float model is refused, or said to be missing."""

from __future__ import annotations

import json
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from converters import convert
from converters.conversion import ConvertResult
from converters.report import render_html, summary_lines
from converters.verify.prove import prove
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import check_golden
from edge_sdk.cli import group
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import ConfigError, ModelError, NotIntegerError
from tests.signal_models import keyword_net
from tests.streaming_model import sum_model
from tests.tiny_models import TinyModel, image_net

NOISE = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def int8_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 .tflite, taken out of a bundle that was made of a float one."""
    folder = tmp_path_factory.mktemp("classifier")
    np.save(folder / "noise.npy", NOISE)
    (folder / "net.tflite").write_bytes(image_net())
    image = {"input": "image", "colour": "rgb", "range": (0, 1), "resize": "stretch"}
    made = convert(
        folder / "net.tflite", output=folder / "net.edge", calibrate=f"{folder}/noise.npy?colour=rgb", contract=image
    )
    with Bundle(made.bundle) as bundle:
        (folder / "int8.tflite").write_bytes(bundle.read(bundle.variant().file))
    return folder / "int8.tflite"


def ready(model: Path, folder: Path, **told: object) -> ConvertResult:
    contract = {"input": "image", "colour": "rgb", "range": (0, 1), "resize": "stretch"}
    return convert(model, output=folder / "out.edge", **{"contract": contract, **told})  # type: ignore[arg-type]


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "stream.tflite"
    path.write_bytes(sum_model())
    return path


def test_it_is_packed_byte_for_byte_and_its_golden_vectors_are_reproduced(
    int8_classifier: Path, tmp_path: Path
) -> None:
    made = ready(int8_classifier, tmp_path)
    with Bundle(made.bundle) as bundle:
        variant = bundle.variant()
        assert (variant.id, variant.kind) == ("tflite-int8", "tflite-int8")
        assert bundle.read(variant.file) == int8_classifier.read_bytes()
        with open_engine("litert", bundle.read(variant.file), isolation="none") as engine:
            check = check_golden(bundle, variant, engine)
    assert check is not None and check.passed and check.inputs == 2


def test_the_report_says_that_no_accuracy_cost_is_known(int8_classifier: Path, tmp_path: Path) -> None:
    made = ready(int8_classifier, tmp_path)
    assert made.figures.proof.full_integer
    assert made.figures.parity is None and made.figures.calibration is None and made.figures.float_bytes is None
    text = "\n".join(summary_lines(made.figures))
    assert "Proven: full-integer int8" in text
    assert "there is no float model, so what quantization cost is not known" in text
    page = render_html(made.figures)
    assert page.count("what quantization cost is not known") == 2
    assert "None" not in page.replace("<p>None.</p>", "")
    assert json.loads(made.json.read_text())["parity"] is None


def test_its_accuracy_is_measured_on_ground_truth(int8_classifier: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "truth.npz", inputs=NOISE, truth=np.arange(12) % 4)
    truth = f"{tmp_path}/truth.npz?colour=rgb"
    made = ready(int8_classifier, tmp_path, evaluate=truth, task="classify")
    assert made.figures.evaluation is not None
    metric = made.figures.evaluation.metrics[0]
    assert (metric.name, metric.float_value, metric.drop, metric.samples) == ("top-1", None, None, 12)
    assert 0 <= metric.int8_value <= 100 and metric.int8_interval is not None
    assert any("top-1" in line and "% int8 (95 % interval" in line for line in summary_lines(made.figures))
    assert "top-1" in render_html(made.figures)


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"max_drop": "1%"}, "--max-drop cannot be judged: int8.tflite is full-integer already.* no float model"),
        ({"calibrate": "photos/"}, "--calibrate and --holdout are of no use"),
        ({"recipes": "int16x8"}, "--recipe is of no use"),
        (
            {"task": {"kind": "anomaly", "score": "output"}},
            r"threshold is a rule, .* int8.tflite is full-integer already",
        ),
    ],
)
def test_what_needs_a_float_model_is_refused_with_the_reason(
    told: dict[str, str], match: str, int8_classifier: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=match):
        ready(int8_classifier, tmp_path, **told)
    assert not list(tmp_path.iterdir())


def test_a_partly_quantized_model_stays_refused(tmp_path: Path) -> None:
    net = TinyModel()
    entry, middle, last = (
        net.tensor("input", (1, 4)),
        net.tensor("middle", (1, 4), dtype="INT8"),
        net.tensor("l", (1, 4)),
    )
    net.graph.tensors[middle].quantization = schema.QuantizationParametersT()
    net.graph.tensors[middle].quantization.scale = np.array([0.1], np.float32)
    net.graph.tensors[middle].quantization.zeroPoint = np.array([0], np.int64)
    net.operator("QUANTIZE", [entry], [middle])
    net.operator("DEQUANTIZE", [middle], [last])
    path = tmp_path / "partly.tflite"
    path.write_bytes(net.build([entry], [last]))
    with pytest.raises(
        ModelError, match=r"the model is quantized already: tensor 'middle' is int8.*integer from input to output"
    ):
        convert(path, output=tmp_path / "out.edge", contract={"input": "tensor"}, calibrate="x.npy")


def test_a_streaming_model_is_packed_and_begins_anew_for_each_golden_vector(stream: Path, tmp_path: Path) -> None:
    made = ready(stream, tmp_path, contract={"input": "tensor"})
    assert any("it keeps 1 variable from one run to the next" in note for note in made.figures.proof.notes)
    with Bundle(made.bundle) as bundle:
        variant = bundle.variant()
        for isolation in ("process", "none"):
            with open_engine("litert", bundle.read(variant.file), isolation=isolation) as engine:  # type: ignore[arg-type]
                engine.run()  # what a loop's warm-up leaves behind
                check = check_golden(bundle, variant, engine)
            assert check is not None and check.worst == 0


def test_a_streaming_model_is_inspected_and_measured(stream: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(group, ["inspect", str(stream)])
    assert found.exit_code == 0 and "Full-integer" in found.output
    assert "1 variable" in found.output and "streaming" in found.output
    made = ready(stream, tmp_path, contract={"input": "tensor"})
    for target in (stream, made.bundle):
        measured = CliRunner().invoke(group, ["bench", str(target), "--runs", "20"])
        assert measured.exit_code == 0, measured.output


def test_single_answers_do_not_judge_a_streaming_model(stream: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "truth.npz", inputs=np.zeros((4, 4), np.float32), truth=np.zeros(4, int))
    with pytest.raises(ConfigError, match="builds up over many"):
        ready(stream, tmp_path, contract={"input": "tensor"}, evaluate=f"{tmp_path}/truth.npz", task="classify")


def test_single_answers_do_not_judge_features_that_remember_either(tmp_path: Path) -> None:
    pytest.importorskip(
        "pymicro_features", reason="pymicro-features is not installed; it comes with the extra wake-word"
    )
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).uniform(0, 26, (20, 3, 40, 1)).astype(np.float32))
    (tmp_path / "net.tflite").write_bytes(keyword_net(frames=3))
    made = convert(
        tmp_path / "net.tflite",
        output=tmp_path / "net.edge",
        calibrate=tmp_path / "noise.npy",
        contract={"input": "tensor"},
    )
    with Bundle(made.bundle) as bundle:
        (tmp_path / "int8.tflite").write_bytes(bundle.read(bundle.variant().file))
    window = {"length": 480, "hop": 480, "rate_hz": 16_000, "channels": ["x"], "units": "full-scale", "gap": "drop"}
    contract = {"input": "window", "window": window, "features": {"kind": "micro-frontend"}}
    np.savez(tmp_path / "truth.npz", inputs=np.zeros((4, 480, 1), np.int16), truth=np.zeros(4, int))
    with pytest.raises(ConfigError, match="in its variables or its features"):
        ready(
            tmp_path / "int8.tflite",
            tmp_path,
            contract=contract,
            evaluate=f"{tmp_path}/truth.npz",
            task={"kind": "keyword"},
        )


def test_a_float_streaming_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "stream.tflite"
    path.write_bytes(sum_model(dtype="FLOAT32"))
    with pytest.raises(ModelError, match=r"keeps state between calls.*give the full-integer .tflite"):
        ready(path, tmp_path, contract={"input": "tensor"}, calibrate="x.npy")


def test_a_variable_of_floats_is_not_proven() -> None:
    with pytest.raises(NotIntegerError, match="of READ_VARIABLE"):
        prove(sum_model(dtype="FLOAT32"))


@pytest.mark.parametrize("broken", ["no CALL_ONCE", "no ASSIGN_VARIABLE", "another variable"])
def test_a_variable_without_a_first_value_is_refused(broken: str, tmp_path: Path) -> None:
    """ai-edge-litert would read what lies in memory."""
    model = schema.ModelT.InitFromPackedBuf(sum_model(), 0)
    main, start = model.subgraphs
    if broken == "no CALL_ONCE":
        main.operators = main.operators[1:]
    elif broken == "no ASSIGN_VARIABLE":
        start.operators = start.operators[:1]
    else:
        start.operators[0].builtinOptions.sharedName = "other"
    path = tmp_path / "stream.tflite"
    path.write_bytes(packed(model))
    with pytest.raises(ModelError, match=r"stream\.tflite: variable 'total' has no first value"):
        ready(path, tmp_path, contract={"input": "tensor"})


@pytest.mark.parametrize("index", [0, 2, 99, -1])
def test_an_initialiser_that_is_not_there_is_one_clean_error(index: int, tmp_path: Path) -> None:
    model = schema.ModelT.InitFromPackedBuf(sum_model(), 0)
    model.subgraphs[0].operators[0].builtinOptions.initSubgraphIndex = index
    path = tmp_path / "stream.tflite"
    path.write_bytes(packed(model))
    with pytest.raises(ModelError):
        ready(path, tmp_path, contract={"input": "tensor"})


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_further_subgraph_that_does_more_than_initialise_is_not_proven() -> None:
    model = schema.ModelT.InitFromPackedBuf(sum_model(), 0)
    model.operatorCodes[-1].builtinCode = model.operatorCodes[-1].deprecatedBuiltinCode = schema.BuiltinOperator.ABS
    with pytest.raises(ModelError, match="2 subgraphs; integer-only accelerators take one"):
        prove(packed(model))


def test_a_damaged_initialiser_is_one_clean_error(tmp_path: Path) -> None:
    content = sum_model()
    path = tmp_path / "cut.tflite"
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ModelError):
            ready(path, tmp_path, contract={"input": "tensor"}, calibrate="x.npy")
