"""The Jetson target through the public way: variants in the bundle, proven, run, gated and reported; and what it does in float16."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

import onnx
from onnx import TensorProto, helper, numpy_helper

from converters import ConvertResult, convert
from converters.report import render_html, summary_lines
from converters.targets.jetson import build
from converters.targets.jetson.build import Builder, Candidate
from converters.targets.jetson.float16 import to_float16
from converters.targets.jetson.prove import prove_qdq
from converters.targets.jetson.run import ExactEngine, Runner
from converters.targets.jetson.search import Judge, Search
from converters.verify.parity import _Output
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.golden import check_golden
from edge_sdk.cli.inspect_bundle import onnx_verdict, variant_verdict
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import GateError, ModelError
from edge_sdk.tensors import TensorSpec
from tests import jetson_models as models
from tests import repair_models

CONTRACT = {"input": "image", "colour": "rgb", "range": [-1, 1], "resize": "stretch"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model and photos for it."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "net.tflite").write_bytes(models.residual_net())
    for name, seed in (("photos", 0), ("others", 1)):
        (folder / name).mkdir()
        rng = np.random.default_rng(seed)
        for number in range(40):
            cv2.imwrite(str(folder / name / f"{number:02d}.png"), rng.integers(0, 256, (16, 16, 3), np.uint8))
    return folder


def converted(data: Path, output: Path, **more: object) -> ConvertResult:
    settings = {"contract": CONTRACT, "task": "classify", "boards": ["jetson-orin-nano"], **more}
    return convert(data / "net.tflite", output=output, calibrate=data / "photos", holdout=data / "others", **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> ConvertResult:
    return converted(data, tmp_path_factory.mktemp("made") / "net.edge")


def test_the_bundle_holds_both_variants_and_the_board_runs_the_first(made: ConvertResult) -> None:
    with Bundle(made.bundle) as bundle:
        kinds = [variant.kind for variant in bundle.manifest.variants]
        assert kinds == ["tflite-int8", "onnx-qdq", "onnx-float16"]
        assert bundle.manifest.schema_version == 5
        for variant in bundle.manifest.variants[1:]:
            assert [(spec.shape, spec.dtype, spec.layout) for spec in variant.inputs] == [
                ((1, 3, 16, 16), "float32", "nchw")
            ]
            assert [(spec.shape, spec.dtype) for spec in variant.outputs] == [((1, 5), "float32")]
    assert [(run.name, run.variant) for run in made.figures.boards] == [("jetson-orin-nano", "onnx-qdq")]


def test_the_variants_run_and_reproduce_their_golden_vectors(made: ConvertResult) -> None:
    with Bundle(made.bundle) as bundle:
        for variant in bundle.manifest.variants[1:]:
            with open_engine("onnx", bundle.read(variant.file), {"providers": "cpu"}, isolation="none") as engine:
                checked = check_golden(bundle, variant, engine)
            assert checked is not None
            assert checked.passed
            assert checked.worst < 1e-5


def test_the_qdq_variant_in_the_bundle_is_proven(made: ConvertResult) -> None:
    with Bundle(made.bundle) as bundle:
        model = onnx.load_from_string(bundle.read("variants/onnx-qdq.onnx"))
        onnx.checker.check_model(model, full_check=True)
        proof = prove_qdq(model)
        assert proof.operators == bundle.manifest.variants[1].operators


def test_it_follows_float_about_as_well_as_int8_does(made: ConvertResult) -> None:
    qdq, half = made.figures.targets
    assert made.figures.parity is not None
    int8_db = made.figures.parity.outputs[0].sqnr_db
    assert int8_db is not None
    assert qdq.weakest_db is not None
    assert half.weakest_db is not None
    assert qdq.weakest_db > int8_db - 3
    assert half.weakest_db > 50
    assert qdq.with_float[0].name == "top-1 agreement"
    assert qdq.with_int8[0].value > 80


def test_the_opset_is_what_the_oldest_board_takes(data: Path, made: ConvertResult, tmp_path: Path) -> None:
    both = converted(data, tmp_path / "net.edge", boards=["jetson-orin-nano", "jetson-nano"], repair=False)
    for result, opset in ((made, 17), (both, 13)):
        with Bundle(result.bundle) as bundle:
            for variant in bundle.manifest.variants[1:]:
                assert onnx.load_from_string(bundle.read(variant.file)).opset_import[0].version == opset


def test_figures_are_on_the_page_and_in_the_summary(made: ConvertResult) -> None:
    page, lines = render_html(made.figures), "\n".join(summary_lines(made.figures))
    for target in made.figures.targets:
        assert f"<code>{target.variant}</code>" in page
        assert target.engine.split(",")[0] in page
        assert f"also {target.variant}" in lines
    assert "every zero point 0" in page
    assert "TensorRT may differ by" in page


def test_inspect_says_how_each_variant_computes(made: ConvertResult) -> None:
    with Bundle(made.bundle) as bundle:
        said = [variant_verdict(bundle, variant) for variant in bundle.manifest.variants]
    assert said[1].startswith("ONNX, quantized (QDQ): ")
    assert "4 Conv" in said[1]
    assert said[2].startswith("ONNX in float16: ")
    assert onnx_verdict(b"nothing").startswith("Damaged: ")


def test_a_failed_gate_writes_the_report_and_no_bundle(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "find_amax", lambda tensor, method: 1e-3)  # clips nearly everything
    with pytest.raises(GateError, match=r"top-1 agreement drops"):
        converted(data, tmp_path / "net.edge", max_drop="30%", repair=False)
    assert not (tmp_path / "net.edge").exists()
    page = (tmp_path / "net.report.html").read_text()
    assert "Refused: variant onnx-qdq loses more accuracy than allowed" in page


def test_without_onnx_the_bundle_goes_without_and_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = converted(data, tmp_path / "net.edge")
    assert not result.figures.targets
    assert any("pip install 'edge-device-sdk[onnx]'" in warning for warning in result.figures.warnings)


def test_the_same_input_gives_the_same_bytes(data: Path, made: ConvertResult, tmp_path: Path) -> None:
    again = converted(data, tmp_path / "net.edge")
    assert again.bundle.read_bytes() == made.bundle.read_bytes()


def searched(content: bytes, images: list, goal_db: float, budget_s: float = 600.0) -> Search:
    builder = Builder(lambda c: models.statistics_of(c, images), lambda: models.nchw(images), 17, "float32")
    judge = Judge(builder.graph(content).model, models.nchw(images))
    return Search(content, builder, judge, lambda: images, goal_db, budget_s, lambda action: None)


def test_search_and_repair_mend_channels_of_very_different_width() -> None:
    net = repair_models.wide_depthwise(3.0)
    images, _ = repair_models.gratings(32, 3)
    unseen, truth = repair_models.gratings(60, 5)
    real = models.outputs_of(models.graph_of(net, images).model, unseen)
    found = searched(net, images, 30.0)
    plain = models.outputs_of(found.built.model, unseen)
    found.search_ranges()
    done = found.repair()
    mended = models.outputs_of(found.built.model, unseen)
    assert repair_models.sqnr(real, mended) > repair_models.sqnr(real, plain) + 10
    assert repair_models.accuracy(mended, truth) >= repair_models.accuracy(real, truth) - 2
    assert found.best.content != net
    assert any(step.action.startswith("equalise") and step.kept for step in done.steps)
    prove_qdq(found.built.model, frozenset(found.best.left_out))


def test_the_search_ends_when_it_is_good_enough_or_out_of_time() -> None:
    images = models.residual_images(16, 3)
    met = searched(models.residual_net(), images, 1.0)
    met.search_ranges()
    assert met.repair().ended == "The goal is met."
    late = searched(models.residual_net(), images, 100.0, budget_s=0.0)
    late.search_ranges()
    assert late.repair().ended == "The time budget of 0 s is used up."
    assert late.best == Candidate(models.residual_net())


def test_the_worst_layers_are_left_out_last() -> None:
    images = models.residual_images(16, 3)
    found = searched(models.residual_net(), images, 100.0)
    found.search_ranges()
    actions = [step.action for step in found.repair().steps]
    assert "leave in floating point" in actions
    assert actions[: actions.index("leave in floating point")].count("equalise activations") > 0
    assert len(found.best.left_out) <= 1  # a tenth of its layers, but one at least


def test_float16_keeps_inputs_and_outputs_and_halves_the_weights() -> None:
    images = models.residual_images(8, 1)
    graph = models.graph_of(models.residual_net(), images)
    done = to_float16(graph.model, models.nchw(images))
    onnx.checker.check_model(done.model, full_check=True)
    assert not done.kept
    assert {entry.type.tensor_type.elem_type for entry in (*done.model.graph.input, *done.model.graph.output)} == {1}
    weights = [t for t in done.model.graph.initializer if len(t.dims) > 1]
    assert {t.data_type for t in weights} == {TensorProto.FLOAT16}
    real, half = (models.outputs_of(model, images) for model in (graph.model, done.model))
    assert repair_models.sqnr(real, half) > 55


def chain(factor: float) -> onnx.ModelProto:
    """x * factor / factor + 1, an activation that may not fit into a half."""
    values = {"f": np.array(factor, np.float32), "one": np.array(1, np.float32)}
    nodes = [
        helper.make_node("Mul", ["x", "f"], ["large"], "grow"),
        helper.make_node("Div", ["large", "f"], ["small"], "shrink"),
        helper.make_node("Add", ["small", "one"], ["y"], "add"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(v, n) for n, v in values.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_overflows_in_float16_stays_in_float32_and_is_said() -> None:
    model, x = chain(50_000.0), np.array([[1, 2, -3, 4]], np.float32)
    done = to_float16(model, [x])
    assert set(done.kept) == {"grow", "shrink"}
    assert done.kept["shrink"] == "'large' reaches 2e+05, and float16 ends at 65504"
    assert np.allclose(Runner(done.model).run(x)["y"], x + 1, rtol=1e-3)
    assert not to_float16(chain(10.0), [x]).kept


def test_what_a_half_cannot_tell_from_zero_stays_in_float32() -> None:
    """log(max(x, 1e-10)) of silence is a number, and minus infinity in float16."""
    nodes = [
        helper.make_node("Max", ["x", "least"], ["above"], "above"),
        helper.make_node("Log", ["above"], ["power"], "log"),
        helper.make_node("Mul", ["power", "ten"], ["y"], "scale"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    values = {"least": np.array(1e-10, np.float32), "ten": np.array(10, np.float32)}
    graph = helper.make_graph(
        nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(v, n) for n, v in values.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    done = to_float16(model, [np.array([[1, 2, 3, 4]], np.float32)])
    assert set(done.kept) == {"above", "log"}
    assert "NaN or infinite" in done.kept["log"]
    silence = np.zeros((1, 4), np.float32)
    assert np.allclose(Runner(done.model).run(silence)["y"], Runner(model).run(silence)["y"], rtol=1e-3)


def test_the_exact_engine_runs_what_is_written() -> None:
    model = models.qdq_of(models.residual_net(), models.residual_images(8, 1))
    with ExactEngine(model) as engine:
        image = models.nchw(models.residual_images(1, 2))[0]
        engine.input_arrays[0][...] = image
        assert np.array_equal(engine.run()[0], next(iter(Runner(model).run(image).values())))


def test_an_output_that_becomes_nan_is_an_error_and_no_figure() -> None:
    seen = _Output(TensorSpec("scores", (1, 2), "float32"))
    with pytest.raises(ModelError, match=r"output 'scores' becomes NaN or infinite"):
        seen.see(np.zeros((1, 2), np.float32), np.array([[0, np.nan]], np.float32))
