"""How soon an application that is frozen, or was killed, gives results again, beside how long it takes from a cold start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from benchmarks.bundles import classifier_bundle
from benchmarks.models import MOBILENET_INT8
from benchmarks.processes import children, family
from benchmarks.rows import Row
from benchmarks.supervised import Supervised, page
from edge_sdk.watchdog import pulse

_FROZEN_S = 2.0
_WITHIN_S, _RATIO = 2.0, 1.5
_LONGEST_S = 30.0


def run(quick: bool) -> list[Row]:
    """``edge-sdk run`` of MobileNetV2-224 int8 on frames of 640x480: cold starts and freezes in turn, then kills."""
    times = 2 if quick else 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_app(folder)
        cold, started, first, killed = [], [], [], []
        with Supervised(folder) as running:
            running.await_results(10, "start")
            for _ in range(times):
                cold.append(_cold_start(folder))
                frozen = _restart(running, signal.SIGSTOP)
                started.append(frozen[0] - _FROZEN_S)
                first.append(frozen[1] - _FROZEN_S)
                killed.append(_restart(running, signal.SIGKILL)[1])
    ratio = float(np.median(np.array(first) / cold))
    return [
        Row(f"application frozen: budget of {_FROZEN_S:g} s's end to its next start", _spread(started), f"at most {_WITHIN_S:g} s",
            met=max(started) <= _WITHIN_S),
        Row("  to its first result / cold start, in turn", f"{_spread(first)} against {_spread(cold)}", f"at most {_RATIO:g}x",
            ratio, ratio <= _RATIO),
        Row("  the same where it was killed", _spread(killed), f"at most {_RATIO:g}x", float(np.median(np.array(killed) / cold)),
            bool(np.median(np.array(killed) / cold) <= _RATIO)),
    ]  # fmt: skip


def _spread(seconds: list[float]) -> str:
    return f"median {np.median(seconds):.2f} s, worst {max(seconds):.2f} s"


def _write_app(folder: Path) -> None:
    bundle = classifier_bundle(MOBILENET_INT8, folder)
    (folder / "app.toml").write_text(
        f"""
        source = "synthetic:shapes?width=640&height=480&rate_hz=30"
        [model]
        bundle = "{bundle.name}"
        [loop]
        deadline_ms = 100
        [[sink]]
        kind = "jsonl"
        path = "results.jsonl"
        [supervisor]
        frozen_s = {_FROZEN_S}
        crash_limit = 1000
        healthy_s = 0
        state_dir = "state"
        """
    )


def _cold_start(folder: Path) -> float:
    """Seconds from the start of the process to the first result, without a supervisor."""
    command = [
        sys.executable,
        "-m",
        "edge_sdk.cli",
        "run",
        str(folder / "app.toml"),
        "--no-supervise",
        "--sink",
        "console",
    ]
    with page() as slot:
        began = monotonic()
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        try:
            return _until(lambda: _results(slot) > 0) - began
        finally:
            process.terminate()
            process.wait(10)


def _restart(running: Supervised, number: signal.Signals) -> tuple[float, float]:
    """Seconds from this signal until another process is started as the application, and until its first result."""
    before, old = running.application(), set(family(running.process.pid))
    began = monotonic()
    os.kill(before, number)
    started = _until(lambda: bool(set(children(running.process.pid)) - old))
    running.await_another(before, number.name)
    results = running.results()
    first = _until(lambda: running.results() > results)
    running.await_results(30, "results after a restart")
    return started - began, first - began


def _results(slot: memoryview) -> int:
    return int(slot[pulse.ON_TIME] + slot[pulse.LATE])


def _until(condition: Callable[[], bool]) -> float:
    """When it came true.

    Raises:
        TimeoutError: if it did not within 30 s.
    """
    until = monotonic() + _LONGEST_S
    while not condition():
        if monotonic() > until:
            raise TimeoutError(f"not over after {_LONGEST_S:g} s")
        sleep(0.001)
    return monotonic()
