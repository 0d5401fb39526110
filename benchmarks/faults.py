"""``python -m benchmarks.faults [--faults N] [--seed N]``: a campaign of random faults against a supervised application.

Each fault is given once the application works again after the one before. At the end every sample must be accounted for, and nothing may be
left: no process, no descriptor, no shared memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.bundles import numbers_bundle
from benchmarks.processes import family
from benchmarks.rows import Row
from edge_sdk.errors import ConfigError
from edge_sdk.outputs import replacing
from edge_sdk.watchdog import pulse
from edge_sdk.watchdog.state import unpack

_MARK = "EDGE_SDK_DRILL"
_FROZEN_S = 1.0
_LONGEST_S = 30.0  # to work again
_RESULTS = 3  # so many prove that it works
KINDS = {  # with their weights
    **dict.fromkeys(
        ("engine hang", "engine crash", "engine stop", "engine error 1", "engine wrong 1", "engine slow 60 3"), 3.0
    ),
    **dict.fromkeys(
        ("source lost 0", "source lost 2", "source hang 1", "source bad", "source size", "source nan", "source future"),
        3.0,
    ),
    **dict.fromkeys(("kill engine", "kill server"), 3.0),
    **dict.fromkeys(("kill application", "freeze application"), 1.0),
    **dict.fromkeys(("kill supervisor", "reload"), 0.5),
}


class Campaign:
    """A supervised application, and what is done to it.

    Args:
        folder: for everything that it writes.
        seed: of the choice of faults.

    Attributes:
        took_ms: by kind of fault, how long until results flowed again.
        supervisors: how many there were.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._random = folder, random.Random(seed)
        self._mark = uuid.uuid4().hex
        self.took_ms: dict[str, list[float]] = defaultdict(list)
        self.supervisors = 0
        command = [sys.executable, "-m", "benchmarks.drill", str(numbers_bundle(folder)), str(folder)]
        limits = f"frozen_s = {_FROZEN_S}\ncrash_limit = 1000000\nhealthy_s = 0\nstate_dir = 'state'"
        (folder / "app.toml").write_text(f"[app]\ncommand = {json.dumps(command)}\n[supervisor]\n{limits}\n")
        self._start()

    def strike(self, kind: str | None = None) -> str:
        """Give one fault, chosen if it is not named, and wait until the application works again; which it was.

        Raises:
            TimeoutError: if it does not within 30 s.
        """
        kind = kind or self._random.choices(list(KINDS), list(KINDS.values()))[0]
        whom, _, what = kind.partition(" ")
        began, results = time.monotonic(), self._results()
        if whom in ("engine", "source"):
            self._order(whom, what)
            self._until(lambda: not (self._folder / whom).exists(), kind)
        else:
            {"kill": self._kill, "freeze": self._freeze, "reload": self._reload}[whom](what)
        results = max(results, self._results())
        self._until(lambda: self._results() >= results + _RESULTS, kind)
        self.took_ms[kind].append((time.monotonic() - began) * 1_000)
        return kind

    def end(self) -> dict[str, int]:
        """End it in good order; what its loop counted over all lives."""
        self._supervisor.send_signal(signal.SIGTERM)
        self._supervisor.wait(5)
        loops = unpack((self._folder / "state" / "state.json").read_bytes())["loops"]
        assert isinstance(loops, list) and len(loops) == 1, loops
        return {name: int(count) for name, count in loops[0].items()}

    def left(self) -> list[int]:
        """Processes of it that are there."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def descriptors(self) -> int:
        """Of the supervisor."""
        return len(list(Path(f"/proc/{self._supervisor.pid}/fd").iterdir()))

    def _order(self, whom: str, words: str) -> None:
        with replacing(self._folder / whom, overwrite=True) as beside:
            beside.write_text(words)

    def _kill(self, what: str) -> None:
        if what == "supervisor":
            self._supervisor.kill()
            self._supervisor.wait()
            self._until(lambda: not self.left(), "kill supervisor")
            self._start()
            return
        application, *below = family(self._application())
        for pid in {"application": [application], "server": below[:1], "engine": below[1:]}[what]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _freeze(self, what: str) -> None:
        before = self._application()
        os.kill(before, signal.SIGSTOP)
        self._until(lambda: self._slot[pulse.OWNER] not in (0, before), "freeze")

    def _reload(self, what: str) -> None:
        before = self._application()
        self._supervisor.send_signal(signal.SIGHUP)
        self._until(lambda: self._slot[pulse.OWNER] not in (0, before), "reload")

    def _start(self) -> None:
        command = [sys.executable, "-m", "edge_sdk.cli", "run", str(self._folder / "app.toml")]
        with (self._folder / "log.txt").open("a") as log:
            environment = {**os.environ, _MARK: self._mark}
            self._supervisor = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.supervisors += 1
        self._until(self._find_page, "start")
        results = self._results()
        self._until(lambda: self._results() >= results + _RESULTS, "start")

    def _find_page(self) -> bool:
        """Map the supervisor's page, once it has one."""
        folder = Path(f"/proc/{self._supervisor.pid}/fd")
        for entry in folder.iterdir():
            with suppress(FileNotFoundError, ConfigError):  # not there any more, or not whole yet
                if "edge-sdk-pulse" in str(entry.readlink()):
                    self._slot = pulse.slots_at(str(entry))[0]
                    return True
        return False

    def _application(self) -> int:
        self._until(lambda: self._slot[pulse.OWNER] != 0, "an application")
        return int(self._slot[pulse.OWNER])

    def _results(self) -> int:
        return int(self._slot[pulse.ON_TIME] + self._slot[pulse.LATE])

    def _is_ours(self, process: Path) -> bool:
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            return False
        return f"{_MARK}={self._mark}".encode() in environment

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + _LONGEST_S
        while not condition():
            if time.monotonic() > until:
                log = (self._folder / "log.txt").read_text(errors="replace")[-2_000:]
                raise TimeoutError(f"{what}: not over after {_LONGEST_S:g} s. The log ends:\n{log}")
            time.sleep(0.002)


def campaign(faults: int, seed: int, say: Callable[[str], None] = lambda line: None) -> list[Row]:
    """Give so many faults; rows of what was found.

    Raises:
        TimeoutError: if the application did not come back from one.
    """
    shared_before = set(Path("/dev/shm").iterdir())
    with tempfile.TemporaryDirectory() as folder:
        drill = Campaign(Path(folder), seed)
        began, descriptors = time.monotonic(), []
        try:
            for number in range(1, faults + 1):
                kind = drill.strike()
                descriptors.append(drill.descriptors())
                if number % 50 == 0 or number == faults:
                    say(f"{number} faults in {time.monotonic() - began:.0f} s, the last: {kind}")
        finally:
            counts = drill.end()
        left = drill.left()
    sum_ = sum(counts[name] for name in ("on_time", "late", "dropped", "skipped", "lost", "in_flight"))
    exact = counts["captured"] == sum_ and counts["in_flight"] == 0
    shared = set(Path("/dev/shm").iterdir()) - shared_before
    rows = [
        Row(
            f"{faults} faults, seed {seed}: samples captured", f"{counts['captured']}", "each accounted for", met=exact
        ),
        Row(
            "  processes and shared memory left", f"{len(left)} and {len(shared)}", "none", met=not left and not shared
        ),
        Row(
            "  descriptors of the supervisor",
            f"{min(descriptors)} to {max(descriptors)}, at the end {descriptors[-1]}",
            "no more at the end than at first",
            met=descriptors[-1] <= max(descriptors[:20]),
        ),
    ]
    for kind, took in sorted(drill.took_ms.items()):
        rows.append(Row(f"  {kind}", f"{len(took)} times, p50 {np.median(took):.0f} ms, max {max(took):.0f} ms"))
    return rows


def run(quick: bool) -> list[Row]:
    """The campaign as a section of the benchmarks."""
    return campaign(60 if quick else 2_000, seed=1)


def main() -> None:
    """Parse, strike, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="A campaign of random faults.")
    parser.add_argument("--faults", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rows = campaign(given.faults, given.seed, lambda line: print(line, file=sys.stderr, flush=True))
    for row in rows:
        verdict = "" if row.met is None else ("met" if row.met else "NOT MET")
        print(f"{row.what:<60} {row.measured:<50} {verdict}")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
