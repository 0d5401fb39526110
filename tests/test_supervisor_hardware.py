"""Ring 4 in the supervisor's hands: fed while all is well, disarmed by a clean stop only. The supervisor is real, the driver is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_sdk.app import read_app
from edge_sdk.cli.supervise import plan_of
from tests.supervised import Supervised, eventually, program

ALIVE = "joined = pulse.join(budget_s=0.5)\n"

MAIN = """
import os, sys
from edge_sdk.watchdog import device, hardware, main

class Driver:
    def __init__(self, path):
        if os.path.exists(path + ".busy"):
            raise OSError(16, "Device or resource busy")
        self.log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    def ioctl(self, request, buffer):
        if request == device.GETSUPPORT:
            device.INFO.pack_into(buffer, 0, 0x180, 0, b"a driver")
        elif request == device.GETBOOTSTATUS:
            device.INT.pack_into(buffer, 0, 0x20)
        else:
            device.INT.pack_into(buffer, 0, 1)
    def write(self, data):
        os.write(self.log, data.replace(b"\\0", b"."))
    def close(self):
        os.write(self.log, b"C")
        os.close(self.log)

hardware.HardwareWatchdog.__init__.__kwdefaults__["opens"] = Driver
main.main(os.open(sys.argv[1], os.O_RDWR))
"""


@contextmanager
def watched(folder: Path, code: str, settings: str = "") -> Iterator[tuple[Supervised, Callable[[], str]]]:
    """A supervisor with a watchdog; and what the driver has seen: . for a feeding, V for magic, C for the closing."""
    device = folder / "device"
    app_toml = program(folder, code, f"{settings}\n[watchdog]\ndevice = '{device}'\ntimeout_s = 1")
    plan = folder / "plan"
    plan.write_text(plan_of(app_toml, read_app(app_toml)).as_json())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / "err.txt").open("w") as err:
        process = subprocess.Popen([sys.executable, "-c", MAIN, plan], stderr=err, text=True, env=environment)
    try:
        yield Supervised(folder, process, folder / "err.txt"), lambda: device.read_text() if device.exists() else ""
    finally:
        process.kill()
        process.wait()


def test_a_clean_stop_disarms_it(tmp_path: Path) -> None:
    with watched(tmp_path / "app", f"{ALIVE}alive_for_ever()") as (app, seen):
        eventually(lambda: seen().count(".") >= 4, 5)
        assert "the board was reset the last time: the watchdog was not fed in time" in app.said()
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
        assert seen().endswith("VC")


def test_it_is_fed_through_a_restart(tmp_path: Path) -> None:
    code = f"{ALIVE}\nif life == 1:\n    joined.beat()\n    time.sleep(1000)\nalive_for_ever()"
    with watched(tmp_path / "app", code) as (app, seen):
        app.lives(2)
        eventually(lambda: seen().count(".") >= 4, 5)
        assert "V" not in seen()


def test_it_stays_armed_when_the_application_is_given_up(tmp_path: Path) -> None:
    code = f"{ALIVE}joined.beat()\ntime.sleep(0.3)\nsys.exit(7)"
    with watched(tmp_path / "app", code, "crash_limit = 2") as (app, seen):
        assert app.ends() == 7
        assert "V" not in seen()
        assert "stays armed, as wanted" in app.said()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_supervisor_that_does_nothing_feeds_nothing(number: signal.Signals, tmp_path: Path) -> None:
    with watched(tmp_path / "app", f"{ALIVE}alive_for_ever()") as (app, seen):
        eventually(lambda: "." in seen(), 5)
        app.signal(number)
        time.sleep(0.1)
        before = seen()
        time.sleep(1)  # longer than its time-out: nothing may come
        assert seen() == before
        assert "V" not in before


@pytest.mark.parametrize("code", ["sys.exit(3)", "busy"])
def test_a_first_start_that_fails_arms_nothing(code: str, tmp_path: Path) -> None:
    if code == "busy":
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "device.busy").touch()
    with watched(tmp_path / "app", code) as (app, seen):
        assert app.ends() == (1 if code == "busy" else 3)
        assert seen() == "" if code == "busy" else seen().endswith("VC")
        assert "RuntimeWatchdogSec" in app.said() or code != "busy"
        assert (tmp_path / "app" / "lives").exists() == (code != "busy")
