"""Compiled models on disk: taken where they fit, else made anew, and said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_sdk.engines.isolation import open_engine
from tests.openvino_models import adding, needs_openvino

KEPT = "compiled model from the cache"


@pytest.fixture(autouse=True)
def _openvino() -> None:
    needs_openvino()


def _done(folder: Path, **options: str) -> str:
    """What the engine says that it did; it gives what the model gives."""
    with open_engine("openvino", adding().packed(), {"cache": str(folder), **options}, isolation="none") as engine:
        engine.input_arrays[0][...] = 2
        assert engine.run()[0].tolist() == [[3, 3, 3, 3]]
        return engine.description.split(", ", 3)[-1]


def _file(folder: Path) -> Path:
    (only,) = folder.iterdir()
    return only


def test_the_second_start_takes_what_the_first_compiled(tmp_path: Path) -> None:
    folder = tmp_path / "made/here"
    assert _done(folder) == "compiled and cached"
    assert _done(folder) == KEPT
    assert _done(folder, threads="2") == "compiled and cached"
    assert len(list(folder.iterdir())) == 2


def test_the_process_uses_it_too(tmp_path: Path) -> None:
    _done(tmp_path)
    with open_engine("openvino", adding().packed(), {"cache": str(tmp_path)}) as engine:
        assert KEPT in engine.description


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content.replace(b'"openvino": "2', b'"openvino": "1', 1), r"is of OpenVINO 1\d\d\d\."),
        (lambda content: content.replace(b'"hardware": "', b'"hardware": "Other ', 1), "is of the device Other "),
        (lambda content: content.replace(b'"model": "', b'"model": "0', 1), "is of another model"),
        (lambda content: content.replace(b'"INFERENCE_NUM_THREADS": "1', b'"INFERENCE_NUM_THREADS": "2', 1), "is of another model"),
        (lambda content: content[: len(content) * 2 // 3], r"is half written \(\d+ of \d+ bytes\)"),
        (lambda content: content[:40], "is damaged"),
        (lambda content: b"", "is damaged"),
        (lambda content: content[20:], "is damaged"),
        (lambda content: content[:-9] + b"X" + content[-8:], "is damaged"),
        (lambda content: content + b"more", "is damaged"),
        (lambda content: content.replace(b'"bytes"', b'"BYTES"', 1), "is damaged"),
        (lambda content: content.replace(b'{"key": {', b'{"key": "x", "other": {', 1), "is damaged"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_compiled_anew_and_said(spoil, said: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _done(tmp_path)
    good = _file(tmp_path).read_bytes()
    assert spoil(good) != good
    _file(tmp_path).write_bytes(spoil(good))
    assert re.match(f"compiled anew, as the cache {said}", _done(tmp_path))
    assert _done(tmp_path) == KEPT


def test_what_openvino_does_not_take_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    _done(tmp_path)

    def refuse(*given: object) -> None:
        raise RuntimeError("Exception from src/x.cpp:1:\nthe blob is of another kind\n")

    monkeypatch.setattr(openvino.Core, "import_model", refuse)
    assert _done(tmp_path) == "compiled anew, as the cache is not taken by OpenVINO: the blob is of another kind"


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _done(tmp_path / "file").startswith("compiled and not cached: ")
