"""What TensorRT builds: kept once it is whole, never of another version, waited for as long as it may take."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns

import pytest

from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import EngineError, EngineHangError
from edge_sdk.watchdog.pulse import DUE_NS, alone
from tests.jetson_stand_in import Jetson
from tests.onnx_models import doubling


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jetson:
    return Jetson(tmp_path, monkeypatch)


def test_an_engine_is_built_once(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.run()
    said = capfd.readouterr().err
    assert (
        "building the TensorRT engine of model" in said and "it may take up to 1800 s" in said and "done after" in said
    )
    with jetson.open() as engine:
        engine.restart()
    assert jetson.builds == 1 and len(jetson.calls) == 3
    assert Path(jetson.last["trt_engine_cache_path"]) == jetson.engine_folder
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda jetson: jetson.has_tensorrt("100301"),
        lambda jetson: jetson.has_onnxruntime("1.24.0"),
        lambda jetson: jetson.run(fp16="on"),
        lambda jetson: jetson.run(doubling((1, 3, 8, 16))),
        lambda jetson: jetson.run(workspace_mb="64"),
    ],
    ids=["TensorRT", "ONNX Runtime", "float16", "another model", "workspace"],
)
def test_an_engine_of_another_version_is_never_used(jetson: Jetson, change: Callable[[Jetson], None]) -> None:
    jetson.run()
    first = jetson.engine_folder
    kept = {path.name: path.read_bytes() for path in first.iterdir()}
    change(jetson)
    if jetson.builds == 1:
        jetson.run()
    assert jetson.builds == 2
    assert {path.name: path.read_bytes() for path in first.iterdir()} == kept


def _cut(folder: Path) -> None:
    engine = next(folder.glob("*.engine"))
    engine.write_bytes(engine.read_bytes()[:5])


def _flip(folder: Path) -> None:
    engine = next(folder.glob("*.engine"))
    content = bytearray(engine.read_bytes())
    content[3] ^= 1
    engine.write_bytes(content)


def _lose(folder: Path) -> None:
    next(folder.glob("*.engine")).unlink()


def _unseal(folder: Path) -> None:
    (folder / "cache.json").unlink()


def _garble(folder: Path) -> None:
    (folder / "cache.json").write_text("{")


def _other(folder: Path) -> None:
    seal = json.loads((folder / "cache.json").read_text())
    seal["facts"]["tensorrt"] = "8.6.2"
    (folder / "cache.json").write_text(json.dumps(seal))


def _empty(folder: Path) -> None:
    seal = json.loads((folder / "cache.json").read_text())
    (folder / "cache.json").write_text(json.dumps({"facts": seal["facts"]}))


@pytest.mark.parametrize("damage", [_cut, _flip, _lose, _unseal, _garble, _other, _empty])
def test_a_damaged_or_half_written_engine_is_built_anew_and_that_is_said(
    jetson: Jetson, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    jetson.run()
    damage(jetson.engine_folder)
    capfd.readouterr()
    jetson.run()
    assert jetson.builds == 2
    assert "is not used and removed: " in capfd.readouterr().err
    jetson.run()
    assert jetson.builds == 2


def test_a_build_that_was_killed_leaves_nothing_that_is_used(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.order(build="hang")
    with pytest.raises(EngineHangError, match="hang budget of 1000 ms"):
        jetson.open(build_s="1")
    assert list(jetson.cache.glob("engine-*.new")) and not [p for p in jetson.cache.glob("engine-*") if not p.suffix]
    jetson.order()
    jetson.run()
    assert "an interrupted build of the engine is removed" in capfd.readouterr().err
    assert not list(jetson.cache.glob("*.new"))


def test_a_build_may_take_longer_than_a_start(jetson: Jetson) -> None:
    jetson.order(build=2.2)
    told = {"providers": "tensorrt,cuda,cpu", "cache": str(jetson.cache)}
    with ProcessEngine("onnx", doubling(), told, hang_ms=2_000, start_ms=2_000) as engine:
        engine.run()
        assert engine._start_ms == 2_000, "a start that built says nothing of the next"
        engine.restart()
        assert jetson.builds == 1


def test_a_supervisor_waits_as_long_as_a_build_may_take(jetson: Jetson) -> None:
    pulse = alone()
    pulse.allow(5)
    jetson.run(build_s="900")
    assert pulse.cells[DUE_NS] > monotonic_ns() + 850e9
    pulse.beat()
    jetson.run()
    assert pulse.cells[DUE_NS] < monotonic_ns() + 60e9


def test_a_build_that_fails_says_why_and_keeps_nothing(jetson: Jetson) -> None:
    jetson.order(build="fail", log="2026 [E:onnxruntime:Default, trt.cc:9 log] out of memory")
    with pytest.raises(EngineError, match=r"failed to create engine from network \(out of memory\)"):
        jetson.open()
    assert not [path for path in jetson.cache.iterdir() if path.is_dir()]


def test_an_engine_that_tensorrt_does_not_take_is_built_anew(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.run()
    jetson.order(reject=True)
    jetson.run()
    assert jetson.builds == 2
    assert "failed to deserialize engine" in capfd.readouterr().err


def test_an_engine_built_anew_in_silence_is_said(jetson: Jetson, capfd: pytest.CaptureFixture[str]) -> None:
    jetson.run()
    jetson.order(rebuild=True)
    jetson.run()
    assert "TensorRT did not take it and built anew" in capfd.readouterr().err
    jetson.order()
    jetson.run()
    assert jetson.builds == 2


def test_what_was_measured_of_kernels_is_kept_from_build_to_build(jetson: Jetson) -> None:
    jetson.run()
    jetson.run(doubling((1, 3, 8, 16)))
    (timing,) = jetson.cache.glob("timing-*/*.timing")
    assert timing.read_bytes() == b"kernel kernel "


def test_two_processes_build_one_engine(jetson: Jetson) -> None:
    jetson.run()
    with jetson.open() as first, jetson.open() as second:
        first.run()
        second.run()
    assert jetson.builds == 1


def test_one_that_waits_for_the_others_build_may_take_as_long(jetson: Jetson) -> None:
    jetson.run()
    (lock,) = jetson.cache.glob("engine-*.lock")
    told = {"providers": "tensorrt,cuda,cpu", "cache": str(jetson.cache)}
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        letting_go = threading.Timer(2.5, lambda: fcntl.flock(held, fcntl.LOCK_UN))
        letting_go.start()
        with ProcessEngine("onnx", doubling(), told, hang_ms=2_000, start_ms=1_500) as engine:
            engine.run()
        letting_go.join()


def test_a_folder_that_cannot_be_written_is_named(jetson: Jetson, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"cannot be written: .*Name another folder with the option cache"):
        jetson.open(cache=str(tmp_path / "file" / "cache"))
