"""What ``import edge_sdk`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import edge_sdk

ROOT = Path(edge_sdk.__file__).parents[1]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_every_name_stated_is_there_and_none_else() -> None:
    assert sorted(edge_sdk.__all__) == edge_sdk.__all__
    assert sorted(edge_sdk._HOMES) == edge_sdk.__all__
    for name in edge_sdk.__all__:
        assert getattr(edge_sdk, name).__name__ == name
    assert {n for n in dir(edge_sdk) if not n.startswith("_")} == set(edge_sdk.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(edge_sdk, "Tpu")


def test_importing_loads_neither_vendor_library_nor_converter() -> None:
    heavy = "{'numpy', 'pydantic', 'click', 'cv2', 'ai_edge_litert', 'tensorflow', 'converters', 'boards', 'asyncio'}"
    assert run(f"import sys, edge_sdk; print({heavy} & set(sys.modules))").strip() == "set()"


def test_device_commands_load_no_host_library() -> None:
    heavy = "{'cv2', 'ai_edge_litert', 'tensorflow', 'converters', 'jinja2'}"
    modules = ", ".join(f"edge_sdk.cli.{name}" for name in ("run", "bench", "inspect", "boards", "doctor"))
    assert run(f"import sys, {modules}; print({heavy} & set(sys.modules))").strip() == "set()"


def test_the_device_never_imports_the_workstation() -> None:
    for file in (ROOT / "edge_sdk").rglob("*.py"):
        for line in file.read_text().splitlines():
            assert not line.lstrip().startswith(("import converters", "from converters")), f"{file}: {line}"
