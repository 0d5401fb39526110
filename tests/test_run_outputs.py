"""What ``edge-sdk run`` does to files and terminals: nothing is lost by a run that fails, is repeated, or loses its terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sdk.bundle import Manifest, Variant, write_bundle
from edge_sdk.bundle.write import stored_files
from edge_sdk.contract import Contract
from edge_sdk.tasks.settings import RawSettings
from edge_sdk.tensors import TensorSpec
from tests.small_bundles import null_bundle

COMMAND = [sys.executable, "-u", "-m", "edge_sdk.cli"]


def edge_sdk(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A run of 20 samples."""
    np.save(tmp_path / "numbers.npy", np.zeros((20, 4), np.int8))
    bundle = null_bundle(tmp_path / "null.edge")
    source = f"replay:{tmp_path}/numbers.npy"
    return ["run", str(bundle), "--source", source, "--deadline", "1000", "--engine", "null", "--isolation", "none"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_run_that_fails_leaves_everything_as_it_was(words: list[str], overwrite: bool, tmp_path: Path) -> None:
    kept = tmp_path / "keep.jsonl"
    sink = ["--sink", f"jsonl:{kept}", *(["--overwrite"] if overwrite else [])]
    if overwrite:
        kept.write_text("precious")
    assert edge_sdk(*words, *sink, "--source", "replay:none.npy").returncode == 1
    assert edge_sdk("run", tmp_path / "missing.edge", *words[2:], *sink).returncode == 1
    assert (kept.read_text() if overwrite else kept.exists()) == ("precious" if overwrite else False)
    assert edge_sdk(*words, *sink).returncode == 0  # the corrected command is not in the way of the first
    assert len(kept.read_text().splitlines()) == 20


def test_two_sinks_on_one_file_are_refused(words: list[str], tmp_path: Path) -> None:
    sink = ["--sink", f"jsonl:{tmp_path}/two.jsonl"]
    done = edge_sdk(*words, *sink, *sink, "--overwrite")
    assert done.returncode == 2
    assert f"two sinks write to {tmp_path}/two.jsonl" in done.stderr
    assert not (tmp_path / "two.jsonl").exists()


@pytest.mark.parametrize("sinks", [["--sink", "console"], ["--sink", "console:?every_s=0"]])
def test_with_json_standard_output_is_one_json_object(words: list[str], sinks: list[str]) -> None:
    done = edge_sdk(*words, *sinks, "--json")
    assert json.loads(done.stdout)["counts"]["on_time"] == 20
    assert "#0 " in done.stderr


def test_a_console_sink_of_an_app_toml_leaves_json_alone(words: list[str], tmp_path: Path) -> None:
    app = tmp_path / "app.toml"
    app.write_text(
        "[model]\nbundle = 'null.edge'\nengine = 'null'\n[loop]\ndeadline_ms = 1000\n"
        "[source]\nkind = 'replay'\npath = 'numbers.npy'\n[[sink]]\nkind = 'console'\n"
    )
    done = edge_sdk("run", app, "--json")
    assert json.loads(done.stdout)["counts"]["on_time"] == 20


def test_nothing_of_a_file_reaches_the_terminal_raw(tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b[31m\x07.edge"
    for command in ("inspect", "bench"):
        done = edge_sdk(command, hostile)
        assert done.returncode == 1
        assert "does not exist" in done.stderr
        assert all(c.isprintable() or c == "\n" for c in done.stderr)


# Signals


@pytest.fixture
def filming(tmp_path: Path) -> list[str]:
    """A run over images without end that writes a video."""
    image, output = TensorSpec("input", (1, 8, 8, 3), "uint8"), TensorSpec("output", (1, 4), "int8")
    files = {"model": b"nothing"}
    manifest = Manifest(
        name="image",
        created_by="a test",
        contract=Contract(input="image", colour="bgr", range=(0, 255), resize="stretch"),
        task=RawSettings(),
        variants=(Variant(id="null", kind="null", file="model", inputs=(image,), outputs=(output,)),),
        files=stored_files(files),
    )
    write_bundle(tmp_path / "image.edge", manifest, files)
    np.save(tmp_path / "frames.npy", np.zeros((5, 64, 96, 3), np.uint8))
    source = f"replay:{tmp_path}/frames.npy?colour=bgr&rate_hz=50&loop=1"
    words = ["run", str(tmp_path / "image.edge"), "--source", source, "--deadline", "1000", "--engine", "null"]
    words += ["--engine-option", "input=1,8,8,3 uint8", "--isolation", "none"]
    return [*words, "--sink", f"video:{tmp_path}/out.mp4", "--sink", "console:?every_s=1000000"]


def frames_of(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count


def test_a_dropped_terminal_leaves_a_whole_video(filming: list[str], tmp_path: Path) -> None:
    """As when ssh drops: the terminal is gone, so nothing can be printed any more, and SIGHUP comes."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *filming], stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        assert b"#0" in os.read(ours, 1000)  # the first result
        os.close(ours)
        running.send_signal(signal.SIGHUP)
        assert running.wait(20) == 129
    assert frames_of(tmp_path / "out.mp4") >= 1
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_under_nohup_a_dropped_session_is_nothing(filming: list[str]) -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", ignoring, *COMMAND, *filming, "--sink", "console:?every_s=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("#0")
        running.send_signal(signal.SIGHUP)
        assert any("#" in running.stdout.readline() for _ in range(10))
        assert running.poll() is None
        running.terminate()
        running.communicate(timeout=20)
    assert running.returncode == 143


# A standard output that takes nothing


@pytest.mark.parametrize("command", ["boards", "doctor", "inspect", "bench", "run", "run --json"])
def test_a_full_standard_output_is_one_clean_line(words: list[str], command: str, tmp_path: Path) -> None:
    name, *flags = command.split()
    of = {"inspect": [words[1]], "bench": [words[1], "--engine", "null", "--runs", "3"], "run": words[1:]}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, name, *of.get(name, []), *flags], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: " + done.stderr.splitlines()[0].removeprefix("error: ")]
    assert "No space left on device" in done.stderr
