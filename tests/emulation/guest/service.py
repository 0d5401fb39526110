"""An application under systemd, its unit made by ``edge-sdk service``; runs in the machine as root. The last scene ends the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hardware import TIMEOUT_S, device
from scenes import play, shell, wait_until

FOLDER = Path("/opt/porch")
APP = FOLDER / "app.toml"
UNIT = "edge-sdk-porch.service"
TEXT = """source = "camera:/dev/video0?width=320&height=180"
[model]
bundle = "/mnt/host/null.edge"
engine = "null"
options = {input = "1,128,128,3 uint8"}
[loop]
deadline_ms = 300
"""


def status() -> dict[str, Any]:
    return dict(json.loads(shell(f"edge-sdk service status {APP} --json")))


def shown(name: str) -> str:
    return shell(f"systemctl show {UNIT} --property={name} --value").strip()


def supervisor() -> int:
    return int(shown("MainPID"))


def application(parent: int) -> int:
    """The supervisor's child that has the camera open; 0 if there is none."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with suppress(FileNotFoundError):  # it may end meanwhile, or close one
            links = Path(f"/proc/{child}/fd").iterdir()
            if any(link.is_symlink() and str(link.readlink()) == "/dev/video0" for link in links):
                return int(child)
    return 0


def timed(wanted: Callable[[], object], what: str, far_s: float) -> float:
    started = time.monotonic()
    wait_until(wanted, what, far_s)
    return time.monotonic() - started


def works() -> bool:
    """Whether the unit is active and its application reads the camera."""
    return shown("ActiveState") == "active" and application(supervisor()) != 0


def installed() -> dict[str, Any]:
    FOLDER.mkdir()
    APP.write_text(TEXT)
    said = shell(f"edge-sdk service install {APP}")
    wait_until(works, "an application that works")
    return {"said": said, "enabled": shell(f"systemctl is-enabled {UNIT}").strip(), "status": status()}


def application_killed() -> dict[str, Any]:
    """The supervisor starts it again; systemd sees nothing of it."""
    parent = supervisor()
    old = application(parent)
    os.kill(old, signal.SIGKILL)
    seconds = timed(lambda: application(parent) not in (0, old), "another application", 60)
    wait_until(lambda: counted(status()).get("crash"), "a crash that is counted")
    return {"back_after_s": seconds, "same_supervisor": supervisor() == parent, "status": status()}


def supervisor_frozen() -> dict[str, Any]:
    """Systemd's watchdog ends it, with all that it started, and starts another one, which knows what was counted."""
    old = supervisor()
    old_application = application(old)
    os.kill(old, signal.SIGSTOP)
    seconds = timed(lambda: supervisor() not in (0, old) and works(), "another supervisor that works", 120)
    return {
        "back_after_s": seconds,
        "restarts": int(shown("NRestarts")),
        "old_application_is_gone": not Path(f"/proc/{old_application}").exists(),
        "journal": shell(f"journalctl -u {UNIT} --no-pager -o cat"),
        "status": status(),
    }


def stopped_and_removed() -> dict[str, Any]:
    started = time.monotonic()
    shell(f"systemctl stop {UNIT}")
    seconds = time.monotonic() - started
    state = status()
    result = shown("Result")
    said = shell(f"edge-sdk service remove {APP}")
    return {"stop_s": seconds, "result": result, "status": state, "said": said, "after": status()["installed"]}


def counted(status: dict[str, Any]) -> dict[str, int]:
    return dict((status["state"] or {}).get("counted", {}))


def gives_up() -> dict[str, Any]:
    """A program that crashes again and again is given up; the watchdog that was armed for it resets the machine."""
    folder = Path("/opt/crashing")
    folder.mkdir()
    program = json.dumps([sys.executable, "/mnt/host/crashing.py"])
    (folder / "app.toml").write_text(
        f'[app]\ncommand = {program}\n[supervisor]\ncrash_limit = 2\nstate_dir = "state"\n'
        f'[watchdog]\ndevice = "{device()}"\ntimeout_s = {TIMEOUT_S}\n'
    )
    done = subprocess.run([sys.executable, "-m", "edge_sdk.cli", "run", "app.toml"], cwd=folder, check=False)
    over = time.monotonic()
    while time.monotonic() < over + 5 * TIMEOUT_S:
        print(f"given up with {done.returncode}, {time.monotonic() - over:.1f} s ago", flush=True)
        time.sleep(0.5)
    return {"failed": "the machine was not reset"}


SCENES = {
    "installed": installed,
    "application_killed": application_killed,
    "supervisor_frozen": supervisor_frozen,
    "stopped_and_removed": stopped_and_removed,
    "gives_up": gives_up,
}

if __name__ == "__main__":
    shell("modprobe vivid n_devs=1 node_types=0x1; modprobe softdog; udevadm settle")
    play(SCENES)
