"""A camera's loop in hard conditions: stopped for a while, almost without a processor, with a clock set back; runs as root."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from running import Run
from scenes import FAR, play, shell

CAMERA = "camera:/dev/video0?width=640&height=480"
STARVED = Path("/sys/fs/cgroup/starved")
DAY_S = 86_400


def aged(
    results: int, deadline_ms: float, during: Callable[[subprocess.Popen[str]], None] | None = None
) -> dict[str, Any]:
    """What ``ages.py`` noted, while ``during`` happens to its process."""
    out = Path("/tmp/ages.json")
    out.unlink(missing_ok=True)
    command = [sys.executable, "ages.py", str(out), str(results), str(deadline_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if during is not None and line == "running\n":
        during(process)
    rest, _ = process.communicate(timeout=FAR)
    if process.returncode:
        raise RuntimeError(line + rest)
    return dict(json.loads(out.read_text()))


def driver_alone() -> dict[str, Any]:
    """Frames a second without the project: an emulated machine on busy processors has fewer than 25."""
    command = "v4l2-ctl -d0 --set-fmt-video=width=640,height=480 --stream-mmap --stream-count=100 --stream-to=/dev/null"
    started = time.monotonic()
    shell(command)
    return {"seconds": time.monotonic() - started}


def stopped_for_a_while(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    process.send_signal(signal.SIGCONT)


def without_processor() -> dict[str, Any]:
    """Ten percent of one processor for a while, for the supervisor and all that it started."""
    STARVED.mkdir(exist_ok=True)
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+cpu")
    run = Run(CAMERA, supervised=True, deadline_ms=300).until('"result"', 25)
    for pid in family(run.process.pid):
        (STARVED / "cgroup.procs").write_text(str(pid))
    (STARVED / "cpu.max").write_text("10000 100000")
    before = run.count('"result"')
    time.sleep(10)
    starved = run.count('"result"') - before
    (STARVED / "cpu.max").write_text("max 100000")
    given_back_ns = time.monotonic_ns()
    run.until('"result"', run.count('"result"') + 100)
    run.process.send_signal(signal.SIGTERM)
    return {**run.end(), "starved": starved, "given_back_ns": given_back_ns}


def clock_set_back() -> dict[str, Any]:
    """By a day, while it runs, and forward again."""
    run = Run(CAMERA, supervised=True, deadline_ms=300).until('"result"', 25)
    before_s = time.time()
    time.clock_settime(time.CLOCK_REALTIME, before_s - DAY_S)
    try:
        run.until('"result"', run.count('"result"') + 50)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() + DAY_S)
    run.until('"result"', run.count('"result"') + 25)
    run.process.send_signal(signal.SIGTERM)
    return run.end()


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *(each for child in children.read_text().split() for each in family(int(child)))]


SCENES = {
    "driver_alone": driver_alone,
    "steady": lambda: aged(250, 60),
    "short_deadline": lambda: aged(100, 25),
    "stopped_for_a_while": lambda: aged(100, 300, stopped_for_a_while),
    "without_processor": without_processor,
    "clock_set_back": clock_set_back,
}

if __name__ == "__main__":
    shell("modprobe vivid n_devs=1 node_types=0x1; udevadm settle; v4l2-ctl -d0 -c timestamp_source=1")
    play(SCENES)
