"""What every engine promises, in both isolations, and what the process adds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.engines import Engine, engine_names
from edge_sdk.engines.faulty import order_fault
from edge_sdk.engines.isolation import Isolation, open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import ConfigError, EngineCrashError, EngineError, EngineHangError
from tests.edgetpu_models import compiled_model
from tests.endless_model import endless_model
from tests.onnx_models import doubling
from tests.openvino_models import converted, needs_openvino
from tests.processes import descendants, is_alive, open_descriptors
from tests.streaming_model import FIRST, sequence_model, sum_model

HANG_MS = 300
ROOT = Path(__file__).parents[1]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    return tmp_path / "orders"


@pytest.fixture(params=["litert", "null", "faulty", "edgetpu", "onnx", "openvino", "remote"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def options(name: str, request: pytest.FixtureRequest, orders: Path) -> dict[str, str]:
    """What an engine needs here."""
    if name == "remote":
        server = request.getfixturevalue("face_server")
        return {"url": server.url, "protocol": "v2-rest", "model": "m", "timeout_ms": "5000"}
    if name == "edgetpu":
        request.getfixturevalue("edgetpu")
        return {"library": str(request.getfixturevalue("edgetpu_library"))}
    if name == "openvino":
        needs_openvino()
    return {"orders": str(orders)} if name == "faulty" else {}


def _model(name: str, face_model: Path) -> bytes:
    if name in ("edgetpu", "onnx"):
        return compiled_model() if name == "edgetpu" else doubling()
    return converted(face_model.read_bytes()) if name == "openvino" else face_model.read_bytes()


@pytest.fixture(params=["process", "none"])
def engine(name: str, request: pytest.FixtureRequest, face_model: Path, options: dict[str, str]) -> Iterator[Engine]:
    model = _model(name, face_model)
    with open_engine(name, model, options, isolation=request.param, hang_ms=5_000) as engine:
        yield engine


def test_tensors_are_as_stated(engine: Engine) -> None:
    assert [(a.shape, a.dtype.name) for a in engine.input_arrays] == [(s.shape, s.dtype) for s in engine.inputs]
    outputs = engine.run()
    assert [(a.shape, a.dtype.name) for a in outputs] == [(s.shape, s.dtype) for s in engine.outputs]


def test_the_same_input_gives_the_same_output(engine: Engine) -> None:
    engine.input_arrays[0][...] = 1
    first = [output.copy() for output in engine.run()]
    engine.input_arrays[0][...] = 0
    engine.run()
    engine.input_arrays[0][...] = 1
    assert all(np.array_equal(a, b) for a, b in zip(first, engine.run(), strict=True))


def test_an_unknown_option_is_refused_by_name(name: str, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="no option colour"):
        open_engine(name, b"", {**options, "colour": "red"}, isolation="none")


def test_close_is_harmless_twice(engine: Engine) -> None:
    engine.close()
    engine.close()


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=f"no engine 'tpu'; there are {', '.join(engine_names())}"):
        open_engine("tpu", b"")


def test_process_and_inline_agree(face_model: Path) -> None:
    image = np.random.default_rng(0).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    outputs = []
    for isolation in ("process", "none"):
        with open_engine("litert", face_model.read_bytes(), isolation=isolation) as engine:
            engine.input_arrays[0][...] = image
            outputs.append([output.copy() for output in engine.run()])
    assert all(np.array_equal(a, b) for a, b in zip(*outputs, strict=True))
    assert np.ptp(outputs[0][0]) > 0


def test_garbage_is_refused_by_the_child_with_the_reason() -> None:
    with pytest.raises(EngineError, match="refuses the model"):
        ProcessEngine("litert", b"garbage" * 100, hang_ms=HANG_MS)


def test_a_real_native_hang_ends_with_the_hang_budget() -> None:
    with ProcessEngine("litert", endless_model(), hang_ms=HANG_MS) as engine:
        with pytest.raises(EngineHangError, match=f"hang budget of {HANG_MS} ms"):
            engine.run()
        engine.restart()
        with pytest.raises(EngineHangError):
            engine.run()


def test_the_shipped_endless_model_is_the_one_built_here() -> None:
    shipped = Path(__file__).parents[1] / "edge_sdk/engines/endless.tflite"
    assert shipped.read_bytes() == endless_model()


@pytest.mark.parametrize(
    ("order", "error"),
    [("hang", EngineHangError), ("stop", EngineHangError), ("crash", EngineCrashError), ("error 1", EngineError)],
)
def test_ordered_faults_strike_once(order: str, error: type[EngineError], orders: Path) -> None:
    with ProcessEngine("faulty", b"", {"orders": str(orders), "inner": "null"}, hang_ms=HANG_MS) as engine:
        engine.run()
        order_fault(orders, order)
        with pytest.raises(EngineError) as caught:
            engine.run()
        assert type(caught.value) is error
        if order != "error 1":
            engine.restart()
        engine.run()


def test_a_crash_is_named_by_its_signal(orders: Path) -> None:
    with ProcessEngine("faulty", b"", {"orders": str(orders), "inner": "null"}, hang_ms=HANG_MS) as engine:
        order_fault(orders, "crash")
        with pytest.raises(EngineCrashError, match="SIGSEGV"):
            engine.run()


def test_wrong_outputs_are_wrong_and_only_as_often_as_ordered(orders: Path) -> None:
    with ProcessEngine("faulty", b"", {"orders": str(orders), "inner": "null"}, hang_ms=HANG_MS) as engine:
        order_fault(orders, "wrong 2")
        assert [int(engine.run()[0][0, 0]) for _ in range(3)] == [-1, -1, 0]


def test_an_engine_that_hangs_while_it_loads_is_a_hang(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ndef load(path, options): time.sleep(3600)\n")
    info = tmp_path / "sleeper-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[edge_sdk.engines]\nsleeper = sleeper:load\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(EngineHangError):
            ProcessEngine("sleeper", b"", hang_ms=100, start_ms=1_500)
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize("victim", ["server", "child"])
@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGSTOP])
def test_whatever_process_is_killed_or_stopped_the_engine_comes_back(victim: str, with_signal: signal.Signals) -> None:
    with ProcessEngine("null", b"", hang_ms=HANG_MS) as engine:
        engine.run()
        server = next(iter(descendants() - {engine.pid}))
        os.kill(server if victim == "server" else engine.pid, with_signal)
        if victim == "child":
            with pytest.raises(EngineError):
                engine.run()
        engine.restart()
        engine.run()


def test_nothing_is_left_after_close(face_model: Path) -> None:
    before = open_descriptors(), descendants()
    for _ in range(3):
        with ProcessEngine("litert", face_model.read_bytes(), hang_ms=HANG_MS) as engine:
            engine.run()
            engine.restart()
            engine.run()
    assert (open_descriptors(), descendants()) == before


_HANGING_APPLICATION = """
import sys
from pathlib import Path
from edge_sdk.engines.process import ProcessEngine
engine = ProcessEngine("litert", Path(sys.argv[1]).read_bytes(), hang_ms=1e6)
print(engine.pid, flush=True)
engine.run()
"""


def test_a_killed_application_takes_a_child_that_hangs_in_native_code_with_it(tmp_path: Path) -> None:
    model = tmp_path / "endless.tflite"
    model.write_bytes(endless_model())
    with subprocess.Popen(
        [sys.executable, "-c", _HANGING_APPLICATION, str(model)], stdout=subprocess.PIPE, text=True
    ) as application:
        assert application.stdout is not None
        child = int(application.stdout.readline())
        family = descendants(application.pid)
        assert child in family
        handles = [os.pidfd_open(pid) for pid in family]
        application.kill()
    for handle in handles:
        _wait_for_end(handle)
    assert not any(is_alive(pid) for pid in family)


def _wait_for_end(pidfd: int) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000), "a process outlived its application by 10 s"
    os.close(pidfd)


def test_ctrl_c_during_a_run_leaves_no_stale_answer(orders: Path) -> None:
    with ProcessEngine("null", b"", {"wait_ms": "200"}, hang_ms=5_000) as engine:
        old = signal.signal(signal.SIGALRM, _interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                engine.run()
        finally:
            signal.signal(signal.SIGALRM, old)
        with pytest.raises(EngineError, match="restart"):
            engine.run()
        engine.restart()
        engine.run()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_hundred_kills_stops_and_hangs_leave_nothing(orders: Path, face_model: Path) -> None:
    before = open_descriptors(), descendants()
    with ProcessEngine("faulty", face_model.read_bytes(), {"orders": str(orders)}, hang_ms=100) as engine:
        for round_ in range(100):
            engine.run()
            if round_ % 3 == 0:
                os.kill(engine.pid, signal.SIGKILL)
            elif round_ % 3 == 1:
                os.kill(engine.pid, signal.SIGSTOP)
            else:
                order_fault(orders, "hang")
            with pytest.raises(EngineCrashError if round_ % 3 == 0 else EngineHangError):
                engine.run()
            engine.restart()
        assert engine.abandoned == 0
    assert (open_descriptors(), descendants()) == before


_ODD_SURROUNDINGS = """
import os, sys
from pathlib import Path
sys.path.insert(0, Path("nowhere"))
sys.path.insert(0, "")
from edge_sdk.engines.process import ProcessEngine
os.chdir("/")
with ProcessEngine("null", b"model", hang_ms=2_000) as engine:
    os.write(1, str(len(engine.run())).encode())
"""


@pytest.mark.parametrize("closed", ["", "2>&-", "0<&- 1>/dev/null 2>&-", "0<&- 2>&-"])
def test_it_starts_in_odd_surroundings(closed: str, tmp_path: Path) -> None:
    """From another folder than the modules', with odd entries in the module path and closed standard streams."""
    program = tmp_path / "program.py"
    program.write_text(_ODD_SURROUNDINGS)
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} {program} {closed}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if "/dev/null" in closed else "1")


def test_inline_engines_load_with_stderr_closed(face_model: Path) -> None:
    code = f"import edge_sdk; edge_sdk.open_engine('litert', open({str(face_model)!r}, 'rb').read(), isolation='none').run()"
    done = subprocess.run(
        ["sh", "-c", f'{sys.executable} -c "{code}" 2>&-'], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_an_error_nobody_waited_for_is_not_taken_for_the_next_one(orders: Path) -> None:
    with ProcessEngine("faulty", b"", {"orders": str(orders), "inner": "null"}, hang_ms=HANG_MS) as engine:
        assert engine._shared is not None
        engine._shared.set_error("an old error")
        engine.restart()
        engine.run()


def test_ctrl_c_while_it_starts_leaves_nothing_and_says_nothing(tmp_path: Path) -> None:
    code = "from edge_sdk.engines.process import ProcessEngine; print(flush=True); ProcessEngine('litert', b'x', hang_ms=1)"
    for delay_s in (0.0, 0.03, 0.06, 0.1, 0.15):
        command = [sys.executable, "-c", code]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as starting:
            assert starting.stdout is not None
            starting.stdout.readline()
            time.sleep(delay_s)  # another moment each time, whichever it is
            os.killpg(starting.pid, signal.SIGINT)
            _, said = starting.communicate(timeout=20)
        assert "engines/server.py" not in said and "engines/child.py" not in said, (
            said
        )  # only the application's own traceback


def test_a_closed_engine_cannot_be_restarted() -> None:
    engine = ProcessEngine("null", b"", hang_ms=HANG_MS)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.restart()


@pytest.fixture(params=["process", "none"])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=["litert", "faulty"])
def streaming(isolation: Isolation, request: pytest.FixtureRequest, orders: Path) -> Iterator[Engine]:
    options = {"orders": str(orders)} if request.param == "faulty" else {}
    with open_engine(request.param, sum_model(), options, isolation=isolation, hang_ms=5_000) as engine:
        yield engine


def _total(engine: Engine) -> int:
    """The sum so far, and one more."""
    engine.input_arrays[0][...] = 1
    return int(engine.run()[0][0, 0])


def test_state_is_kept_from_run_to_run_until_reset(streaming: Engine) -> None:
    assert streaming.stateful
    assert [_total(streaming) for _ in range(3)] == [FIRST + 1, FIRST + 2, FIRST + 3]
    for _ in range(3):
        streaming.reset()
        assert [_total(streaming) for _ in range(2)] == [FIRST + 1, FIRST + 2]


def test_a_reset_of_a_fresh_engine_changes_nothing(streaming: Engine) -> None:
    streaming.reset()
    streaming.reset()
    assert _total(streaming) == FIRST + 1


def test_a_model_without_variables_has_no_state(engine: Engine) -> None:
    assert not engine.stateful
    engine.run()
    engine.reset()
    engine.run()


@pytest.mark.parametrize("order", ["hang", "crash"])
@pytest.mark.parametrize("reset_ordered", [True, False])
def test_after_a_restart_the_state_is_fresh(order: str, reset_ordered: bool, orders: Path) -> None:
    with ProcessEngine("faulty", sum_model(), {"orders": str(orders)}, hang_ms=HANG_MS) as engine:
        assert [_total(engine) for _ in range(3)] == [FIRST + 1, FIRST + 2, FIRST + 3]
        order_fault(orders, order)
        with pytest.raises(EngineError):
            engine.run()
        if reset_ordered:  # by an application that does not know yet that the child is gone
            engine.reset()
        engine.restart()
        assert [_total(engine) for _ in range(2)] == [FIRST + 1, FIRST + 2]


def test_a_failing_run_does_not_lose_the_reset_before_it(orders: Path) -> None:
    with ProcessEngine("faulty", sum_model(), {"orders": str(orders)}, hang_ms=HANG_MS) as engine:
        _total(engine)
        engine.reset()
        order_fault(orders, "error 1")
        with pytest.raises(EngineError, match="ordered"):
            engine.run()
        assert _total(engine) == FIRST + 1


def test_resets_do_not_leak() -> None:
    with open_engine("litert", sum_model(), isolation="none") as engine:
        engine.reset()
        before = open_descriptors()
        for _ in range(200):
            engine.reset()
        assert open_descriptors() == before
        assert _total(engine) == FIRST + 1


def test_what_a_layer_over_a_sequence_keeps_begins_anew_with_every_run() -> None:
    with open_engine("litert", sequence_model(), isolation="none") as engine:
        assert not engine.stateful
        engine.input_arrays[0][...] = 1
        first = engine.run()[0].copy()
        assert np.ptp(first) > 0
        assert np.array_equal(engine.run()[0], first)
