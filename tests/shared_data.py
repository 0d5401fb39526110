"""Files that are not part of the project: original and compiled models side by side, kept beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(os.environ.get("EDGE_SDK_SHARED") or Path(__file__).parents[1].parent / "shared")
EDGETPU = _SHARED / "data" / "edgetpu"

needs_edgetpu_pairs = pytest.mark.skipif(
    not EDGETPU.is_dir(),
    reason=f"{EDGETPU} is not there: put google-coral/test_data's models into it, or set EDGE_SDK_SHARED",
)


def edgetpu_pairs() -> list[tuple[Path, Path]]:
    """Each original .tflite with its compiled one; empty where the folder is absent."""
    found = sorted(EDGETPU.glob("*_edgetpu.tflite"))
    pairs = [(path.with_name(path.name.replace("_edgetpu", "")), path) for path in found]
    return [pair for pair in pairs if pair[0].exists()]
