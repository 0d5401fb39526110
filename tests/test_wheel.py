"""The wheel, installed elsewhere, does what the README says, on every Python there is here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.test_readme_formats import CONFIG, write_onnx

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def find_python(version: str) -> str | None:
    if sys.version_info[:2] == tuple(int(n) for n in version.split(".")):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for candidate in (*sorted(pyenv.glob(f"versions/{version}.*/bin/python")), shutil.which(f"python{version}")):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return None


def run(*words: object, cwd: Path) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(w) for w in words], cwd=cwd, capture_output=True, text=True, check=False, env=clean)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tracked files: nothing stale can come along."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in run("git", "ls-files", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    run(sys.executable, "-m", "build", "--outdir", out, copy, cwd=copy)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_what_it_must_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"edge_sdk", "converters", "boards"}
    tracked = set(run("git", "ls-files", "edge_sdk", "converters", "boards", cwd=ROOT).split())
    assert {name for name in names if ".dist-info" not in name} == tracked


@pytest.mark.slow
@pytest.mark.parametrize("version", PYTHONS)
def test_the_installed_wheel_does_the_main_job(
    version: str, wheel: Path, face_model: Path, carphone: Path, tmp_path: Path
) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    run(python, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    commands = tmp_path / "venv/bin"
    run(commands / "python", "-m", "pip", "install", "--quiet", f"{wheel}[convert,camera,onnx]", cwd=tmp_path)
    for name in ("model.toml", "labels.txt"):
        shutil.copy(ROOT / "examples/face" / name, tmp_path)
    sdk = commands / "edge-sdk"
    calibrate, holdout = f"{carphone}?stop=60", f"{carphone}?start=60"
    run(
        sdk,
        "convert",
        face_model,
        "--config",
        "model.toml",
        "--calibrate",
        calibrate,
        "--holdout",
        holdout,
        "-o",
        "face.edge",
        cwd=tmp_path,
    )
    assert "Full-integer" in run(sdk, "inspect", "face.edge", cwd=tmp_path)
    assert json.loads(run(sdk, "bench", "face.edge", "--runs", 20, "--json", cwd=tmp_path))["golden"]["inputs"] == 2
    source = f"file:{carphone}?pace=fast"
    report = json.loads(run(sdk, "run", "face.edge", "--source", source, "--deadline", 1000, "--json", cwd=tmp_path))
    assert report["counts"]["on_time"] == report["counts"]["captured"] == 120
    assert "raspberry-pi-5" in run(sdk, "boards", cwd=tmp_path)
    assert "no faults" in run(sdk, "doctor", cwd=tmp_path)
    write_onnx(tmp_path)
    np.save(tmp_path / "photos.npy", np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8))
    (tmp_path / "net.toml").write_text(CONFIG)
    said = run(sdk, "convert", "net.onnx", "--calibrate", "photos.npy?colour=rgb", "-o", "net.edge", cwd=tmp_path)
    assert "Proven: full-integer int8" in said
    assert "ONNX Runtime" in said
