"""Target openvino: the IR computes what the int8 model does, in int8, and what stands in its way is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.conversion import ConvertResult
from converters.targets.openvino import ir
from converters.targets.openvino.executed import executed
from converters.targets.openvino.ir import Converted, to_ir
from edge_sdk.bundle import Bundle, Variant
from edge_sdk.bundle.golden import check_golden
from edge_sdk.encoder import Encoder
from edge_sdk.engines import engine_for
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.errors import GateError, MissingPackageError, ModelError
from edge_sdk.tflite import describe
from tests.openvino_models import needs_openvino
from tests.streaming_model import sum_model
from tests.target_nets import converted, depthwise_net
from tests.tiny_models import TinyModel, options
from tests.tiny_quant_models import quantized

BOARDS = ("intel-npu", "movidius-ncs2")


@pytest.fixture(autouse=True)
def _openvino() -> None:
    needs_openvino()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ConvertResult:
    needs_openvino()
    return converted(tmp_path_factory.mktemp("made"), *BOARDS)


@pytest.fixture
def bundle(made: ConvertResult) -> Bundle:
    return Bundle(made.bundle)


@pytest.fixture
def int8(bundle: Bundle) -> tuple[bytes, Variant]:
    variant = bundle.variant("tflite-int8")
    return bundle.read(variant.file), variant


def _ir(int8: tuple[bytes, Variant]) -> Converted:
    content, variant = int8
    return to_ir(content, variant.inputs, variant.outputs)


def test_the_bundle_has_a_variant_for_each_kind_that_the_boards_run(made: ConvertResult, bundle: Bundle) -> None:
    assert [variant.kind for variant in bundle.manifest.variants] == ["tflite-int8", "openvino", "openvino-float16"]
    assert [(run.variant, run.runs_on) for run in made.figures.boards] == [
        ("openvino", "Intel NPU"),
        ("openvino-float16", "Movidius NCS2"),
    ]
    assert {engine_for(kind) for kind in ("openvino", "openvino-float16")} == {"openvino"}


@pytest.mark.parametrize("isolation", ["process", "none"])
@pytest.mark.parametrize("id_", ["openvino", "openvino-float16"])
def test_the_engine_finds_what_the_bundle_states(id_: str, isolation: Isolation, bundle: Bundle) -> None:
    variant = bundle.variant(id_)
    with open_engine("openvino", bundle.read(variant.file), isolation=isolation) as engine:
        engine.expect(variant.inputs, variant.outputs)
        assert [spec.name for spec in engine.inputs] == [spec.name for spec in variant.inputs]
        check = check_golden(bundle, variant, engine)
        assert check is not None and check.passed and check.inputs == 2


def test_inputs_and_outputs_are_those_of_the_int8_variant(bundle: Bundle) -> None:
    ours, theirs = bundle.variant("openvino"), bundle.variant("tflite-int8")
    assert (ours.inputs, ours.outputs) == (theirs.inputs, theirs.outputs)
    assert ours.inputs[0].dtype == "int8" and ours.inputs[0].scale > 0


def test_the_golden_vectors_tell_another_model_apart(bundle: Bundle, tmp_path: Path) -> None:
    other = converted(tmp_path, BOARDS[0], model=depthwise_net(seed=5))
    with Bundle(other.bundle) as others:
        content = others.read(others.variant("openvino").file)
    with open_engine("openvino", content, isolation="none") as engine:
        check = check_golden(bundle, bundle.variant("openvino"), engine)
    assert check is not None and not check.passed


def test_every_convolution_runs_in_int8_and_it_is_said(made: ConvertResult, int8: tuple[bytes, Variant]) -> None:
    found = executed(_ir(int8).archive)
    assert found.matrices == 3
    assert made.figures.targets[0].notes[0] == str(found)
    if found.integer == 0:
        pytest.skip(f"this processor has no int8: {found}")
    assert found.integer == 3


def test_without_settled_weights_the_depthwise_convolution_would_run_in_floating_point(
    int8: tuple[bytes, Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = _ir(int8)
    assert settled.settled == 1
    monkeypatch.setattr(ir, "settle_weights", lambda model: 0)
    plain = _ir(int8)
    assert executed(plain.archive).integer < executed(settled.archive).integer
    outputs = []
    for each in (plain, settled):
        with open_engine("openvino", each.archive.packed(), isolation="none") as engine:
            engine.input_arrays[0][...] = np.random.default_rng(0).integers(-128, 128, (1, 16, 16, 3))
            outputs.append(engine.run()[0].astype(int))
    assert np.abs(outputs[0] - outputs[1]).max() <= 2


def test_it_agrees_with_the_float_and_the_int8_model(made: ConvertResult) -> None:
    for figures in made.figures.targets:
        (with_float,), (with_int8,) = figures.with_float, figures.with_int8
        assert with_float.value >= 95 and with_int8.value >= 95
        assert figures.outputs[0].sqnr_db is None or figures.outputs[0].sqnr_db > 20
        assert figures.engine.startswith("openvino ") and figures.engine.endswith(" on CPU, f32, 1 thread")
        assert any("processor only" in note for note in figures.notes)


def test_the_same_model_is_the_same_bytes(int8: tuple[bytes, Variant]) -> None:
    assert _ir(int8).archive.packed() == _ir(int8).archive.packed()


def test_half_precision_halves_the_weights(int8: tuple[bytes, Variant]) -> None:
    content = depthwise_net()
    with open_engine("litert", content, isolation="none") as engine:
        whole, half = (to_ir(content, engine.inputs, engine.outputs, half=half) for half in (False, True))
    assert len(half.archive.weights) < 0.7 * len(whole.archive.weights)


def test_a_model_that_came_full_integer_gets_it_too(int8: tuple[bytes, Variant], tmp_path: Path) -> None:
    made = converted(tmp_path, *BOARDS, model=int8[0], calibrate=None)
    (warning,) = [said for said in made.figures.warnings if said.startswith("There is no variant")]
    assert "of kind openvino-float16: it is made of the float model, and this one came full-integer" in warning
    (figures,) = made.figures.targets
    assert (figures.kind, figures.with_float, figures.gate) == ("openvino", (), None)
    with Bundle(made.bundle) as bundle:
        variant = bundle.variant("openvino")
        with open_engine("openvino", bundle.read(variant.file), isolation="none") as engine:
            check = check_golden(bundle, variant, engine)
            assert check is not None and check.passed


def _truth(made: ConvertResult, folder: Path) -> Path:
    """Photos in folders named by what the int8 model says of them."""
    import cv2

    with Bundle(made.bundle) as bundle, open_engine("litert", bundle.read(bundle.variant().file)) as engine:
        encoder = Encoder(bundle.manifest.contract, bundle.variant().inputs[0])
        for number, image in enumerate(np.load(folder / "noise.npy")):
            encoder.encode(image, engine.input_arrays[0], colour="rgb")
            label = f"class{int(engine.run()[0].argmax())}"
            (folder / "truth" / label).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / "truth" / label / f"{number}.png"), image[:, :, ::-1])
    return folder / "truth"


def test_it_is_judged_by_the_right_answers_too(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class{number}" for number in range(4)))
    truth = _truth(converted(tmp_path, labels=labels), tmp_path)
    made = converted(tmp_path, *BOARDS, labels=labels, evaluate=truth, max_drop="20%")
    assert len(made.figures.targets) == 2
    for figures in made.figures.targets:
        assert figures.evaluation is not None and figures.gate is not None
        top1 = figures.evaluation.metrics[0]
        assert (figures.evaluation.samples, top1.name, figures.gate.basis) == (40, "top-1", "labels")
        assert top1.int8_value >= 85 and top1.float_value is not None
    with Bundle(made.bundle) as bundle:
        content = bundle.read(bundle.variant("tflite-int8").file)
    made = converted(tmp_path, BOARDS[0], model=content, calibrate=None, labels=labels, evaluate=truth)
    (ready,) = made.figures.targets
    assert ready.evaluation is not None and ready.gate is None
    assert ready.evaluation.metrics[0].float_value is None and ready.evaluation.metrics[0].int8_value >= 85


def _only_warning(made: ConvertResult) -> str:
    assert made.figures.targets == ()
    (warning,) = [said for said in made.figures.warnings if said.startswith("There is no variant of kind openvino")]
    return warning


def test_a_variant_that_fails_the_gate_is_refused_as_the_first_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(content: bytes, *given: object, **told: object) -> Converted:
        upside_down = converted(tmp_path / "other", model=depthwise_net(seed=5))
        with Bundle(upside_down.bundle) as bundle:
            variant = bundle.variant("tflite-int8")
            return to_ir(bundle.read(variant.file), variant.inputs, variant.outputs)

    (tmp_path / "other").mkdir()
    monkeypatch.setattr("converters.targets.openvino.make.to_ir", other)
    monkeypatch.setattr("edge_sdk.engines.Engine.expect", lambda *given: None)
    with pytest.raises(GateError, match=r"top-1 agreement drops by"):
        converted(tmp_path, BOARDS[0], max_drop="30%", repair=False)
    assert not list(tmp_path.glob("*.edge"))
    (page,) = tmp_path.glob("*.report.html")
    assert "Refused: variant openvino loses more accuracy than allowed" in page.read_text()


def test_without_the_package_the_bundle_goes_without_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingPackageError(
            "openvino", needed_for="engine openvino", install="pip install 'edge-device-sdk[openvino]'"
        )

    monkeypatch.setattr(ir, "load_openvino", missing)
    made = converted(tmp_path, BOARDS[0])
    assert "not installed. Run: pip install 'edge-device-sdk[openvino]'" in _only_warning(made)
    assert made.bundle.is_file()


def test_a_first_variant_that_is_not_int8_is_said(tmp_path: Path) -> None:
    made = converted(tmp_path, BOARDS[0], recipes="int16x8")
    assert "it is made of an int8 model, and the first variant is of kind tflite-int16x8" in _only_warning(made)


def test_a_model_with_variables_is_refused_with_openvinos_reason() -> None:
    content = sum_model()
    with (
        open_engine("litert", content, isolation="none") as engine,
        pytest.raises(ModelError, match=r"OpenVINO cannot read the .tflite model: .*RESOURCE"),
    ):
        to_ir(content, engine.inputs, engine.outputs)


def test_garbage_is_refused() -> None:
    with pytest.raises(ModelError, match=r"OpenVINO cannot read the .tflite model"):
        to_ir(b"garbage" * 99, (), ())


def length_net() -> bytes:
    """Pairs (1, 8, 2) -> their lengths (1, 8): a root of a sum, which becomes a table that is looked up by 16 bits."""
    net = TinyModel()
    pairs, squares = net.tensor("pairs", (1, 8, 2)), net.tensor("squares", (1, 8, 2))
    sums, lengths = net.tensor("sums", (1, 8)), net.tensor("lengths", (1, 8))
    net.operator("MUL", [pairs, pairs], [squares], options("Mul"))
    axis = net.constant("axis", np.array([2], np.int32))
    net.operator("SUM", [squares, axis], [sums], options("Reducer", keepDims=False))
    net.operator("SQRT", [sums], [lengths])
    return net.build([pairs], [lengths])


def test_a_table_is_not_read_behind_its_end() -> None:
    """In calibration no sum is above 1, so that LiteRT's int16 ends there."""
    one_of_two = [np.eye(2, dtype=np.float32)[np.arange(8) % 2][None] * scale for scale in np.linspace(0.1, 1, 16)]
    made = quantized(length_net(), one_of_two)[1].content
    with open_engine("litert", made, isolation="none") as litert:
        packed = to_ir(made, litert.inputs, litert.outputs).archive.packed()
        assert {"GATHER"} <= {operator.name for operator in describe(made).operators}
        with open_engine("openvino", packed, isolation="none") as openvino:
            for engine in (litert, openvino):
                engine.input_arrays[0][...] = litert.inputs[0].quantize(np.full((1, 8, 2), 0.9, np.float32))
            assert np.abs(litert.run()[0].astype(int) - openvino.run()[0]).max() <= 1


def autoencoder() -> bytes:
    """Windows (1, 64, 2) -> flat -> dense 16, ReLU -> dense 128 -> windows."""
    rng, net = np.random.default_rng(0), TinyModel()
    window, flat, small, wide = (
        net.tensor(n, s)
        for n, s in (("window", (1, 64, 2)), ("flat", (1, 128)), ("small", (1, 16)), ("wide", (1, 128)))
    )
    again = net.tensor("again", (1, 64, 2))
    shapes = [net.constant(f"shape{n}", np.array(shape, np.int32)) for n, shape in enumerate(([1, 128], [1, 64, 2]))]
    net.operator("RESHAPE", [window, shapes[0]], [flat], options("Reshape", newShape=[1, 128]))
    for source, made, sizes, fused in ((flat, small, (16, 128), 1), (small, wide, (128, 16), 0)):
        weights = net.constant(f"weights{made}", rng.normal(0, 0.1, sizes).astype(np.float32))
        bias = net.constant(f"bias{made}", np.zeros(sizes[0], np.float32))
        net.operator(
            "FULLY_CONNECTED", [source, weights, bias], [made], options("FullyConnected", fusedActivationFunction=fused)
        )
    net.operator("RESHAPE", [wide, shapes[1]], [again], options("Reshape", newShape=[1, 64, 2]))
    return net.build([window], [again])


@pytest.mark.parametrize("threads", [1, 2])
def test_dense_layers_that_follow_each_other_compute_what_litert_does(threads: int) -> None:
    rng = np.random.default_rng(1)
    samples = [rng.standard_normal((1, 64, 2)).astype(np.float32) for _ in range(40)]
    made = quantized(autoencoder(), samples)[1].content
    with open_engine("litert", made, isolation="none") as litert:
        packed = to_ir(made, litert.inputs, litert.outputs).archive.packed()
        with open_engine("openvino", packed, {"threads": threads}, isolation="none") as openvino:
            for sample in samples[:8]:
                for engine in (litert, openvino):
                    engine.input_arrays[0][...] = litert.inputs[0].quantize(sample)
                assert np.abs(litert.run()[0].astype(int) - openvino.run()[0]).max() <= 1
