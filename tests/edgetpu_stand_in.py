"""Stand-ins for Google's Edge TPU compiler, which is closed and out of reach of the tests: programs that behave as told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_HEAD = """#!{python} -IS
import os, pathlib, signal, subprocess, sys, time
if sys.argv[1:] == ["--version"]:
    print("Edge TPU Compiler version {version}")
    sys.exit(0)
arguments = sys.argv[1:]
pathlib.Path({told!r}).write_text("\\n".join(arguments))
models = [pathlib.Path(argument) for argument in arguments if argument.endswith(".tflite")]
segments = int(arguments[arguments.index("--num_segments") + 1]) if "--num_segments" in arguments else 1
def name(model, number):
    return f"{{model.stem}}_segment_{{number}}_of_{{segments}}_edgetpu" if segments > 1 else f"{{model.stem}}_edgetpu"
"""

COPIES = """
for model in models:
    for number in range(segments):
        pathlib.Path(f"{name(model, number)}.tflite").write_bytes(b"compiled %d " % number + model.read_bytes())
print("Edge TPU Compiler version 16.0.384591198")
print("Model compiled successfully in 3 ms.")
"""


def stand_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, body: str = COPIES, version: str = "16.0.384591198"
) -> Path:
    """Put a compiler of this body on PATH, the only one there; the arguments of its last run stand in ``folder/told``."""
    bin_ = folder / "bin"
    bin_.mkdir(parents=True, exist_ok=True)
    script = bin_ / "edgetpu_compiler"
    script.write_text(_HEAD.format(python=sys.executable, version=version, told=str(folder / "told")) + body)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.delenv("EDGETPU_COMPILER", raising=False)
    return script


def compiling_stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, after: str = "") -> None:
    """Put a compiler on PATH that makes compiled models, with packages that no chip would run: ``tests.edgetpu_compile``."""
    root = Path(__file__).parents[1]
    script = stand_in(folder, monkeypatch)
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        f"from tests.edgetpu_compile import main\nmain(sys.argv[1:])\n{after}"
    )
