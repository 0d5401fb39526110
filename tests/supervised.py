"""An application under a supervisor, for tests: a program of a few lines that does what the test wants, or the loop on a null engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_sdk.watchdog.state import Table, unpack
from tests.processes import descendants, is_alive

HEAD = """
import os, signal, sys, time
from pathlib import Path
from edge_sdk.accounting import Accounting
from edge_sdk.watchdog import pulse
life = int(Path("lives").read_text()) + 1 if Path("lives").exists() else 1
Path("lives").write_text(str(life))
def alive_for_ever(step=0.02):
    Path(f"alive.{life}").touch()
    while True:
        joined.beat()
        time.sleep(step)
"""


def eventually(condition: Callable[[], object], within_s: float = 10.0) -> float:
    """Wait for a condition; how many seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, "it did not happen"
        time.sleep(0.005)
    return time.monotonic() - started


class Supervised:
    """A running ``edge-sdk run``, and what can be seen of it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], err: Path) -> None:
        self.folder, self.process, self._err = folder, process, err

    def said(self) -> str:
        return self._err.read_text(errors="replace")

    def says(self, words: str, within_s: float = 10.0) -> float:
        return eventually(lambda: words in self.said() or self._over(), within_s)

    def results(self, number: int, within_s: float = 15.0) -> float:
        """Wait until a console sink with ``every_s = 0`` has shown so many."""
        return eventually(lambda: self.shown() >= number or self._over(), within_s)

    def shown(self) -> int:
        return (self.folder / "out.txt").read_text().count(" output [0, 0")

    def lives(self, number: int, within_s: float = 10.0) -> float:
        """Wait until the program is alive for the n-th time."""
        return eventually((self.folder / f"alive.{number}").exists, within_s)

    def application(self) -> int:
        """The pid of the application."""
        return int((self.folder / "pid").read_text())

    def ends(self, within_s: float = 10.0) -> int:
        return self.process.wait(within_s)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def state(self) -> Table:
        return unpack((self.folder / "state" / "state.json").read_bytes())

    def report(self) -> Table:
        return json.loads((self.folder / "state" / "gave-up.json").read_text())  # type: ignore[no-any-return]

    def _over(self) -> bool:
        assert self.process.poll() is None, self.said()
        return False


def program(folder: Path, code: str, settings: str = "", name: str = "main.py") -> Path:
    """An app.toml with a command, which runs this code after ``HEAD``."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(HEAD + 'Path("pid").write_text(str(os.getpid()))\n' + code)
    app = folder / "app.toml"
    supervisor = f"[supervisor]\nstate_dir = 'state'\n{settings}"
    app.write_text(f"[app]\ncommand = ['{sys.executable}', '{name}']\n{supervisor}")
    return app


@contextmanager
def supervised(app: Path, *flags: str, **settings: object) -> Iterator[Supervised]:
    """Run an app.toml; at the end nothing of it may be left."""
    err = app.parent / "err.txt"
    home = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": home, **settings.pop("env", {})}  # type: ignore[dict-item]
    command = [sys.executable, "-m", "edge_sdk.cli", "run", str(app), *flags]
    with err.open("w") as file, (app.parent / "out.txt").open("w") as out:
        settings.setdefault("stdout", out)
        settings.setdefault("stderr", file)
        process = subprocess.Popen(command, text=True, env=environment, **settings)  # type: ignore[call-overload]
    running = Supervised(app.parent, process, err)
    family: set[int] = set()
    try:
        yield running
        family = descendants(process.pid)
    finally:
        if process.poll() is None:
            family |= descendants(process.pid)
            process.kill()
        process.wait()
        eventually(lambda: not any(map(is_alive, family)), 5)
        print(running.said(), file=sys.stderr)
