"""Interpreter, libedgetpu and driver: what is known of a combination, and trying it where it may die."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sdk.edgetpu.google_pycoral import find_pycoral
from edge_sdk.edgetpu.probe import cache_file, explanation, probe, trio_of
from edge_sdk.edgetpu.trio import Trio, advice, entries, find_library, find_trio, judge
from edge_sdk.engines.edgetpu import interpreters
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import EngineCrashError, EngineHangError
from tests.edgetpu_delegate import Bench, Device
from tests.edgetpu_models import compiled_model


def a_trio(interpreter: str, version: str, package: str) -> Trio:
    return Trio(interpreter, version, Path("/usr/lib/libedgetpu.so.1.0"), package, "")


@pytest.mark.parametrize(
    ("interpreter", "version", "package", "standing", "said"),
    [
        ("tflite-runtime", "2.14.0", "libedgetpu1-std 16.0", "bad", "reported not to work (google-coral/edgetpu#812"),
        ("tflite-runtime", "2.12.0", "libedgetpu1-max 16.0", "bad", "reported not to work"),
        ("ai-edge-litert", "2.3.0", "libedgetpu1-std 16.0", "bad", "expected not to work (concluded"),
        ("tflite-runtime", "2.5.0.post1", "libedgetpu1-std 16.0", "good", "reported to work (google-coral/edgetpu#660"),
        ("tflite-runtime", "2.14.1", "libedgetpu1-std 16.0TF2.13.1-1", "good", "reported to work"),
        ("tflite-runtime", "2.17.0", "libedgetpu1-std 16.0TF2.17.0-1", "unverified", "said to work, unverified"),
        ("tflite-runtime", "2.5.0", "libedgetpu1-std 14.1", "bad", "google-coral/pycoral#1"),
        ("tflite-runtime", "2.11.0", "libedgetpu1-std 16.0", "unknown", "nobody is on record"),
        ("ai-edge-litert", "2.3.0", "", "unknown", "nobody is on record"),
    ],
)
def test_what_is_known_of_a_trio(
    interpreter: str, version: str, package: str, standing: str, said: str, edgetpu_bench: Bench
) -> None:
    judgement = judge(a_trio(interpreter, version, package), entries())
    assert judgement.standing == standing
    assert said in str(judgement)


@pytest.mark.parametrize("name", ["usb0", "pci0"])
def test_every_entry_has_its_source_and_the_advice_names_what_works(name: str, edgetpu_bench: Bench) -> None:
    edgetpu_bench.add(name)
    known = entries()
    assert all(each.source for each in known)
    assert known[0].works
    said = advice(known)
    assert "tflite-runtime 2.13.1, 2.14.1 or 2.15.0 with libedgetpu feranick" in said and "(verified: " in said
    assert "16.0 of Google" not in said  # its interpreter has no wheel for a Python that we run on
    assert ("gasket" in known[0].driver) == (name == "pci0")


def test_the_trio_of_a_machine_is_found(edgetpu_bench: Bench, edgetpu_library: Path) -> None:
    status = edgetpu_bench.root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        "Package: libc6\nStatus: install ok installed\nVersion: 2.36\n\n"
        "Package: libedgetpu1-max\nStatus: deinstall ok config-files\nVersion: 15.0\n\n"
        "Package: libedgetpu1-std\nStatus: install ok installed\nArchitecture: arm64\nVersion: 16.0\n"
    )
    trio = find_trio("ai_edge_litert", "2.3.0", str(edgetpu_library))
    assert str(trio) == "ai-edge-litert 2.3.0, libedgetpu1-std 16.0, no driver, as by USB"
    edgetpu_bench.add("pci0")
    version = edgetpu_bench.root / "sys/module/apex/version"
    version.parent.mkdir(parents=True)
    version.write_text("1.2\n")
    with_driver = find_trio("ai_edge_litert", "2.3.0", str(edgetpu_library))
    assert str(with_driver).endswith("driver apex 1.2")
    assert trio.key != with_driver.key


def test_another_content_is_another_trio(tmp_path: Path, edgetpu_bench: Bench) -> None:
    library = tmp_path / "libedgetpu.so.1"
    keys = set()
    for content in (b"one", b"two"):
        library.write_bytes(content)
        keys.add(find_trio("ai_edge_litert", "2.3.0", str(library)).key)
    assert len(keys) == 2


def test_a_library_is_found_by_its_name_with_links_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libedgetpu.so.1.0").touch()
    (tmp_path / "libedgetpu.so.1").symlink_to("libedgetpu.so.1.0")
    monkeypatch.setenv("LD_LIBRARY_PATH", f":{tmp_path}")
    assert find_library("libedgetpu.so.1") == tmp_path / "libedgetpu.so.1.0"
    assert find_library("libnowhere.so.1") is None
    assert find_library(str(tmp_path / "nowhere.so")) is None


@pytest.fixture
def options(edgetpu_library: Path, edgetpu: Device) -> dict[str, str]:
    return {"library": str(edgetpu_library)}


def test_a_trio_that_works_is_tried_once(options: dict[str, str], edgetpu: Device) -> None:
    probe(compiled_model(), options)
    assert edgetpu.opens == 1
    probe(compiled_model(b"another model"), options)
    assert edgetpu.opens == 1
    assert json.loads(cache_file().read_text()) == [trio_of(options).key]


@pytest.mark.parametrize("content", ["", "[", "{}", "null"])
def test_a_damaged_memory_is_no_more_than_forgotten(content: str, options: dict[str, str], edgetpu: Device) -> None:
    cache_file().parent.mkdir(parents=True)
    cache_file().write_text(content)
    probe(compiled_model(), options)
    probe(compiled_model(), options)
    assert edgetpu.opens == 1


def test_a_read_only_memory_is_no_fault(options: dict[str, str], edgetpu: Device) -> None:
    cache_file().parent.parent.touch()  # no folder
    for times in (1, 2):
        probe(compiled_model(), options)
        assert edgetpu.opens == times


def test_a_wrong_trio_is_named_with_those_that_work_and_does_not_take_us_with_it(
    options: dict[str, str], edgetpu: Device
) -> None:
    edgetpu.order("crash", at="open", cure="never")
    for isolation in ("none", "process"):
        with pytest.raises(EngineCrashError, match="died: SIGSEGV; the trio is ai-edge-litert") as caught:
            open_engine("edgetpu", compiled_model(), options, isolation=isolation)  # type: ignore[arg-type]
        assert "combinations that work: tflite-runtime 2.13.1" in str(caught.value)
        assert caught.value.reason == "SIGSEGV"
    assert not cache_file().exists()
    edgetpu.forget()
    with open_engine("edgetpu", compiled_model(), options, isolation="none") as engine:
        engine.run()


def test_a_trio_that_hangs_is_ended(options: dict[str, str], edgetpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_sdk.edgetpu.probe._START_MS", 1_500)
    edgetpu.order("hang", at="open", cure="never")
    with pytest.raises(EngineHangError, match="the trio is ai-edge-litert"):
        probe(compiled_model(), options)


def test_the_explanation_says_what_is_known(options: dict[str, str]) -> None:
    said = explanation(trio_of(options))
    assert "libedgetpu.so.1 (of no package)" in said and "nobody is on record" in said


@pytest.mark.parametrize("is_googles", [True, False])
def test_googles_pycoral_is_told_from_its_namesakes(
    is_googles: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pycoral"
    (package / "utils").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('it must not be imported')\n")
    if is_googles:
        (package / "utils/edgetpu.py").touch()
        (package / "pybind").mkdir()
        (package / "pybind/_pywrap_coral.cpython-311-aarch64-linux-gnu.so").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_pycoral() == (package if is_googles else None)
    assert interpreters({})[0] == ("tflite_runtime" if is_googles else "ai_edge_litert")
    assert interpreters({"interpreter": "ai_edge_litert"}) == ("ai_edge_litert",)
