"""docs/hybrid.md: its examples run as they are written; and ``edge-sdk run --remote``."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.network_model import Frames, image_bundle
from edge_sdk.app import App, read_app
from edge_sdk.cli import group
from edge_sdk.errors import ConfigError
from edge_sdk.hybrid.settings import RemoteSettings
from tests.faulty_server import FaultyServer
from tests.served_variant import serve_variant

TEXT = (Path(__file__).parents[1] / "docs/hybrid.md").read_text()
BASE = '[model]\nbundle = "face.edge"\n[source]\nkind = "camera"\ndevice = "0"\n[loop]\ndeadline_ms = 100\n'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    image_bundle(tmp_path)
    with serve_variant(str(tmp_path / "images.edge"), "tflite-float32") as made:
        yield made


def test_the_table_is_valid(tmp_path: Path) -> None:
    (table,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "app.toml").write_text(BASE + table)
    app = read_app(tmp_path / "app.toml")
    assert isinstance(app, App) and app.remote is not None and app.remote.bytes_per_s == 500_000


def test_the_example_runs_as_written(
    tmp_path: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    camera = Frames()
    ending = threading.Thread(target=lambda: (server.until_asked(12), camera.close()))
    ending.start()
    exec(compile(example, "docs/hybrid.md", "exec"), {"url": server.url, "camera": camera})
    ending.join(20)
    said = capsys.readouterr().out
    assert (
        "tflite-float32 on remote class" in said and "remote (hybrid, prefer remote): v2-rest http://127.0.0.1" in said
    )


def test_figures_that_the_page_states_are_the_defaults() -> None:
    made = RemoteSettings(url="https://host", protocol="v2-rest", model="face")  # type: ignore[arg-type]
    assert (made.policy, made.prefer, made.certain, made.in_flight) == ("hybrid", "local", 0.8, 1)
    assert (made.window_s, made.first_wait_s, made.longest_wait_s, made.healthy_s) == (60, 0.5, 10, 30)
    for said in ("last minute", "half a second apart at first, ten seconds at last", "thirty seconds without failure"):
        assert said in TEXT


def test_the_command_line_has_a_server_run_everything(tmp_path: Path, server: FaultyServer) -> None:
    import cv2

    from benchmarks.network_model import images

    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images()):
        cv2.imwrite(str(tmp_path / f"photos/{number}.png"), image[:, :, ::-1])
    words = [
        "run",
        str(tmp_path / "images.edge"),
        "--source",
        f"images:{tmp_path / 'photos'}",
        "--deadline",
        "1000",
        "--json",
    ]
    flags = [
        "--remote",
        server.url,
        "--remote-protocol",
        "v2-rest",
        "--remote-model",
        "model",
        "--remote-policy",
        "remote",
    ]
    done = CliRunner().invoke(group, [*words, *flags])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["served"] == {"tflite-float32 on remote": 8} and report["remote"]["used"] == 8
    refused = CliRunner().invoke(group, [*words, *flags[:2]])
    assert isinstance(refused.exception, ConfigError) and "--remote: protocol: is missing" in str(refused.exception)
