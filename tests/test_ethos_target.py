"""Target ethos: what vela puts on the NPU, what it does not, and how the result runs through a delegate.

There is no Ethos-U where these tests run. The delegate that takes its operator here is that of ``tests/edgetpu_delegate``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import boards
from boards import Computer
from boards.profile import EthosU
from converters.conversion import ConvertResult
from converters.targets.ethos import vela
from converters.targets.ethos.make import _npu, find_mapping
from converters.targets.ethos.vela import run_vela
from edge_sdk.bundle import Bundle
from edge_sdk.engines import engine_for
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.engines.variants import missing_accelerator
from edge_sdk.errors import EngineError, MissingPackageError, ModelError
from edge_sdk.tflite import describe
from tests.edgetpu_delegate import Device, build, compiler
from tests.target_nets import converted, depthwise_net
from tests.tiny_models import TinyModel, between_convolutions, options

BOARD = "imx93"


@pytest.fixture(autouse=True)
def _vela() -> None:
    if importlib.util.find_spec("ethosu") is None:
        pytest.skip("vela is not installed; it comes with the extra ethos")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ConvertResult:
    if importlib.util.find_spec("ethosu") is None:
        pytest.skip("vela is not installed; it comes with the extra ethos")
    return converted(tmp_path_factory.mktemp("made"), BOARD)


@pytest.fixture(scope="module")
def npu() -> EthosU:
    board = boards.load(BOARD)
    assert isinstance(board, Computer) and board.ethos_u is not None
    return board.ethos_u


def test_the_variant_is_one_operator_for_the_npu_with_the_inputs_and_outputs_of_the_int8_one(
    made: ConvertResult,
) -> None:
    with Bundle(made.bundle) as bundle:
        ours, int8 = bundle.variant("ethos-u"), bundle.variant("tflite-int8")
        assert (ours.inputs, ours.outputs) == (int8.inputs, int8.outputs)
        assert ours.operators == {"ethos-u": 1}
        assert [operator.name for operator in describe(bundle.read(ours.file)).operators] == ["ethos-u"]
        assert ours.golden is not None and int8.golden is not None
        ours_golden, golden = bundle.arrays(ours.golden), bundle.arrays(int8.golden)
        assert ours_golden.keys() == golden.keys()
        assert all(np.array_equal(ours_golden[key], golden[key]) for key in golden)
        assert ours.golden_tolerance == int8.golden_tolerance


def test_the_figures_say_what_was_not_measured(made: ConvertResult) -> None:
    (figures,) = made.figures.targets
    assert figures.engine == "not run: there is no Ethos-U here"
    assert (figures.outputs, figures.with_float, figures.with_int8, figures.evaluation) == ((), (), (), None)
    where, estimate, not_run = figures.notes
    assert "7 of 7 operators on the ethos-u65-256" in where or "operators on the ethos-u65-256." in where
    assert estimate.startswith("By vela's estimate, which is no measurement, an inference takes ")
    assert "It could not be run here." in not_run
    assert made.figures.boards[0].runs_on == "Ethos-U"


def test_what_the_npu_does_not_take_stays_on_the_processor_and_is_named(tmp_path: Path) -> None:
    model = between_convolutions(
        "DEPTH_TO_SPACE",
        shape=(1, 4, 4, 8),
        output_shape=(1, 8, 8, 2),
        op_options=options("DepthToSpace", blockSize=2),
    )
    np.save(tmp_path / "numbers.npy", np.random.default_rng(0).uniform(-1, 1, (10, 4, 4, 8)).astype(np.float32))
    made = converted(
        tmp_path, BOARD, model=model, calibrate=str(tmp_path / "numbers.npy"), contract={"input": "tensor"}, task="raw"
    )
    (figures,) = made.figures.targets
    assert "; on the processor stay 1 DEPTH_TO_SPACE (Unsupported opType)." in figures.notes[0]
    with Bundle(made.bundle) as bundle:
        assert bundle.variant("ethos-u").operators["DEPTH_TO_SPACE"] == 1


def test_a_float_model_is_refused_although_vela_ends_well(npu: EthosU) -> None:
    content = depthwise_net()
    with pytest.raises(ModelError, match=r"puts nothing on the NPU: .*unsupported DataType Float32"):
        find_mapping(content, run_vela(content, npu))


def test_garbage_is_refused_with_velas_last_words(npu: EthosU) -> None:
    with pytest.raises(ModelError, match=r"vela ended with exit code 1. It said last: .*Compilation failed"):
        run_vela(b"garbage", npu)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import time; time.sleep(600)", "vela had not come back after 0.5 s, and was killed"),
        ("import os; os.kill(os.getpid(), 11)", r"vela crashed \(SIGSEGV\)"),
        ("print('done')", "vela ended well but left no compiled model. It said last: done"),
        (
            "import os; os.mkdir('out'); [open(f'out/model_{x}', 'w').write('a,b\\n1,2\\n') for x in ('vela.tflite', 'summary_x.csv')]",
            "vela's summary is of another form than that of release 5: KeyError",
        ),
    ],
)
def test_a_vela_that_hangs_crashes_or_leaves_nothing_is_one_clear_error(
    program: str, said: str, npu: EthosU, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vela, "_command", lambda npu: [sys.executable, "-c", program])
    with pytest.raises(ModelError, match=said):
        run_vela(b"", npu, timeout_s=0.5 if "sleep" in program else 60)


def test_a_changed_output_is_refused(made: ConvertResult, npu: EthosU, tmp_path: Path) -> None:
    with Bundle(made.bundle) as bundle:
        content = bundle.read(bundle.variant("tflite-int8").file)
    other = converted(tmp_path, model=depthwise_net(classes=5))
    with Bundle(other.bundle) as bundle:
        compiled = run_vela(bundle.read(bundle.variant().file), npu)
    with pytest.raises(
        ModelError, match=r"vela changed an output: it was 'scores' int8 1x4, .* it is 'scores' int8 1x5"
    ):
        find_mapping(content, compiled)


def test_without_vela_the_bundle_goes_without_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, npu: EthosU
) -> None:
    monkeypatch.setattr(vela, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'edge-device-sdk\[ethos\]'"):
        run_vela(b"", npu)
    made = converted(tmp_path, BOARD)
    assert made.figures.targets == ()
    assert any(said.startswith("There is no variant of kind ethos-u: compiling for") for said in made.figures.warnings)


def test_boards_with_different_npus_need_a_bundle_each(monkeypatch: pytest.MonkeyPatch, npu: EthosU) -> None:
    one = boards.load(BOARD)
    assert isinstance(one, Computer)
    other = one.model_copy(update={"name": "other", "ethos_u": npu.model_copy(update={"accelerator": "ethos-u85-512"})})
    monkeypatch.setattr(boards, "load", {BOARD: one, "other": other}.get)
    assert _npu((BOARD,)) == npu
    with pytest.raises(ModelError, match="imx93 and other have different NPUs"):
        _npu((BOARD, "other"))


def test_a_model_that_came_full_integer_is_compiled_too(made: ConvertResult, tmp_path: Path) -> None:
    with Bundle(made.bundle) as bundle:
        content = bundle.read(bundle.variant("tflite-int8").file)
    again = converted(tmp_path, BOARD, model=content, calibrate=None)
    assert [figures.kind for figures in again.figures.targets] == ["ethos-u"]


@pytest.fixture
def compiled(made: ConvertResult) -> bytes:
    with Bundle(made.bundle) as bundle:
        return bundle.read(bundle.variant("ethos-u").file)


def test_it_runs_in_the_interpreter_and_needs_the_npu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_for("ethos-u") == "litert"
    monkeypatch.setenv("EDGE_SDK_ROOT", str(tmp_path))
    assert missing_accelerator("ethos-u") == "Ethos-U"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/ethosu0").touch()
    assert missing_accelerator("ethos-u") == ""


def test_without_its_delegate_it_is_an_error_that_says_so(compiled: bytes) -> None:
    for given, named in (({}, "libethosu_delegate.so"), ({"delegate": "/nowhere/lib.so"}, "/nowhere/lib.so")):
        with pytest.raises(EngineError, match=f"compiled for Ethos-U, and its delegate {named} cannot be loaded: "):
            open_engine("litert", compiled, given, isolation="none")


def test_a_delegate_that_takes_another_operator_is_no_way_to_the_processor(
    compiled: bytes, edgetpu: Device, edgetpu_library: Path
) -> None:
    with pytest.raises(EngineError, match=r"with .*libedgetpu.so.1 refuses the model: .*unresolved custom op: ethos-u"):
        open_engine("litert", compiled, {"delegate": str(edgetpu_library)}, isolation="none")


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_the_delegate_runs_it(isolation: Isolation, edgetpu: Device, tmp_path: Path) -> None:
    """With the operator alone: vela's own has tensors of scratch memory, which only the NPU's delegate fills."""
    if compiler() is None:
        pytest.skip("there is no C compiler for the delegate in the place of Arm's: apt install gcc")
    net = TinyModel()
    entry, last = (net.tensor(name, (1, 4), dtype="INT8") for name in ("input", "output"))
    net.operator("ethos-u", [entry], [last])
    net.graph.operators[-1].customOptions = np.frombuffer(b"\x01", np.uint8)
    library = build(tmp_path, "ethos-u")
    with open_engine("litert", net.build([entry], [last]), {"delegate": str(library)}, isolation=isolation) as engine:
        assert " on Ethos-U by libedgetpu.so.1, 1 thread" in engine.description
        outputs = []
        for value in (1, 2, 1):
            engine.input_arrays[0][...] = value
            outputs.append(engine.run()[0].copy())
        assert np.array_equal(outputs[0], outputs[2]) and np.array_equal(outputs[1], outputs[0] + 1)


def test_other_models_load_no_delegate(made: ConvertResult) -> None:
    with Bundle(made.bundle) as bundle:
        content = bundle.read(bundle.variant("tflite-int8").file)
    with open_engine("litert", content, {"delegate": "/nowhere/lib.so"}, isolation="none") as engine:
        assert "Ethos" not in engine.description
