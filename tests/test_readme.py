"""What the README shows is run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from edge_sdk.app import read_app
from edge_sdk.contract import contract_from
from edge_sdk.inputs import tomllib

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def indented_block(first_line: str) -> str:
    found = re.search(rf"(?m)^    {re.escape(first_line)}\n(?:    .*\n|\n(?=    ))*", README)
    assert found, f"the README has no block that begins with {first_line}"
    return textwrap.dedent(found.group())


def test_the_embedding_example_runs_as_written(face_bundle: Path, carphone: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy(face_bundle, tmp_path / "face.edge")
    shutil.copy(carphone, tmp_path / "clip.mp4")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("face 0.") > 100
    assert "captured" in done.stdout


def test_the_convert_and_inspect_commands_run_as_written(face_model: Path, carphone: Path, tmp_path: Path) -> None:
    block = indented_block('pip install "edge-device-sdk[convert]"').partition("\n")[2]
    shutil.copy(face_model, tmp_path / "face.tflite")
    shutil.copy(carphone, tmp_path / "clip.mp4")
    for name, target in (("model.toml", "face.toml"), ("labels.txt", "labels.txt")):
        shutil.copy(ROOT / "examples/face" / name, tmp_path / target)
    script = block.replace("edge-sdk ", f"{sys.executable} -m edge_sdk.cli ")
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "face.edge").is_file()
    assert "Proven: full-integer int8" in done.stdout


def test_the_app_toml_and_the_contract_are_valid(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(indented_block("[model]"))
    app = read_app(tmp_path / "app.toml")
    assert app.model.bundle == tmp_path / "face.edge"
    contract = tomllib.loads(indented_block("[contract]"))["contract"]
    assert contract_from(contract, "README").colour == "rgb"


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
