"""``edge-sdk`` as people and scripts meet it: help, exit codes, one clean line for an error, interruption at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import descendants, is_alive
from tests.small_bundles import null_bundle

COMMANDS = ("convert", "sweep", "inspect", "run", "service", "bench", "boards", "doctor")


def edge_sdk(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_sdk.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return null_bundle(tmp_path / "null.edge")


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    import numpy as np

    path = tmp_path / "numbers.npy"
    np.save(path, np.zeros((50, 4), np.int8))
    return path


def test_help_names_every_command() -> None:
    said = edge_sdk("--help").stdout
    assert all(f"\n  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = edge_sdk(command, "--help")
    assert done.returncode == 0
    assert f"edge-sdk {command}" in done.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    done = edge_sdk("fly")
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr


def test_run_over_arrays_reports_every_sample(bundle: Path, numbers: Path) -> None:
    done = edge_sdk("run", bundle, "--source", f"replay:{numbers}", "--deadline", 1000, "--engine", "null", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert counts == {"captured": 50, "on_time": 50, "late": 0, "dropped": 0, "skipped": 0, "lost": 0, "in_flight": 0}


def test_run_from_an_app_toml_with_flags_over_it(bundle: Path, numbers: Path, tmp_path: Path) -> None:
    app = tmp_path / "app.toml"
    app.write_text(
        f"""
        [model]
        bundle = "{bundle.name}"
        engine = "null"
        isolation = "none"
        [source]
        kind = "replay"
        path = "{numbers}"
        [loop]
        deadline_ms = 1000
        [[sink]]
        kind = "jsonl"
        path = "{tmp_path}/results.jsonl"
        """
    )
    done = edge_sdk("run", app, "--results", 7, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["on_time"] == 7
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model", "is not TOML"),
        ("[modle]\nbundle='x'", "modle: no such key"),
        (
            "[model]\nbundle='x'\n[loop]\ndeadline_ms=0\n[source]\nkind='camera'",
            "loop.deadline_ms: deadline_ms is a number of milliseconds above 0",
        ),
        ("[model]\nbundle='x'\nengin='y'\n[loop]\ndeadline_ms=1\n[source]\nkind='camera'", "model.engin: no such key"),
    ],
)
def test_a_wrong_app_toml_names_the_key(text: str, said: str, tmp_path: Path) -> None:
    app = tmp_path / "app.toml"
    app.write_text(text)
    done = edge_sdk("run", app)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_run_lacks_is_asked_for_by_name(bundle: Path) -> None:
    done = edge_sdk("run", bundle)
    assert (done.returncode, done.stderr) == (
        2,
        "error: missing: --source and --deadline; give them, or an app.toml that has them\n",
    )


def test_no_camera_says_which_there_are(bundle: Path) -> None:
    done = edge_sdk("run", bundle, "--source", "camera:/dev/video97", "--deadline", 50, "--engine", "null")
    assert done.returncode == 1
    assert "no camera at /dev/video97" in done.stderr
    assert "edge-sdk doctor" in done.stderr


def test_an_existing_output_is_kept_without_overwrite(bundle: Path, numbers: Path, tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    kept.write_text("precious")
    words = (
        "run",
        bundle,
        "--source",
        f"replay:{numbers}",
        "--deadline",
        100,
        "--engine",
        "null",
        "--sink",
        f"jsonl:{kept}",
    )
    done = edge_sdk(*words)
    assert done.returncode == 1
    assert f"{kept} exists already" in done.stderr
    assert kept.read_text() == "precious"
    assert edge_sdk(*words, "--overwrite").returncode == 0
    assert len(kept.read_text().splitlines()) == 50


def test_bench_measures_and_refuses_what_is_no_model(bundle: Path, tmp_path: Path) -> None:
    done = edge_sdk("bench", bundle, "--engine", "null", "--runs", 10, "--json")
    assert json.loads(done.stdout)["stages"]["engine"]["count"] == 10
    junk = tmp_path / "junk.tflite"
    junk.write_bytes(b"junk" * 1000)
    for isolation in ("process", "none"):
        done = edge_sdk("bench", junk, "--isolation", isolation)
        assert done.returncode == 1
        assert "refuses the model" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_whole_files_and_no_process(
    with_signal: signal.Signals, bundle: Path, numbers: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results.jsonl"
    words = ["run", bundle, "--source", f"replay:{numbers}?rate_hz=20", "--deadline", "100", "--engine", "null"]
    words += ["--sink", f"jsonl:{results}", "--sink", "console"]  # a line on the console follows one in the file
    command = [sys.executable, "-u", "-m", "edge_sdk.cli", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()  # the first result
        family = descendants(running.pid)
        assert family
        os.kill(running.pid, with_signal)
        out, err = running.communicate(timeout=20)
    assert running.returncode == 128 + with_signal
    assert "Traceback" not in err
    assert "captured" in out  # the report comes all the same
    lines = results.read_text().splitlines()
    assert lines
    assert all(json.loads(line) for line in lines)
    assert not any(is_alive(pid) for pid in family)
