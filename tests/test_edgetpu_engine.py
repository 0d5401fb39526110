"""The engine for the Edge TPU, on the delegate in the place of libedgetpu: what it promises, and each fault through its process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.engines import Engine, load_engine
from edge_sdk.engines.edgetpu import EdgeTpuEngine
from edge_sdk.engines.isolation import open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import ConfigError, DeviceError, EngineCrashError, EngineError, EngineHangError
from tests.edgetpu_delegate import Bench, Device, expected
from tests.edgetpu_models import compiled_model
from tests.processes import descendants, open_descriptors

HANG_MS = 300
PACKAGE = b"package"


@pytest.fixture
def options(edgetpu_library: Path, edgetpu: Device) -> dict[str, str]:
    return {"library": str(edgetpu_library)}


@pytest.fixture
def engine(options: dict[str, str]) -> Iterator[ProcessEngine]:
    with ProcessEngine("edgetpu", compiled_model(PACKAGE), options, hang_ms=HANG_MS) as engine:
        yield engine


@pytest.fixture
def inline(options: dict[str, str], tmp_path: Path) -> Iterator[EdgeTpuEngine]:
    model = tmp_path / "compiled.tflite"
    model.write_bytes(compiled_model(PACKAGE))
    with EdgeTpuEngine(str(model), options) as engine:
        yield engine


def result_is_right(engine: Engine) -> bool:
    value = np.random.default_rng(len(engine.description)).integers(-128, 127, (1, 4), np.int8)
    engine.input_arrays[0][...] = value
    return engine.run()[0].tobytes() == expected(PACKAGE, value.tobytes(), 4).tobytes()


def test_it_runs_on_the_device_and_says_which(engine: ProcessEngine, edgetpu: Device) -> None:
    before = edgetpu.done
    assert all(result_is_right(engine) for _ in range(3))
    assert edgetpu.done == before + 3
    assert "on Edge TPU usb:0, libedgetpu RuntimeVersion(14)" in engine.description
    assert edgetpu.owner == engine.pid


def test_it_has_run_once_when_it_is_open(engine: ProcessEngine, edgetpu: Device) -> None:
    assert edgetpu.done == 1


def test_each_device_can_be_named(edgetpu_bench: Bench, options: dict[str, str]) -> None:
    edgetpu_bench.add("usb1")
    edgetpu_bench.add("pci0")
    for device in ("usb:1", "usb:0", "pci:0"):
        with open_engine("edgetpu", compiled_model(PACKAGE), {**options, "device": device}) as engine:
            assert f"on Edge TPU {device}," in engine.description
            assert result_is_right(engine)


def test_a_device_that_is_not_there_is_named_with_those_that_are(options: dict[str, str]) -> None:
    with pytest.raises(
        DeviceError, match=r"no Edge TPU pci:0; seen on the busses: usb:0 \(18d1:9302 at 2-1, 5000 Mbit/s\)"
    ):
        open_engine("edgetpu", compiled_model(), {**options, "device": "pci:0"})


def test_without_any_device_it_never_runs_on_the_processor(options: dict[str, str], edgetpu: Device) -> None:
    edgetpu.vanish()
    with pytest.raises(DeviceError, match=r"no Edge TPU at all; seen on the busses: none. Run: edge-sdk doctor"):
        open_engine("edgetpu", compiled_model(), options)


_HOLDS = """
import sys
from pathlib import Path
from edge_sdk.engines import load_engine
engine = load_engine("edgetpu", sys.argv[1], {"library": sys.argv[2]})
print(flush=True)
sys.stdin.read()
"""


def test_one_that_another_process_has_is_said_with_its_pid(options: dict[str, str], tmp_path: Path) -> None:
    model = tmp_path / "compiled.tflite"
    model.write_bytes(compiled_model())
    command = [sys.executable, "-c", _HOLDS, str(model), options["library"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline()
        with pytest.raises(DeviceError, match=f"process {holder.pid} has it open.*one process at a time"):
            open_engine("edgetpu", compiled_model(), options)
        holder.stdin.close()
        holder.wait()
    open_engine("edgetpu", compiled_model(), options).close()


def test_one_that_does_not_answer_is_to_be_replugged(options: dict[str, str], edgetpu: Device) -> None:
    edgetpu.order("error", at="open")
    with pytest.raises(DeviceError, match=r"does not answer.*unplug it"):
        open_engine("edgetpu", compiled_model(), options)


def test_a_missing_library_is_said_with_where_to_get_it(edgetpu: Device) -> None:
    with pytest.raises(EngineError, match=r"libedgetpu.so.1: cannot open shared object.*feranick"):
        open_engine("edgetpu", compiled_model())


def test_another_library_is_refused(edgetpu: Device) -> None:
    with pytest.raises(EngineError, match=r"libm.so.6 is not libedgetpu"):
        open_engine("edgetpu", compiled_model(), {"library": "libm.so.6"})


def test_a_model_that_is_not_compiled_is_refused(options: dict[str, str], face_model: Path) -> None:
    with pytest.raises(EngineError, match=r"not compiled for the Edge TPU.*engine litert"):
        open_engine("edgetpu", face_model.read_bytes(), options)


def test_a_compiled_model_in_another_engine_is_refused_with_the_right_one() -> None:
    with pytest.raises(EngineError, match="compiled for the Edge TPU: run it with engine edgetpu"):
        open_engine("litert", compiled_model())


def test_an_operator_that_is_not_taken_is_an_error(options: dict[str, str], edgetpu: Device) -> None:
    edgetpu.leave_unclaimed(1)
    with pytest.raises(EngineError, match="did not take every operator edgetpu-custom-op"):
        open_engine("edgetpu", compiled_model(partitions=2), options)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"device": "tpu"}, "a device is"),
        ({"interpreter": "torch"}, "interpreter is one of"),
        ({"threads": "0"}, "engine edgetpu: threads"),
    ],
)
def test_wrong_options_are_named(option: dict[str, str], said: str, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=said):
        open_engine("edgetpu", compiled_model(), {**options, **option})


def test_a_slow_device_is_slow_and_no_fault(engine: ProcessEngine, edgetpu: Device) -> None:
    edgetpu.order("slow", slow_ms=100)
    began = time.monotonic()
    assert result_is_right(engine)
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("kind", ["hang", "spin"])
def test_a_hang_is_killed_within_its_budget(kind: str, engine: ProcessEngine, edgetpu: Device) -> None:
    edgetpu.order(kind, after=1)  # type: ignore[arg-type]
    assert result_is_right(engine)
    began = time.monotonic()
    with pytest.raises(EngineHangError):
        engine.run()
    assert time.monotonic() - began < HANG_MS / 1_000 + 1
    engine.restart()
    assert result_is_right(engine)


@pytest.mark.parametrize(("kind", "reason"), [("crash", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_crash_is_survived_and_named(kind: str, reason: str, engine: ProcessEngine, edgetpu: Device) -> None:
    edgetpu.order(kind)  # type: ignore[arg-type]
    with pytest.raises(EngineCrashError, match=reason):
        engine.run()
    engine.restart()
    assert result_is_right(engine)


def test_an_error_leaves_the_process_alive(engine: ProcessEngine, edgetpu: Device) -> None:
    pid = engine.pid
    edgetpu.order("error", times=2)
    for _ in range(2):
        with pytest.raises(EngineError, match="the transfer failed"):
            engine.run()
    assert result_is_right(engine)
    assert engine.pid == pid


def test_one_pulled_out_is_said_and_can_be_had_back(engine: ProcessEngine, edgetpu: Device) -> None:
    edgetpu.order("vanish")
    with pytest.raises(EngineError, match="no Edge TPU is seen any more"):
        engine.run()
    with pytest.raises(DeviceError, match="no Edge TPU at all"):
        engine.restart()
    edgetpu.come_back()
    engine.restart()
    assert result_is_right(engine)


def test_it_opens_the_device_anew_without_a_new_process(inline: EdgeTpuEngine, edgetpu: Device) -> None:
    edgetpu.order("error", cure="delegate")
    for _ in range(2):
        with pytest.raises(EngineError):
            inline.run()
    inline.reopen()
    assert result_is_right(inline)
    edgetpu.vanish()
    with pytest.raises(DeviceError):
        inline.reopen()
    with pytest.raises(DeviceError, match="not open"):
        inline.run()
    edgetpu.come_back()
    inline.reopen()
    assert result_is_right(inline)


def test_reopening_and_restarting_leak_nothing(inline: EdgeTpuEngine, options: dict[str, str]) -> None:
    inline.reopen()
    before = open_descriptors()
    for _ in range(50):
        inline.reopen()
    assert open_descriptors() == before
    inline.close()
    before_processes = open_descriptors(), descendants()
    for _ in range(3):
        with ProcessEngine("edgetpu", compiled_model(PACKAGE), options, hang_ms=HANG_MS) as engine:
            engine.restart()
            assert result_is_right(engine)
    assert (open_descriptors(), descendants()) == before_processes


@pytest.mark.slow
def test_a_hundred_faults_of_all_kinds_leave_nothing(options: dict[str, str], edgetpu: Device) -> None:
    before = open_descriptors(), descendants()
    with ProcessEngine("edgetpu", compiled_model(PACKAGE), options, hang_ms=100) as engine:
        for number in range(100):
            kind = ("hang", "crash", "error", "vanish", "abort")[number % 5]
            edgetpu.order(kind)  # type: ignore[arg-type]
            with pytest.raises(EngineError):
                engine.run()
            if kind == "vanish":
                edgetpu.come_back()
            if kind != "error":
                engine.restart()
            assert result_is_right(engine)
        assert engine.abandoned == edgetpu.waiting == 0
    assert (open_descriptors(), descendants()) == before
    assert edgetpu.refusals == 0


def test_two_in_one_process_share_the_device(inline: EdgeTpuEngine, options: dict[str, str], tmp_path: Path) -> None:
    other = load_engine("edgetpu", str(tmp_path / "compiled.tflite"), options)
    assert result_is_right(other) and result_is_right(inline)
    other.close()
    assert result_is_right(inline)
