"""The hardware watchdog (the kernel's softdog) under ``edge-sdk run``; runs in the machine as root. The last scene ends the machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from running import Run
from scenes import play, shell, wait_until

CAMERA = "camera:/dev/video0?width=320&height=180"
TIMEOUT_S = 5
USER = 1234


def device() -> str:
    """The device file of softdog: the board may have another watchdog."""
    for identity in Path("/sys/class/watchdog").glob("*/identity"):
        if identity.read_text().strip() == "Software Watchdog":
            return f"/dev/{identity.parent.name}"
    raise FileNotFoundError("there is no softdog")


def watched(*flags: str, as_user: int | None = None, **loop: float) -> Run:
    table = f'[watchdog]\ndevice = "{device()}"\ntimeout_s = {TIMEOUT_S}\n'
    return Run(CAMERA, *flags, as_user=as_user, supervised=True, tables=table, **loop)


def state() -> str:
    return (Path("/sys/class/watchdog") / Path(device()).name / "state").read_text().strip()


def no_permission() -> dict[str, Any]:
    return watched(as_user=USER).end()


def busy() -> dict[str, Any]:
    with Path(device()).open("wb", buffering=0) as other:
        seen = watched().end()
        other.write(b"V")
    return seen


def healthy() -> dict[str, Any]:
    """Three times the time-out, then an orderly end, then once more the time-out."""
    run = watched().until('"result"', 25)
    armed = state()
    time.sleep(3 * TIMEOUT_S)
    run.process.send_signal(signal.SIGTERM)
    seen = run.end()
    after = state()
    time.sleep(TIMEOUT_S + 2)
    return {**seen, "armed": armed, "after": after}


def application_frozen() -> dict[str, Any]:
    """The supervisor works, and is quicker than the watchdog."""
    run = watched("--overwrite").until('"result"', 25)
    os.kill(application(run), signal.SIGSTOP)
    stopped = time.monotonic()
    wait_until(lambda: run.count('"result"') < 25, "a new file of results")
    run.until('"result"', 25)
    seconds = time.monotonic() - stopped
    run.process.send_signal(signal.SIGTERM)
    return {**run.end(), "back_after_s": seconds}


def everything_frozen() -> dict[str, Any]:
    """Nobody is left but the watchdog."""
    run = watched().until('"result"', 25)
    for pid in (run.process.pid, application(run)):
        os.kill(pid, signal.SIGSTOP)
    frozen = time.monotonic()
    while time.monotonic() < frozen + 5 * TIMEOUT_S:
        print(f"frozen for {time.monotonic() - frozen:.1f} s", flush=True)
        time.sleep(0.5)
    return {"failed": "the machine was not reset"}


def application(run: Run) -> int:
    """The process that the supervisor looks after: the one of its children that has the camera."""
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    for child in children:
        if any(
            str(link.readlink()) == "/dev/video0" for link in Path(f"/proc/{child}/fd").iterdir() if link.is_symlink()
        ):
            return int(child)
    raise FileNotFoundError("no child of the supervisor has the camera open")


SCENES = {
    "no_permission": no_permission,
    "busy": busy,
    "healthy": healthy,
    "application_frozen": application_frozen,
    "everything_frozen": everything_frozen,
}

if __name__ == "__main__":
    shell("modprobe vivid n_devs=1 node_types=0x1; modprobe softdog; udevadm settle; chmod 666 /dev/video0")
    play(SCENES)
