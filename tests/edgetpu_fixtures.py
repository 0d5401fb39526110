"""Fixtures of the simulated Edge TPU; see tests/edgetpu_delegate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edgetpu_delegate import Bench, Device, build, compiler


@pytest.fixture(scope="session")
def edgetpu_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library in the place of libedgetpu.so.1, compiled once."""
    if compiler() is None:
        pytest.skip("there is no C compiler for the delegate in the place of libedgetpu: apt install gcc")
    return build(tmp_path_factory.mktemp("edgetpu"))


@pytest.fixture
def edgetpu_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """No devices yet; for this process and those that it starts."""
    bench = Bench(tmp_path / "edgetpu-bench")
    monkeypatch.setenv("EDGETPU_BENCH", str(bench.folder))
    monkeypatch.setenv("EDGE_SDK_ROOT", str(bench.root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where it is remembered which trio has worked
    return bench


@pytest.fixture
def edgetpu(edgetpu_bench: Bench) -> Device:
    """One device on USB."""
    return edgetpu_bench.add("usb0")
