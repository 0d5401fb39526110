"""Plays scenes in the virtual machine, as root, and tells what each saw: a line of JSON a scene."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SEEN = Path("/mnt/host/seen.jsonl")
FAR = 60.0  # seconds until a step counts as failed
FARTHEST_S = 150  # until a scene does

Scene = Callable[[], Mapping[str, Any]]


def play(scenes: Mapping[str, Scene]) -> None:
    """One after the other; one that fails says so, and the next goes on. Names as arguments choose some."""
    signal.signal(signal.SIGALRM, _too_long)
    for name, scene in scenes.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        started = time.monotonic()
        signal.alarm(FARTHEST_S)
        try:
            seen = dict(scene())
        except Exception:  # noqa: BLE001 - a failed scene fails its test, not the others
            seen = {"failed": traceback.format_exc()}
        signal.alarm(0)
        seconds = time.monotonic() - started
        with SEEN.open("a") as file:
            file.write(json.dumps({"scene": name, "scene_s": seconds, **seen}) + "\n")
        print(f"{name}: {seconds:.1f} s {seen.get('failed', '')}", flush=True)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"the scene is not over after {FARTHEST_S} s")


def shell(command: str) -> str:
    """What a command prints; it must end with 0."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def wait_until(true: Callable[[], object], what: str, far_s: float = FAR) -> None:
    """Look again and again, for things of the kernel and of other processes that tell nobody."""
    end = time.monotonic() + far_s
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come to it within {far_s:g} s: {what}")
        time.sleep(0.02)
