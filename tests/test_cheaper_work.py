"""docs/cheaper-work.md: its examples run as they are written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edge_sdk.app import App
from tests.examples_run import run
from tests.tiny_models import image_net

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/cheaper-work.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "said", "times"),
    [(0, "{", 1), (1, "120", 2), (2, "RequestCounts(submitted=1, done=1,", 1)],
    ids=["batcher", "shared source", "pool"],
)
def test_the_examples_run_as_written(
    number: int, said: str, times: int, face_model: Path, face_bundle: Path, carphone: Path, tmp_path: Path
) -> None:
    shutil.copy(face_model, tmp_path / "face.tflite")
    (tmp_path / "gestures.tflite").write_bytes(image_net())
    for name in ("face", "second"):
        shutil.copy(face_bundle, tmp_path / f"{name}.edge")
    shutil.copy(carphone, tmp_path / "clip.mp4")
    (tmp_path / "example.py").write_text(EXAMPLES[number])
    printed = run(tmp_path, "example.py")
    assert printed.count(said) == times
    if number == 0:  # whether they ran together is the machine's affair
        batches = re.findall(r"(\d+): (\d+)", printed.partition("{")[2])
        assert sum(int(size) * int(runs) for size, runs in batches) == 12


def test_every_example_is_run_and_every_key_of_the_cache_is_shown() -> None:
    assert len(EXAMPLES) == 3
    (table,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    cache = App.model_fields["cache"].annotation
    keys = set(re.findall(r"^(\w+) =", table, re.MULTILINE))
    assert keys == set(next(kind for kind in cache.__args__ if kind is not type(None)).model_fields)
