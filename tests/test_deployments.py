"""docs/deployments.md: its commands run as they stand there, and say what is copied there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sdk.app import App, read_app

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/deployments.md").read_text()
COMMANDS = re.findall(r"(?m)^    (edge-sdk (?:.*\\\n)*.*)$", TEXT)


def command(begins: str) -> str:
    (found,) = [each for each in COMMANDS if each.startswith(begins)]
    return found.replace("edge-sdk", f"{sys.executable} -m edge_sdk.cli")


def run(folder: Path, begins: str) -> str:
    done = subprocess.run(["bash", "-euc", command(begins)], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_one_bundle_is_made_for_three_boards_runs_here_and_goes_to_a_server(
    face_model: Path, carphone: Path, tmp_path: Path
) -> None:
    for package in ("onnxruntime", "openvino"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    shutil.copy(face_model, tmp_path / "face.tflite")
    shutil.copy(carphone, tmp_path / "clip.mp4")
    for name, target in (("model.toml", "face.toml"), ("labels.txt", "labels.txt")):
        shutil.copy(ROOT / "examples/face" / name, tmp_path / target)
    converted = run(tmp_path, "edge-sdk convert")
    assert "raspberry-pi-5 (tflite-int8), jetson-orin-nano (onnx-qdq), generic-x86-64 (openvino)" in converted
    for kind in ("onnx-qdq", "onnx-float16", "openvino"):
        assert re.search(rf"also {kind} .*found again with float 100.00 %", converted)
    ran = run(tmp_path, "edge-sdk run face.edge --source file:clip.mp4")
    assert re.search(r"120 +\d+ +\d+ +0 +0 +0 +0\n", ran)
    assert "golden vectors: 2 replayed" in run(tmp_path, "edge-sdk bench face.edge --variant onnx-qdq")
    exported = run(tmp_path, "edge-sdk export face.edge --to kserve")
    assert "models/face: tflite-int8 for kserve" in exported
    assert (tmp_path / "models/face/contract.json").is_file()


def test_the_app_of_the_hybrid_is_valid(tmp_path: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "app.toml").write_text(toml)
    app = read_app(tmp_path / "app.toml")
    assert isinstance(app, App) and app.remote is not None
    assert (app.remote.policy, app.remote.prefer) == ("hybrid", "remote")
