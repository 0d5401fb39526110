"""Trying vendor libraries in a process of their own: whatever they do there, the doctor lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT_S = 30.0

_IMPORT = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
print(getattr(module, "__version__", ""))
"""

_PROVIDERS = """
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
print(", ".join(name for name in onnxruntime.get_available_providers() if name != "AzureExecutionProvider"))
"""

# Importing is not enough: tflite-runtime 2.14 imports under NumPy 2 and fails when the first interpreter is made. So one ADD of a
# float with itself is run. The model is 276 bytes, made with ai_edge_litert.schema_py_generated: tensors x, y; y = x + x.
_INTERPRETER = """
import base64, importlib, sys
module = importlib.import_module(sys.argv[1])
import numpy
interpreter = module.Interpreter(model_content=base64.b64decode(sys.argv[2]))
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], numpy.array([1.5], numpy.float32))
interpreter.invoke()
result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
if result[0] != 3.0:
    sys.exit(f"1.5 + 1.5 came out as {result[0]}")
print(numpy.__version__)
"""
_ADD_MODEL = (
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAYAAAA4AAAAAMAAAABAAAABAAAACj///8BAAAAEAAAAAwAFAAQAAwACAAEAAwAAAAQAAAAUAAAAFQA"
    "AABYAAAAAQAAABQAAAAAAA4AFAAAABAADAALAAQADgAAABAAAAAAAAALDAAAABAAAACA////AQAAAAEAAAACAAAAAAAAAAAAAAABAAAAAQAAAAEAAAAAAAAA"
    "AgAAADAAAAAEAAAA5P///wgAAAAMAAAAAQAAAHkAAAABAAAAAQAAAAwADAAIAAAAAAAEAAwAAAAIAAAADAAAAAEAAAB4AAAAAQAAAAEAAAABAAAACAAAAAQA"
    "BAAEAAAA"
)


@dataclass(frozen=True)
class Probe:
    """How a try went: ``said`` is the version it printed, or why it failed."""

    worked: bool
    said: str


def try_import(module: str, search_path: Sequence[str], timeout_s: float = TIMEOUT_S) -> Probe:
    """Import ``module`` in a fresh Python that searches the folders of ``search_path``."""
    return _run(_IMPORT, [module], search_path, timeout_s)


def try_providers(search_path: Sequence[str], timeout_s: float = TIMEOUT_S) -> Probe:
    """Import ONNX Runtime, without its telemetry; says its providers."""
    return _run(_PROVIDERS, [], search_path, timeout_s)


def try_interpreter(module: str, search_path: Sequence[str], timeout_s: float = TIMEOUT_S) -> Probe:
    """Run a model of one addition with the ``Interpreter`` of ``module``; says numpy's version."""
    return _run(_INTERPRETER, [module, _ADD_MODEL], search_path, timeout_s)


def _run(program: str, arguments: list[str], search_path: Sequence[str], timeout_s: float) -> Probe:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path))}
    command = [sys.executable, "-c", program, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return Probe(False, f"it did not come back within {timeout_s:g} s")
    if done.returncode == 0:
        return Probe(True, (done.stdout.splitlines() or [""])[-1])
    if done.returncode < 0:
        return Probe(False, f"it died of {signal.Signals(-done.returncode).name}")
    return Probe(False, _reason(done.stderr))


def _reason(stderr: str) -> str:
    """What a failed Python said: numpy's own sentence about versions where there is one, else the exception."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if "compiled using NumPy 1.x" in line:
            return " ".join(lines[number : number + 2]).partition(" as it may crash")[0]
    return lines[-1] if lines else "it failed without a word"
