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
from benchmarks.supervised import Supervised, is_exact
from edge_sdk.outputs import replacing

_MARK = "EDGE_SDK_DRILL"
_FROZEN_S = 1.0
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
        self._running = self._start()

    def strike(self, kind: str | None = None) -> str:
        """Give one fault, chosen if it is not named, and wait until the application works again; which it was.

        Raises:
            TimeoutError: if it does not within 30 s.
        """
        kind = kind or self._random.choices(list(KINDS), list(KINDS.values()))[0]
        whom, _, what = kind.partition(" ")
        began = time.monotonic()
        if whom in ("engine", "source"):
            self._order(whom, what)
            self._running.until(lambda: not (self._folder / whom).exists(), kind)
        else:
            {"kill": self._kill, "freeze": self._freeze, "reload": self._reload}[whom](what)
        self._running.await_results(_RESULTS, kind)
        self.took_ms[kind].append((time.monotonic() - began) * 1_000)
        return kind

    def end(self) -> dict[str, int]:
        """End it in good order; what its loop counted over all lives."""
        self._running.end()
        return self._running.counts()

    def left(self) -> list[int]:
        """Processes of it that are there."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def descriptors(self) -> int:
        """Of the supervisor."""
        return len(list(Path(f"/proc/{self._running.process.pid}/fd").iterdir()))

    def _order(self, whom: str, words: str) -> None:
        with replacing(self._folder / whom, overwrite=True) as beside:
            beside.write_text(words)

    def _kill(self, what: str) -> None:
        if what == "supervisor":
            self._running.process.kill()
            self._running.process.wait()
            self._running.until(lambda: not self.left(), "kill supervisor")
            self._running = self._start()
            return
        application, *below = family(self._running.application())
        for pid in {"application": [application], "server": below[:1], "engine": below[1:]}[what]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _freeze(self, what: str) -> None:
        before = self._running.application()
        os.kill(before, signal.SIGSTOP)
        self._running.await_another(before, "freeze")

    def _reload(self, what: str) -> None:
        before = self._running.application()
        self._running.process.send_signal(signal.SIGHUP)
        self._running.await_another(before, "reload")

    def _start(self) -> Supervised:
        running = Supervised(self._folder, {_MARK: self._mark})
        self.supervisors += 1
        running.await_results(_RESULTS, "start")
        return running

    def _is_ours(self, process: Path) -> bool:
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            return False
        return f"{_MARK}={self._mark}".encode() in environment


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
    shared = set(Path("/dev/shm").iterdir()) - shared_before
    rows = [
        Row(
            f"{faults} faults, seed {seed}: samples captured",
            f"{counts['captured']}",
            "each accounted for",
            met=is_exact(counts),
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
