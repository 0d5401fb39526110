"""docs/from-pycoral.md: its table has everything that is public, with the arguments, defaults and errors that it has."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import edge_sdk
from edge_sdk import pycoral

ROOT = Path(edge_sdk.__file__).parents[1]
PAGE = ROOT / "docs/from-pycoral.md"
MODULES = (
    "utils.edgetpu", "utils.dataset", "adapters.common", "adapters.classify", "adapters.detect", "adapters.segment",
    "pipeline.pipelined_model_runner",
)  # fmt: skip
# As Google documents them (coral.ai/docs/reference/py) and as its repository has them: google-coral/pycoral, 9972f8e.
PYCORAL = {
    "utils.edgetpu": "get_runtime_version invoke_with_bytes invoke_with_dmabuffer invoke_with_membuffer list_edge_tpus "
    "load_edgetpu_delegate make_interpreter run_inference set_verbosity supports_dmabuf",
    "utils.dataset": "read_label_file",
    "adapters.common": "input_details input_size input_tensor output_tensor set_input set_resized_input",
    "adapters.classify": "Class get_classes get_classes_from_scores get_scores num_classes",
    "adapters.detect": "BBox Object get_objects",
    "adapters.segment": "get_output",
    "pipeline.pipelined_model_runner": "PipelinedModelRunner",
}


@dataclass(frozen=True)
class Row:
    module: str
    signature: str
    errors: tuple[str, ...]
    against: str

    @property
    def name(self) -> str:
        return self.signature.partition("(")[0]

    @property
    def found(self) -> Any:
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
        return found.__func__ if isinstance(found, staticmethod) else found


def rows() -> Iterator[Row]:
    module = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            module = line.removeprefix("### ") if line.startswith("### edge_sdk") else ""
        if module and line.startswith("| `"):
            signature, _, _, errors, against = (each.strip() for each in line.strip("|").split("|"))
            yield Row(module, signature.strip("`"), tuple(filter(None, errors.split(", "))), against)


ROWS = list(rows())
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.module.rpartition('.')[2]}.{row.name}")


def public(module: str) -> set[str]:
    found = importlib.import_module(f"edge_sdk.pycoral.{module}")
    return {
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == found.__name__
    }


def arguments(signature: str) -> list[tuple[str, Any]]:
    (call,) = ast.parse(f"def {signature.replace('.', '_', signature.partition('(')[0].count('.'))}: ...").body
    assert isinstance(call, ast.FunctionDef)
    names = [each.arg for each in call.args.args]
    defaults = [eval(ast.unparse(each), {"float": float}) for each in call.args.defaults]
    return list(zip(names, [inspect.Parameter.empty] * (len(names) - len(defaults)) + defaults, strict=True))


@pytest.mark.parametrize("module", MODULES)
def test_what_pycoral_has_is_here_and_nothing_else(module: str) -> None:
    assert public(module) == set(PYCORAL[module].split())
    assert public(module) == {row.name for row in ROWS if row.module.endswith(module) and "." not in row.name}


def test_methods_and_properties_stand_in_the_table() -> None:
    for name, kind in (("BBox", pycoral.adapters.detect.BBox), ("PipelinedModelRunner", runner())):
        own = {each for each in vars(kind) if not each.startswith("_")} - set(getattr(kind, "_fields", ()))
        assert own == {row.name.partition(".")[2] for row in ROWS if row.name.startswith(f"{name}.")}


def runner() -> Any:
    return pycoral.pipeline.pipelined_model_runner.PipelinedModelRunner


@each_row
def test_arguments_and_defaults_are_those_of_the_table(row: Row) -> None:
    if isinstance(row.found, property):
        assert "(" not in row.signature
        return
    has = [(p.name, p.default) for p in inspect.signature(row.found).parameters.values() if p.name != "self"]
    assert has == arguments(row.signature)


@each_row
def test_errors_are_those_that_the_code_states(row: Row) -> None:
    stated = (inspect.getdoc(row.found) or "").partition("Raises:")[2]
    assert set(row.errors) == set(re.findall(r"^ +(\w+Error)\b", stated, re.MULTILINE)) | inherited(row.name)


def inherited(name: str) -> set[str]:
    """Of those whose docstring says that they are another one's, or two in a row."""
    return {
        "get_classes": {"ValueError"},
        "invoke_with_bytes": {"RuntimeError"},
        "invoke_with_membuffer": {"RuntimeError"},
    }.get(name, set())


@each_row
def test_each_says_how_it_stands_against_pycoral(row: Row) -> None:
    assert row.against
    assert (
        ("as pycoral" in row.against or "as above" in row.against)
        or "pycoral" in row.against
        or "make_interpreter" in row.against
    )


def test_the_command_of_the_page_changes_the_imports_of_a_program(tmp_path: Path) -> None:
    (command,) = re.findall(r"sed -i -E '[^']+' program\.py", PAGE.read_text())
    program = (
        "import numpy as np\n"
        "import pycoral.pipeline.pipelined_model_runner as pipeline\n"
        "from pycoral.adapters import classify\n"
        "def f():\n"
        "  from pycoral.utils.edgetpu import make_interpreter\n"
        "  return make_interpreter, classify.get_classes, pipeline.PipelinedModelRunner\n"
        "print(*(each.__module__ for each in f()))\n"
    )
    (tmp_path / "program.py").write_text(program)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(each.startswith("edge_sdk.pycoral.") for each in done.stdout.split()), done.stdout


def test_everything_is_reached_from_the_package() -> None:
    assert pycoral.make_interpreter is pycoral.utils.edgetpu.make_interpreter
    assert pycoral.adapters.classify.get_classes and pycoral.utils.dataset.read_label_file
    assert {name for name in pycoral.__all__} == {"adapters", "make_interpreter", "pipeline", "utils"}


def test_importing_it_loads_no_interpreter() -> None:
    heavy = "{'ai_edge_litert', 'tflite_runtime', 'tensorflow', 'cv2', 'PIL', 'gi', 'converters'}"
    code = f"import sys, edge_sdk.pycoral; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
