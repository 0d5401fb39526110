"""Engines that are kept on cores, and the clusters of chips with fast and slow ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sdk.engines.cores import as_text, clusters, cores_of, usable_cores
from edge_sdk.engines.isolation import open_engine
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.errors import ConfigError
from edge_sdk.tune.candidates import _ways


def test_the_engines_process_and_its_threads_stay_on_the_cores_given(face_model: Path) -> None:
    core = usable_cores()[-1]
    options = {"threads": "2", "cores": str(core)}
    with ProcessEngine("litert", face_model.read_bytes(), options, hang_ms=5_000) as engine:
        engine.run()
        engine.restart()
        engine.run()
        threads = [int(each.name) for each in Path(f"/proc/{engine.pid}/task").iterdir()]
        assert len(threads) >= 2
        assert {tuple(os.sched_getaffinity(thread)) for thread in threads} == {(core,)}
        assert engine.description.endswith(f"2 threads, in a process of its own on cores {core}")
    assert usable_cores() == tuple(sorted(os.sched_getaffinity(0))), "the application's own are as they were"


@pytest.mark.parametrize("text", ["7000", "0-7000", "-1", "0,,1", "all", "3-1", "0,3-1", "0x1"])
def test_cores_that_are_not_there_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cores"):
        open_engine("null", b"", {"cores": text})


def test_without_a_process_there_is_nothing_to_keep_on_cores() -> None:
    with pytest.raises(ConfigError, match="isolation=none has none"):
        open_engine("null", b"", {"cores": "0"}, isolation="none")


@pytest.mark.parametrize(("cores", "text"), [((0,), "0"), ((0, 1, 2, 5), "0-2,5"), ((4, 5, 7, 8), "4-5,7-8"), ((), "")])
def test_cores_as_text(cores: tuple[int, ...], text: str) -> None:
    assert as_text(cores) == text


def test_all_cores_are_none_stated() -> None:
    assert cores_of({"threads": "2"}) == ((), {"threads": "2"})
    assert cores_of({"threads": "2", "cores": "0"}) == ((0,), {"threads": "2"})


def chip(root: Path, speeds: dict[int, int], name: str) -> Path:
    for core, speed in speeds.items():
        file = root / f"sys/devices/system/cpu/cpu{core}" / name
        file.parent.mkdir(parents=True)
        file.write_text(f"{speed}\n")
    return root


@pytest.mark.parametrize("name", ["cpu_capacity", "cpufreq/cpuinfo_max_freq"])
def test_clusters_are_told_apart_by_what_the_kernel_says(name: str, tmp_path: Path) -> None:
    rk3588 = {**dict.fromkeys(range(4), 530), **dict.fromkeys(range(4, 8), 1024)}
    root = chip(tmp_path, rk3588, name)
    assert clusters(root, range(8)) == ((4, 5, 6, 7), (0, 1, 2, 3))
    assert clusters(root, (2, 3, 4)) == ((4,), (2, 3)), "of those that may be used"


def test_without_a_word_of_the_kernel_all_cores_are_alike(tmp_path: Path) -> None:
    assert clusters(tmp_path, range(4)) == ((0, 1, 2, 3),)


def test_candidates_are_threads_and_on_such_chips_clusters() -> None:
    def ways(*clusters: tuple[int, ...], **given: str) -> list[str]:
        found = _ways("litert", "tflite-int8", given, clusters)
        return [" ".join((each["threads"], *filter(None, [each.get("cores")]))) for each in found]

    assert ways((0, 1, 2, 3)) == ["1", "2", "3", "4"]
    assert ways((4, 5), (0, 1, 2, 3)) == ["1", "2", "3", "4", "6", "1 4-5", "2 4-5", "1 0-3", "2 0-3", "3 0-3", "4 0-3"]
    assert ways((0, 1, 2, 3), threads="2") == ["2"]
    assert ways((0,), (1,), cores="0") == ["1 0"]
    assert _ways("null", "null", {}, [(0, 1)]) == [{}]


def test_candidates_are_the_devices_that_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SDK_ROOT", str(tmp_path))
    cores = [(0, 1)]
    assert _ways("openvino", "openvino", {}, cores) == [{"threads": "1"}, {"threads": "2"}]
    assert _ways("onnx", "onnx-qdq", {}, cores) == [{"threads": "1"}, {"threads": "2"}]
    for name in ("dri/renderD128", "accel/accel0", "nvhost-gpu"):
        file = tmp_path / "dev" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    found = _ways("openvino", "openvino", {}, cores)
    assert found == [{"device": "GPU"}, {"device": "NPU"}, {"threads": "1"}, {"threads": "2"}]
    assert _ways("openvino", "openvino", {"device": "NPU"}, cores) == [{"device": "NPU"}]
    jetson = {"providers": "tensorrt,cuda,cpu"}
    assert _ways("onnx", "onnx-qdq", jetson, cores) == [jetson], "threads of the processor are not its matter"
    assert _ways("onnx", "onnx-qdq", {}, cores)[0] == {}
    assert _ways("onnx", "onnx-qdq", {}, cores)[1:] == [{"providers": "cpu", "threads": count} for count in "12"]
