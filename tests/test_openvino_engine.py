"""Engine openvino: nothing by chance, nothing from a cache that does not fit, and every refusal with its reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import ConfigError, DeviceError, EngineError, EngineHangError
from edge_sdk.openvino.archive import Archive
from edge_sdk.openvino.library import check_execution
from tests.openvino_models import adding, endless, needs_openvino, summing

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _openvino() -> None:
    needs_openvino()


@pytest.fixture(params=["process", "none"])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    return request.param  # type: ignore[no-any-return]


def _run(options: dict[str, str], model: bytes | None = None, isolation: Isolation = "none") -> str:
    """The engine's description, once it has run."""
    with open_engine("openvino", model or adding().packed(), options, isolation=isolation) as engine:
        engine.input_arrays[0][...] = 2
        assert engine.run()[0].tolist() == [[3, 3, 3, 3]]
        return engine.description


def test_device_precision_and_threads_are_said() -> None:
    assert _run({"threads": "2"}).endswith(" on CPU, f32, 2 threads")
    assert " on CPU" in _run({"device": "AUTO"})


@pytest.mark.parametrize("device", ["GPU", "GPU.1", "NPU", "MYRIAD"])
def test_a_device_that_is_not_there_is_an_error_with_those_that_are(device: str, isolation: Isolation) -> None:
    with pytest.raises(EngineError, match=rf"finds no device {device}; it finds CPU \(.+\)") as caught:
        _run({"device": device}, isolation=isolation)
    assert isinstance(caught.value, DeviceError)


@pytest.mark.parametrize("device", ["TPU", "HETERO:CPU,GPU", "cpu", "GPU.x", "MULTI"])
def test_a_device_of_another_form_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=f"device is CPU, GPU, GPU.1, NPU, MYRIAD or AUTO; found '{device}'"):
        _run({"device": device})


@pytest.mark.parametrize(
    ("wanted", "executed", "said"),
    [
        ("GPU", ["CPU"], "device GPU was asked for, and OpenVINO runs the model on CPU"),
        ("GPU.1", ["GPU.0"], "on GPU.0"),
        ("NPU", [], "on none"),
        ("CPU", ["CPU", "GPU.0"], r"on CPU, GPU\.0"),
    ],
)
def test_another_device_than_the_one_asked_for_is_an_error(wanted: str, executed: list[str], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        check_execution(wanted, executed)


@pytest.mark.parametrize(
    ("wanted", "executed", "runs_on"),
    [("GPU", ["GPU.0"], "GPU.0"), ("GPU.0", "GPU", "GPU"), ("AUTO", ["(CPU)"], "CPU"), ("MYRIAD", None, "MYRIAD")],
)
def test_the_device_asked_for_under_its_other_names(wanted: str, executed: object, runs_on: str) -> None:
    assert check_execution(wanted, executed) == runs_on


@pytest.mark.parametrize("precision", ["f64", "int8", "F32"])
def test_a_precision_that_there_is_not_is_refused(precision: str) -> None:
    with pytest.raises(ConfigError, match=f"precision is f32, f16, bf16; found '{precision}'"):
        _run({"precision": precision})


@pytest.mark.parametrize("precision", ["f16", "bf16"])
def test_a_precision_is_kept_or_refused(precision: str) -> None:
    """Which of the two a processor has differs; OpenVINO takes another in its place, and says nothing."""
    try:
        assert f", {precision}," in _run({"precision": precision})
    except EngineError as exc:
        assert f"precision {precision} was asked for, and OpenVINO runs the model on CPU in" in str(exc)


def test_a_precision_that_openvino_replaces_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"EXECUTION_DEVICES": ["CPU"], "INFERENCE_PRECISION_HINT": "<Type: 'bfloat16'>"}
    monkeypatch.setattr("edge_sdk.engines.openvino._property", lambda made, name: told[name])
    with pytest.raises(
        EngineError, match="precision f16 was asked for, and OpenVINO runs the model on CPU in bf16; name"
    ):
        _run({"precision": "f16"})
    assert ", bf16," in _run({"precision": "bf16"})


def test_threads_are_a_number() -> None:
    with pytest.raises(ConfigError, match="threads is a number from 1 to 64; found 'all'"):
        _run({"threads": "all"})


def _zip(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return content.getvalue()


HOSTILE = {
    "garbage": (lambda m: b"garbage" * 99, "File is not a zip file"),
    "empty": (lambda m: b"", "File is not a zip file"),
    "no entry": (lambda m: _zip({}), "it holds nothing"),
    "a path": (lambda m: _zip({"../model.xml": m.graph, "model.bin": m.weights}), r"it holds '\.\./model\.xml'"),
    "a further entry": (lambda m: _zip({"model.xml": m.graph, "model.bin": b"", "x": b""}), "'x'"),
    "twice the graph": (lambda m: _zip({"model.xml": m.graph, "./model.xml": b""}), r"it holds 'model.xml', '\./model.xml'"),
    "compressed": (lambda m: _zip({"model.xml": m.graph, "model.bin": b""}, zipfile.ZIP_DEFLATED), "is compressed"),
    "cut": (lambda m: m.packed()[:-30], "not a zip file"),
    "a flipped bit": (lambda m: m.packed().replace(b"<layer", b"<mayer", 1), "Bad CRC-32"),
    "a size that is not": (lambda m: m.packed().replace(*_sizes(m)), "model.bin"),
    "half a graph": (lambda m: Archive(m.graph[:500], m.weights).packed(), "refuses the model: .* at offset 499"),
    "half the weights": (lambda m: Archive(m.graph, m.weights[:7]).packed(), "refuses the model: Incorrect weights"),
    "an unknown operator": (lambda m: Archive(m.graph.replace(b'"Add"', b'"Odd"'), m.weights).packed(), "Odd"),
    "no fixed shape": (lambda m: adding(dynamic=True).packed(), r"input 'x' has shape \[\?,4\]; convert the model"),
    "a damaged note": (lambda m: _noted(m, "x y"), "refuses the model: could not convert string to float: 'x'"),
    "a scale of a float": (lambda m: _noted(m, "0.5 0"), "has dtype float32 and scale 0.5"),
}  # fmt: skip


def _sizes(archive: Archive) -> tuple[bytes, bytes]:
    """Both sizes of the weights, and larger ones."""
    size = len(archive.weights).to_bytes(4, "little") * 2
    return size, (1 << 31).to_bytes(4, "little") * 2


def _noted(archive: Archive, note: str) -> bytes:
    told = f'<rt_info><edge_sdk><input_0 value="{note}" /></edge_sdk>'.encode()
    before, _, after = archive.graph.rpartition(b"<rt_info>")
    return Archive(before + told + after, archive.weights).packed()


@pytest.mark.parametrize(("make", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_or_damaged_model_is_refused_with_the_reason(make, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EngineError, match=said) as caught:
        open_engine("openvino", make(adding()), isolation="none")
    assert "src/" not in str(caught.value)


def test_the_child_refuses_in_the_same_words() -> None:
    with pytest.raises(EngineError, match="File is not a zip file"):
        open_engine("openvino", b"garbage", isolation="process")


def test_a_real_native_hang_ends_with_the_hang_budget() -> None:
    with ProcessEngine("openvino", endless(), hang_ms=300) as engine:
        for _ in range(2):
            with pytest.raises(EngineHangError, match="hang budget of 300 ms"):
                engine.run()
            engine.restart()


def test_state_is_kept_until_reset(isolation: Isolation) -> None:
    with open_engine("openvino", summing(), isolation=isolation) as engine:
        assert engine.stateful
        engine.input_arrays[0][...] = 1
        assert [float(engine.run()[0][0, 0]) for _ in range(3)] == [4, 5, 6]
        engine.reset()
        assert float(engine.run()[0][0, 0]) == 4


def test_arrays_put_in_place_of_the_input_are_read_where_they_lie() -> None:
    with open_engine("openvino", adding().packed(), isolation="none") as engine:
        for start in (1, 5):
            mine = np.full((1, 4), start, np.float32)
            engine.input_arrays = (mine,)
            assert engine.run()[0].tolist() == [[start + 1] * 4]
            mine += 1
            assert engine.run()[0].tolist() == [[start + 2] * 4]
        engine.input_arrays = (np.zeros((1, 3), np.float32),)
        with pytest.raises(EngineError, match="does not take the input arrays"):
            engine.run()


def test_a_closed_engine_says_so() -> None:
    engine = open_engine("openvino", adding().packed(), isolation="none")
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run()


_IMPORT = """
import json, os, sys
import numpy  # its OpenBLAS starts threads, of which the fork server knows
before = len(os.listdir("/proc/self/task"))
from edge_sdk.openvino.library import load_openvino
load_openvino()
print(json.dumps([before, len(os.listdir("/proc/self/task")), [m for m in sys.modules if "telemetry" in m and "openvino_" in m]]))
"""


def test_the_import_starts_no_thread_and_tells_nobody(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, env=environment, check=True)
    before, after, telemetry = json.loads(done.stdout)
    assert (after, telemetry) == (before, [])
    assert not list(tmp_path.iterdir())  # where the telemetry keeps its number of this user


@pytest.mark.parametrize("device", ["CPU", "AUTO"])
def test_no_thread_is_pinned_while_it_runs(device: str) -> None:
    """Pinned, the first threads of two processes would share the first core."""
    allowed, runs_on, done = os.sched_getaffinity(0), threading.get_native_id(), threading.Event()
    seen: set[frozenset[int]] = set()

    def watch() -> None:
        while not done.is_set():
            seen.add(frozenset(os.sched_getaffinity(runs_on)))

    with open_engine("openvino", adding((1, 1 << 20)).packed(), {"device": device}, isolation="none") as engine:
        watching = threading.Thread(target=watch)
        watching.start()
        for _ in range(200):
            engine.run()
        done.set()
        watching.join()
    assert seen == {frozenset(allowed)}
