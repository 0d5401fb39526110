"""``edge-sdk run`` with the kernel's virtual camera, vivid, and its faults; runs in the virtual machine as root.

The camera is unplugged by unbinding its driver, as a kernel does when a USB device goes. Its time stamps are made those of the start of a
frame: by default vivid adds the time that a real sensor would need, and they lie in the future.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from running import SDK, Run
from scenes import Scene, play, shell

DRIVER = Path("/sys/bus/platform/drivers/vivid")
CAMERA = "camera:/dev/video0?width=320&height=180"
LARGER = "camera:/dev/video0?width=640&height=360"


def control(setting: str) -> None:
    shell(f"v4l2-ctl -d0 -c {setting}")


def unplug() -> None:
    (DRIVER / "unbind").write_text("vivid.0")


def plug_in() -> None:
    (DRIVER / "bind").write_text("vivid.0")
    shell("udevadm settle")
    control("timestamp_source=1")


def plain() -> dict[str, Any]:
    return Run(LARGER, "--results", "60").end()


def stamps_in_the_future() -> dict[str, Any]:
    control("timestamp_source=0")
    seen = Run(LARGER, "--results", "60").end()
    control("timestamp_source=1")
    return seen


def slow_engine() -> dict[str, Any]:
    return Run(CAMERA, "--results", "15", "--engine-option", "wait_ms=200").end()


def dropped_buffers() -> dict[str, Any]:
    control("percentage_of_dropped_buffers=50")
    seen = Run(CAMERA, "--results", "30").end()
    control("percentage_of_dropped_buffers=0")
    return seen


def unplugged_and_back() -> dict[str, Any]:
    run = Run(CAMERA, "--results", "60", silence_ms=1_000).until('"result"', 10)
    unplug()
    run.until("source_lost")
    time.sleep(2)  # longer than silence_ms
    plug_in()
    return run.end()


def stays_away() -> dict[str, Any]:
    run = Run(CAMERA, silence_ms=1_000, reopen_s=3).until('"result"', 10)
    unplug()
    seen = run.end()
    plug_in()
    return seen


def hangs() -> dict[str, Any]:
    run = Run(CAMERA, "--results", "60", silence_ms=1_000).until('"result"', 10)
    control("percentage_of_dropped_buffers=100")
    run.until("source_hung")
    control("percentage_of_dropped_buffers=0")
    return run.end()


def interrupted_while_away() -> dict[str, Any]:
    run = Run(CAMERA).until('"result"', 10)
    unplug()
    run.until("source_lost")
    run.process.send_signal(2)
    seen = run.end()
    plug_in()
    return seen


def busy() -> dict[str, Any]:
    other = Run(CAMERA).until('"result"')
    seen = Run(CAMERA, "--results", "1").end()
    other.process.send_signal(2)
    other.process.wait()
    return seen


def doctor() -> dict[str, Any]:
    done = subprocess.run([*SDK, "doctor", "--json"], capture_output=True, text=True, check=False)
    return {"exit": done.returncode, **json.loads(done.stdout)}


SCENES: dict[str, Scene] = {
    "doctor": doctor,
    "plain": plain,
    "stamps_in_the_future": stamps_in_the_future,
    "slow_engine": slow_engine,
    "dropped_buffers": dropped_buffers,
    "impossible_size": lambda: Run(CAMERA.replace("320", "321")).end(),
    "no_such_device": lambda: Run("camera:7").end(),
    "no_permission": lambda: Run(CAMERA, as_user=1234).end(),
    "busy": busy,
    "unplugged_and_back": unplugged_and_back,
    "stays_away": stays_away,
    "hangs": hangs,
    "interrupted_while_away": interrupted_while_away,
}

if __name__ == "__main__":
    shell("modprobe vivid n_devs=1 node_types=0x1; udevadm settle")
    control("timestamp_source=1")
    play(SCENES)
