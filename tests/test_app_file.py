"""app.toml: paths are relative to it, numbers are numbers, and what is wrong is named as it stands there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_sdk.app import read_app
from edge_sdk.errors import ConfigError
from edge_sdk.sinks import sinks_from
from edge_sdk.sources import source_from

GOOD = {
    "model": "bundle = 'face.edge'",
    "source": "kind = 'replay'\npath = 'numbers.npy'",
    "loop": "deadline_ms = 50",
}


def written(folder: Path, *, top: str = "", sink: str = "", **tables: str) -> Path:
    path = folder / "app.toml"
    parts = [f"[{name}]\n{text}" for name, text in {**GOOD, **tables}.items() if text]
    path.write_text("\n".join([top, *parts, sink]))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is not the current one."""
    (tmp_path / "app").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "app"


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("kind = 'replay'\npath = 'numbers.npy'", "[[sink]]\nkind = 'pictures'\npath = 'out'"),
        ("", "sink = ['pictures:out?every=2']\nsource = 'replay:numbers.npy?rate_hz=1000'"),
    ],
    ids=["tables", "texts"],
)
def test_relative_paths_are_taken_from_the_file(folder: Path, source: str, sink: str) -> None:
    np.save(folder / "numbers.npy", np.zeros((2, 4), np.int8))
    top, sink = (sink, "") if not source else ("", sink)
    app = read_app(written(folder, source=source, top=top, sink=sink))
    assert app.model.bundle == folder / "face.edge"
    with source_from(app.source) as opened:
        assert opened.read() is not None
    sinks_from(app.sink)
    assert (folder / "out").is_dir()


def test_absolute_paths_and_what_is_no_path_stay(folder: Path) -> None:
    app = read_app(written(folder, source="kind = 'camera'\ndevice = '0'", sink="[[sink]]\nkind = 'console'"))
    assert (app.source, app.sink) == ({"kind": "camera", "device": "0"}, ({"kind": "console"},))
    app = read_app(written(folder, model="bundle = '/srv/face.edge'", source="kind = 'file'\npath = '/srv/clip.mp4'"))
    assert app.model.bundle == Path("/srv/face.edge")
    assert app.source == {"kind": "file", "path": "/srv/clip.mp4"}


def test_options_may_be_numbers(folder: Path) -> None:
    model = "bundle = 'face.edge'\noptions = { threads = 2, wait_ms = 0.5 }"
    assert read_app(written(folder, model=model)).model.options == {"threads": "2", "wait_ms": "0.5"}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"loop": "deadline_ms = true"}, r"loop\.deadline_ms: Input should be a valid number"),
        (
            {"loop": "deadline_ms = '50 ms'"},
            r"loop\.deadline_ms: Input should be a valid number without a unit; found '50 ms'\n",
        ),
        (
            {"loop": "deadline_s = 0.05"},
            r"deadline_ms: is missing\n.*deadline_s: no such key\n\[loop\] takes deadline_ms, hang_ms",
        ),
        ({"loops": "x = 1"}, r"loops: no such key\ntables are \[model\], \[source\], \[loop\]"),
        ({"loop": "deadline_ms = '5'", "loops": "x = 1"}, r"(?s)\[loop\] takes .*\ntables are \[model\]"),
        (
            {"loop": "deadline_ms = 50\nhang_ms = 1"},
            "hang_ms is at least loop.deadline_ms.*found 1 and 50. Both are in milliseconds",
        ),
        ({"loop": "deadline_ms = 50\nhop = 0.25"}, r"loop\.hop: Input should be a valid integer"),
        (
            {"governor": "calm_s = '1 s'"},
            r"governor\.calm_s: .* without a unit; found '1 s'\n\[governor\] takes rungs, ",
        ),
        ({"supervisor": "memory_mb = '100 MB'"}, r"supervisor\.memory_mb: .* without a unit; found '100 MB'"),
        ({"loop": "deadline_ms = 3e8"}, r"loop\.deadline_ms: .*at most 1e\+08; found 300000000"),
        ({"loop": "deadline_ms = 50\nhang_ms = inf"}, r"loop\.hang_ms: Input should be a finite number"),
        ({"loop": "deadline_ms = 50\nsilence_ms = nan"}, r"loop\.silence_ms: Input should be a finite number"),
        (
            {"sink": "[[sink]]\nkind = 'console'\nevery = 1\n"},
            r"sink console: every: no such key\nsink console takes every_s",
        ),
        ({"sink": "[sink]\nkind = 'console'"}, r"sink: there may be several: write \[\[sink\]\]"),
        ({"sink": "[[sink]]\nkind = 'console'\nevery_s = inf\n"}, "sink console: every_s: Input should be a finite"),
        ({"source": "", "top": "source = 5"}, r"source: it is one line of text or a table with a kind; found 5"),
        ({"source": "kind = 'file'\npath = 2026-01-01"}, "source file: path: Input is not a valid path"),
        ({"source": "kind = 'telepathy'"}, "no source kind 'telepathy'"),
        ({"model": "bundle = 'x'\noptions = { threads = true }"}, r"model\.options\.threads: Input should be a valid"),
    ],
)
def test_what_is_wrong_is_named_in_plain_words(folder: Path, tables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_app(written(folder, **tables))
    assert "json-or-python" not in str(caught.value)
