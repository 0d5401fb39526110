"""What a careless or hostile user gives to ``edge-sdk convert`` and ``edge-sdk sweep``: one message, one exit code, nothing half written.

Where the reader of a format or a part of the conversion has tests of its own, the item is tested there:

    ONNX with control flow              here: test_voice_activity_names_inputs_and_control_flow_at_once
                                        test_load_onnx_refused: test_control_flow_names_its_node, test_loop_is_refused
    ONNX with a custom operator         test_load_onnx_refused: test_every_problem_is_told_at_once_and_ten_at_most
    dynamic shapes                      here: test_text_detector_without_a_shape_with_a_wrong_one_and_with_a_right_one
                                        test_load_onnx_refused: test_dynamic_shape_needs_to_be_given
    Keras file with a Lambda            test_load_keras: test_lambdas_are_refused_without_trust_and_run_with_it
    SavedModel with several signatures  test_load_saved_model: test_several_signatures_are_listed_with_their_ends,
                                        test_the_signature_that_is_asked_for
    LSTM over a loop                    test_load_keras: test_short_loops_become_plain_operators, test_a_long_loop_is_refused_by_its_layer
    a model of 500 MB                   here: test_memory_of_a_large_model_is_a_few_times_its_size
    labels that do not match            here: test_one_message_and_one_exit_code
                                        test_convert_evaluation: test_classes_without_a_label_are_named_before_the_work
    a metric that does not fit          here: test_one_message_and_one_exit_code
                                        test_metrics: test_metric_that_does_not_fit_is_named_with_those_that_do
    one corrupt file among many         here: test_one_corrupt_file_is_told_in_terminal_page_and_figures
                                        test_calibration_sources: test_one_corrupt_image_among_500_is_skipped_named_and_counted
    out of memory                       here: test_too_little_memory_is_one_error
                                        test_load_worker: test_memory_is_limited
    a worker that dies in a sweep       test_sweep_cluster: test_a_worker_killed_in_the_middle_changes_nothing
                                        test_sweep: test_killed_processes_are_replaced
    archives that reach outside         test_load_keras: test_damaged_archives
                                        test_load_onnx_refused: test_weights_are_read_from_nowhere_else
    files that are none                 here: test_one_message_and_one_exit_code
                                        test_load_keras: test_hdf5_that_is_none
                                        test_load_torch: test_programs_that_are_none
    pickles and code without trust      here: test_one_message_and_one_exit_code
                                        test_load_torch: test_a_pickle_is_never_read_without_trust,
                                        test_pytorch_itself_may_not_fall_back_to_pickle
    settings that are nonsense          here: test_one_message_and_one_exit_code
    sound at another rate               test_calibration_sources: test_a_rate_that_differs_is_an_error_with_both
    windows longer than the file        test_calibration_sources: test_a_table_shorter_than_a_window_is_empty
    full disk                           here: test_disk_that_is_full_at_the_report_leaves_no_bundle
                                        test_convert_end_to_end: test_full_disk_is_one_error_and_changes_nothing
    Ctrl-C, SIGTERM, a dropped session  here: test_a_signal_while_loading_ends_everything
    operators without their options     here: test_operators_without_options_or_with_another_s_take_the_defaults
    NaN in weights                      here: test_nan_in_weights_is_named
    a constant output                   test_convert_refused_models: test_output_that_is_a_constant_is_named
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters import convert
from converters.load import load
from converters.load.loaded import Reference
from converters.load.numeric_check import check_numbers, run_float
from edge_sdk.cli import main
from edge_sdk.errors import ModelError, OutputError
from tests.tiny_models import TinyModel, image_net, options

CONTRACT = {"input": "image", "colour": "rgb", "range": [-1, 1], "resize": "stretch"}
FLAGS = ["--input", "image", "--colour", "rgb", "--range", "-1,1", "--resize", "stretch"]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A command changes what signals do, for the rest of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, 40 photos, labels, and right answers."""
    monkeypatch.chdir(tmp_path)
    Path("net.tflite").write_bytes(image_net())
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    for number in range(40):
        blocks = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((6, 6, 1), np.uint8))
        cv2.imwrite(f"photos/{number:02}.png", blocks)
    for name in ("a", "b", "dog"):
        Path("truth", name).mkdir(parents=True)
        Path("truth", name, "0.png").write_bytes(Path("photos/00.png").read_bytes())
    Path("four.txt").write_text("a\nb\nc\nd\n")
    Path("three.txt").write_text("a\nb\nc\n")
    Path("odd.toml").write_text("scheme = 'int8'\nbits = 4\n")
    Path("table.toml").write_text("[quantise]\nrecipe = 'int8'\n")
    Path("net.py").write_text("raise SystemExit('this ran')\n")
    Path("texts").mkdir()
    Path("texts", "1.txt").write_text("no image")
    Path("empty").mkdir()
    Path("rubbish.h5").write_bytes(bytes(range(256)))
    Path("folder.edge").mkdir()
    return tmp_path


def edge_sdk(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what went to the terminal."""
    monkeypatch.setattr(sys, "argv", ["edge-sdk", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


TRUTH = ["--task", "classify", "--labels", "four.txt", "--evaluate", "truth"]
CASES = {
    "labels of another number": ([*TRUTH[:2], "--labels", "three.txt"], 2, "there are 3 labels, and the model has 4 classes"),
    "no labels file": ([*TRUTH[:2], "--labels", "none.txt"], 2, "none.txt does not exist"),
    "a class without a label": (TRUTH, 1, "do not name: dog. The labels are a, b, c, d"),
    "a metric of another task": ([*TRUTH, "--metric", "mAP"], 2, "does not fit task classify.* are top-1, top-5"),
    "no such metric": ([*TRUTH, "--metric", "best"], 2, "'top-1', 'top-5', 'mAP'"),
    "no ground truth": ([*TRUTH[:4], "--evaluate", "none"], 1, "none does not exist; ground truth is"),
    "no such recipe": (["--recipe", "int7"], 2, "no recipe 'int7'. Did you mean int8"),
    "a recipe's unknown key": (["--recipe", "odd.toml"], 2, "odd.toml: bits: no such key; allowed are"),
    "an unknown table": (["--config", "table.toml"], 2, r"no such key: quantise; allowed are .*\[quantize\]"),
    "a drop of 1": (["--max-drop", "1"], 2, "is that 1 % or 1 times 100 %"),
    "a drop that is none": (["--max-drop", "abc"], 2, "'abc' is not a drop; give a percentage"),
    "a negative drop": (["--max-drop", "-1%"], 2, "'-1%' is not a drop"),
    "a budget that is none": (["--budget", "soon"], 2, "such as 90s, 10m or 1h; found 'soon'"),
    "a budget without a unit": (["--budget", "10"], 2, "found '10'"),
    "no calibration folder": (["--calibrate", "none"], 1, "none does not exist; data is"),
    "texts for images": (["--calibrate", "texts"], 1, "files that are not images: 1.txt"),
    "no such board": (["--board", "raspberry-pi-55"], 1, "Did you mean raspberry-pi-5"),
    "gray for colour": (["--colour", "gray"], 1, r"colour gray, shape \(1, height, width, 1\)"),
    "a detector without outputs": (["--task", "detect"], 2, "boxes: is missing(.|\n)*allowed are kind, boxes, scores"),
    "a folder as output": (["-o", "folder.edge"], 1, "folder.edge is a folder; give the name of a file"),
    "no such folder": (["-o", "none/net.edge"], 1, "the folder none does not exist; create it first"),
    "a shape of zero": (["--input-shape", "1,0,3"], 2, "--input-shape takes whole numbers"),
    "an empty folder": (["empty"], 1, r"empty is a folder without a saved_model.pb"),
    "rubbish": (["rubbish.h5"], 1, "is not an HDF5 file"),
    "a Python file without trust": (["net.py:model"], 1, "reading it runs it: give --trust if you trust it"),
    "no model": (["none.onnx"], 1, "none.onnx does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_one_exit_code(
    here: Path, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more, code, match = CASES[case]
    model = [] if more[0].startswith("-") else [more.pop(0)] if (more := list(more)) else []
    given = ["convert", *(model or ["net.tflite"]), *FLAGS, "--calibrate", "photos", "-o", "net.edge", *more]
    before = sorted(here.rglob("*"))
    ended, said = edge_sdk(*given, monkeypatch=monkeypatch, capsys=capsys)
    assert ended == code, said
    assert re.search(match, said), said
    assert "Traceback" not in said
    assert "this ran" not in said
    assert sorted(here.rglob("*")) == before


SWEEPS = {
    "no such recipe": (["--recipe", "int7"], 2, "no recipe 'int7'. Did you mean int8"),
    "no such range method": (["--ranges", "best"], 2, "no range method 'best'. There are minmax"),
    "no such board": (["--board", "none"], 1, "no board 'none'"),
    "a cluster without a scheduler": (["--backend", "dask"], 2, "--backend dask --scheduler tcp://HOST:8786"),
}  # fmt: skip


@pytest.mark.parametrize("case", SWEEPS)
def test_a_wrong_sweep_leaves_no_folder(
    here: Path, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more, code, match = SWEEPS[case]
    (here / "net.toml").write_text("[contract]\ninput='image'\ncolour='rgb'\nrange=[-1, 1]\nresize='stretch'\n")
    given = ["sweep", "net.tflite", "--calibrate", "photos", "-o", "made", *more]
    ended, said = edge_sdk(*given, monkeypatch=monkeypatch, capsys=capsys)
    assert ended == code, said
    assert re.search(match, said), said
    if case != "a cluster without a scheduler":  # the pool is opened after the points are planned
        assert not (here / "made").exists()


def test_one_corrupt_file_is_told_in_terminal_page_and_figures(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = here / "photos" / "20.png"
    photo.write_bytes(photo.read_bytes()[:60])
    given = ["convert", "net.tflite", *FLAGS, "--calibrate", "photos", "-o", "net.edge", "--no-repair"]
    ended, said = edge_sdk(*given, monkeypatch=monkeypatch, capsys=capsys)
    assert ended == 0, said
    figures = json.loads(Path("net.report.json").read_text())
    for told in (
        " ".join(said.split()),
        json.dumps(figures["calibration"]["notes"]),
        Path("net.report.html").read_text(),
    ):
        assert "1 of 40 samples could not be read" in told
        assert "20.png" in told
    assert figures["calibration"]["samples"] == figures["parity"]["samples"] == 39


def test_nan_in_weights_is_named(tmp_path: Path) -> None:
    net = TinyModel()
    x, y = net.tensor("x", (1, 3)), net.tensor("y", (1, 3))
    net.operator("ADD", [x, net.constant("bias", np.float32([1, np.nan, 3])), y][:2], [y], options("Add"))
    (tmp_path / "net.tflite").write_bytes(net.build([x], [y]))
    with pytest.raises(ModelError, match="1 of 3 numbers of constant 'bias' are NaN: the training diverged"):
        load(tmp_path / "net.tflite")


@pytest.mark.parametrize(("operator", "passes"), [("LOGISTIC", True), ("TANH", False)])
def test_sigmoids_near_zero_are_compared_by_what_float32_can_tell(operator: str, passes: bool) -> None:
    """Frameworks approximate a sigmoid to about 1e-7: no reason to call a detector wrong that sees nothing in noise."""
    net = TinyModel()
    x, made, y = net.tensor("x", (1, 4)), net.tensor("made", (1, 4)), net.tensor("y", (1, 2, 2))
    net.operator(operator, [x], [made])
    shape = net.constant("shape", np.array([1, 2, 2], np.int32))
    net.operator("RESHAPE", [made, shape], [y], options("Reshape", newShape=[1, 2, 2]))
    content, inputs = net.build([x], [y]), np.full((2, 1, 4), -13.8 if passes else 1e-6, np.float32)
    (right,) = run_float(content, inputs)
    assert right.max() < 1e-5
    other = Reference("another framework", inputs, ((right + 1e-7).astype(np.float32),))
    if passes:
        check_numbers(content, other)
        other = Reference("another framework", inputs, ((right + 1e-5).astype(np.float32),))
    with pytest.raises(ModelError, match="the translation is wrong"):
        check_numbers(content, other)


def test_operators_without_options_or_with_another_s_take_the_defaults(here: Path) -> None:
    net, rng = TinyModel(), np.random.default_rng(0)
    shapes = {"x": (1, 16, 16, 3), "flat": (1, 768), "made": (1, 8), "y": (1, 4)}
    x, flat, made, y = (net.tensor(name, shape) for name, shape in shapes.items())
    net.operator("RESHAPE", [x, net.constant("shape", np.array([1, 768], np.int32))], [flat])
    net.operator("FULLY_CONNECTED", [flat, net.constant("v", rng.normal(size=(8, 768)).astype(np.float32)), -1], [made])
    weights = net.constant("w", rng.normal(size=(4, 8)).astype(np.float32))
    net.operator("FULLY_CONNECTED", [made, weights, -1], [y], options("Softmax", beta=1.0))
    Path("net.tflite").write_bytes(net.build([x], [y]))
    assert "have the defaults: 2." in " ".join(load("net.tflite").notes)
    assert convert("net.tflite", output="net.edge", calibrate="photos", contract=CONTRACT, repair=False).bundle.exists()


def test_disk_that_is_full_at_the_report_leaves_no_bundle(here: Path) -> None:
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(name: str, done: int, total: int) -> None:
        if name == "report":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))

    files = sorted(here.rglob("*"))
    try:
        with pytest.raises(OutputError, match=r"net\.report.* File too large; nothing was changed"):
            convert("net.tflite", output="net.edge", calibrate="photos", contract=CONTRACT, repair=False, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(here.rglob("*")) == files


@pytest.mark.slow  # the child needs PyTorch
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed; it comes with the extra torch")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda v: str(int(v))
)
def test_a_signal_while_loading_ends_everything(here: Path, number: signal.Signals, code: int) -> None:
    told = here / "told"
    os.mkfifo(told)  # reading it waits for the child
    Path("net.py").write_text(
        "import os, pathlib, threading\n"
        f"pathlib.Path({str(told)!r}).write_text(str(os.getpid()))\nthreading.Event().wait()\n"
    )
    kept = here / "kept"
    kept.mkdir()
    command = [sys.executable, "-m", "edge_sdk.cli", "convert", "net.py", "--trust", *FLAGS, "--calibrate", "photos"]
    env = {**os.environ, "TMPDIR": str(kept), "PYTHONPATH": str(Path(__file__).parents[1])}
    working = subprocess.Popen([*command, "-o", "net.edge"], env=env, stderr=subprocess.PIPE, text=True)
    child = int(told.read_text())
    working.send_signal(number)
    _, said = working.communicate(timeout=30)
    assert working.returncode == code, said
    assert "Traceback" not in said
    assert list(kept.iterdir()) == []
    assert not Path("net.edge").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_too_little_memory_is_one_error(here: Path) -> None:
    """The limit is set once all libraries are loaded: what is left does not hold the model."""
    net = TinyModel()
    x, y = net.tensor("x", (1, 4096)), net.tensor("y", (1, 4096))
    net.operator("FULLY_CONNECTED", [x, net.constant("w", np.ones((4096, 4096), np.float32)), -1], [y])
    Path("large.tflite").write_bytes(net.build([x], [y]))
    code = (
        "import resource, sys; import converters.conversion, cv2, ai_edge_litert.interpreter; from edge_sdk.cli import main; "
        "pages = int(open('/proc/self/statm').read().split()[0]); "
        "resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (40 << 20),) * 2); main()"
    )
    command = [sys.executable, "-c", code, "convert", "large.tflite", *FLAGS, "--calibrate", "photos", "-o", "net.edge"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr
    assert "there is not enough memory; nothing was changed" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not Path("net.edge").exists()


@pytest.mark.slow
def test_memory_of_a_large_model_is_a_few_times_its_size(here: Path) -> None:
    """A stand-in for one of 500 MB: 128 MB of weights."""
    net, rng = TinyModel(), np.random.default_rng(0)
    x, flat, y = net.tensor("x", (1, 16, 16, 3)), net.tensor("flat", (1, 768)), net.tensor("y", (1, 10))
    net.operator("RESHAPE", [x, net.constant("shape", np.array([1, 768], np.int32))], [flat])
    before, width = flat, 768
    for number, wide in enumerate([4096, 7000]):
        weights = rng.standard_normal((wide, width), np.float32) / np.sqrt(np.float32(width))
        after = net.tensor(f"t{number}", (1, wide))
        relu = options("FullyConnected", fusedActivationFunction=1)
        net.operator("FULLY_CONNECTED", [before, net.constant(f"w{number}", weights), -1], [after], relu)
        before, width = after, wide
    last = rng.standard_normal((10, width), np.float32) / np.sqrt(np.float32(width))
    net.operator("FULLY_CONNECTED", [before, net.constant("w", last), -1], [y])
    content = net.build([x], [y])
    Path("large.tflite").write_bytes(content)
    code = (
        "from converters import convert; from pathlib import Path; "
        f"convert('large.tflite', output='net.edge', calibrate='photos', contract={CONTRACT!r}, repair=False); "
        "print([line.split()[1] for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')][0])"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    peak = int(ended.stdout) * 1024  # getrusage would have what this process had when it forked
    assert peak < 200e6 + 6.5 * len(content), f"{peak / 1e6:,.0f} MB for a model of {len(content) / 1e6:,.0f} MB"


@pytest.mark.slow
def test_voice_activity_names_inputs_and_control_flow_at_once() -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    from examples.assets.models import voice_activity

    with pytest.raises(
        ModelError, match=r"2 problems:\n.*3 inputs \('input', 'state', 'sr'\).*\n.*If 'If_0' .*control flow"
    ):
        load(voice_activity())


@pytest.mark.slow
def test_text_detector_without_a_shape_with_a_wrong_one_and_with_a_right_one() -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    from converters.load import LoadOptions
    from examples.assets.models import text_detector

    for shape, said in {
        None: "dynamic shape .*--input-shape 1,3,224,224",
        (3, 64, 64): "does not fit: give every axis",
        (1, 4, 64, 64): "does not fit",
        (2, 3, 64, 64): "the first number is the batch, which is 1",
    }.items():
        with pytest.raises(ModelError, match=said):
            load(text_detector(), LoadOptions(input_shape=shape))
    for side in (96, 160):  # of 96, every output is below 1e-5: it sees no text in noise
        assert load(text_detector(), LoadOptions(input_shape=(1, 3, side, side))).check.difference < 1e-3


def test_every_test_of_the_table_exists() -> None:
    """The table above is part of the tests: a line without its test is a line that nobody checks."""
    folder, file = Path(__file__).parent, ""
    assert __doc__ is not None
    for line in __doc__.splitlines()[4:]:
        found = re.search(r"(?:(here|test_\w+): )?(test_\w+(?:, test_\w+)*),?$", line)
        if found is None:
            continue
        file = found[1] or file
        source = Path(__file__) if file == "here" else folder / f"{file}.py"
        for name in found[2].split(", "):
            assert f"def {name}(" in source.read_text(), f"{file}: {name}"
