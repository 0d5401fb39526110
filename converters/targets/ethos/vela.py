"""Arm's compiler for Ethos-U, run in a process of its own: it may crash, hang, or end well without having put anything on the NPU."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from boards.profile import EthosU
from edge_sdk.errors import MissingPackageError, ModelError
from edge_sdk.inputs import read_plain_file

TIMEOUT_S = 300.0
_MOST_BYTES = 2 << 30  # a flatbuffer's offsets reach no further
_LAST_LINES = 4
_REFUSED = re.compile(r"operator: (\w+), .*\nReason: (.*)")


@dataclass(frozen=True)
class Estimate:
    """What vela expects, by its own model of the NPU: no measurement.

    Attributes:
        inference_ms: of one inference; ``cycles`` of the NPU.
        sram_bytes, dram_bytes: memory that the model takes while it runs.
        clock_mhz: of the NPU, that this is for.
    """

    inference_ms: float
    cycles: int
    sram_bytes: int
    dram_bytes: int
    clock_mhz: float


@dataclass(frozen=True)
class Compiled:
    """A model for the NPU.

    Attributes:
        content: the .tflite, with operators ``ethos-u`` where the NPU runs it.
        version: of vela.
        estimate: what vela expects.
        refused: what the NPU does not take, by vela's words: kind of operator and the first reason.
    """

    content: bytes
    version: str
    estimate: Estimate
    refused: dict[str, str]


def run_vela(content: bytes, npu: EthosU, *, timeout_s: float = TIMEOUT_S) -> Compiled:
    """Compile a .tflite model.

    Args:
        content: the model, full-integer.
        npu: what it is compiled for.
        timeout_s: vela is killed after it.

    Raises:
        MissingPackageError: if vela is not installed.
        ModelError: if it fails, crashes, hangs or leaves no file; the message has its last words.
    """
    if find_spec("ethosu") is None:
        raise MissingPackageError(
            "ethosu", needed_for="compiling for Ethos-U", install="pip install 'edge-device-sdk[ethos]'"
        )
    with tempfile.TemporaryDirectory(prefix="edge-sdk-vela-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        said = _run(_command(npu), folder, timeout_s)
        compiled, summaries = folder / "out/model_vela.tflite", sorted((folder / "out").glob("model_summary_*.csv"))
        if not compiled.is_file() or not summaries:
            raise ModelError(f"vela ended well but left no compiled model. It said last: {_last(said)}")
        made = read_plain_file(compiled, ModelError, give="a compiled model", most_bytes=_MOST_BYTES)
        return Compiled(made, version("ethos-u-vela"), _estimate(summaries[0]), dict(_REFUSED.findall(said)))


def _command(npu: EthosU) -> list[str]:
    told = [sys.executable, "-m", "ethosu.vela", "model.tflite", "--output-dir", "out", "--config", "Arm/vela.ini"]
    told += ["--accelerator-config", npu.accelerator, "--system-config", npu.system, "--memory-mode", npu.memory]
    return told


def _run(told: list[str], folder: Path, timeout_s: float) -> str:
    """What it printed; it and its children do not outlive the call."""
    printed = folder / "printed"
    with printed.open("wb") as file:
        child = subprocess.Popen(
            told, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise ModelError(f"vela had not come back after {timeout_s:g} s, and was killed") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    said = printed.read_text(errors="replace")
    if child.returncode < 0:
        raise ModelError(f"vela crashed ({signal.Signals(-child.returncode).name}). It said last: {_last(said)}")
    if child.returncode:
        raise ModelError(f"vela ended with exit code {child.returncode}. It said last: {_last(said)}")
    return said


def _estimate(summary: Path) -> Estimate:
    """Of the table that vela leaves; its memory is in KiB.

    Raises:
        ModelError: if it is of another form.
    """
    try:
        with summary.open(newline="") as file:
            row = next(csv.DictReader(file))
        return Estimate(
            inference_ms=float(row["inference_time"]) * 1e3,
            cycles=round(float(row["cycles_total"])),
            sram_bytes=round(float(row["sram_memory_used"]) * 1024),
            dram_bytes=round(float(row["dram_memory_used"]) * 1024),
            clock_mhz=float(row["core_clock"]) / 1e6,
        )
    except (StopIteration, KeyError, ValueError) as exc:
        raise ModelError(f"vela's summary is of another form than that of release 5: {exc!r}") from exc


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(lines[-_LAST_LINES:]) or "nothing"
