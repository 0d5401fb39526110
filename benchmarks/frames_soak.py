"""Whether a loop that meets one fault after the other stays what it is: memory, descriptors, threads, p99 age over 1,000,000 frames.

``python -m benchmarks.frames_soak [--frames N] [--plot FILE.svg] [--looks FILE.npz]``
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.blocks import Seconds
from benchmarks.bundles import null_bundle
from benchmarks.faulty_frames import BLOCK, FAULTS, SIDE
from benchmarks.machine import processor, system
from benchmarks.processes import descriptors, family, pss_kb, threads
from benchmarks.rows import Row
from benchmarks.supervised import Supervised, is_exact
from edge_sdk.watchdog import pulse

EVERY = 1_000  # frames from one fault to the next
_CALM = 900  # frames after a fault, when it is over and the next has not come
_PROCESSES = 4  # supervisor, application, fork server, engine; the guard of the supervisor is a fifth
MOST_MORE = {"memory": 1.0, "descriptors": 0.5, "threads": 0.5, "p99 age": 0.2}  # over the whole run, by the trend
UNITS = {"memory": "MB", "descriptors": "", "threads": "", "p99 age": "ms"}


@dataclass(frozen=True)
class Soaked:
    """What was seen.

    Attributes:
        frames: how many were captured by each look.
        seen: by what, its value at each look; the first tenth of the looks is the warm-up.
        given: frames that the source gave.
        in_hand: of these, how many at most nobody took, as their source had been silent for too long.
        counts: what became of them.
        seconds: how long it took.
    """

    frames: Seconds
    seen: dict[str, Seconds]
    given: int
    in_hand: int
    counts: dict[str, int]
    seconds: float

    def trend(self, name: str) -> float:
        """By how much a straight line through all looks after the warm-up rises over them."""
        warm = len(self.frames) // 10
        x, y = self.frames[warm:], self.seen[name][warm:]
        return float(np.polyfit(x, y, 1)[0]) * float(x[-1] - x[0])


def soak(frames: int, say: Callable[[str], None] = lambda line: None) -> Soaked:
    """So many frames, a multiple of 10,000, with a fault every 1,000."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_app(folder, frames)
        looks: list[tuple[int, float, int, int]] = []
        began = time.monotonic()
        with Supervised(folder) as running:
            for end in range(BLOCK, frames + 1, BLOCK):
                at = end - EVERY + _CALM
                while running.slot[pulse.CAPTURED] < at and running.process.poll() is None:
                    time.sleep(0.01)
                looks.append((int(running.slot[pulse.CAPTURED]), *_look(running)))
                say(f"{looks[-1][0]} frames in {time.monotonic() - began:.0f} s: {looks[-1][1]:.1f} MB")
            running.until(lambda: running.process.poll() is not None, "end")
        ages = np.loadtxt(folder / "ages.txt", ndmin=2)[:, 1]
        captured, *columns = np.array(looks, np.float64).T
        seen = dict(zip(("memory", "descriptors", "threads"), columns, strict=True))
        given, in_hand = map(int, (folder / "given.txt").read_text().split())
        return Soaked(captured, {**seen, "p99 age": ages}, given, in_hand, running.counts(), time.monotonic() - began)


def _write_app(folder: Path, frames: int) -> None:
    given = [str(null_bundle(folder, SIDE)), str(folder), str(frames), str(EVERY)]
    command = [sys.executable, "-m", "benchmarks.faulty_frames", *given]
    (folder / "app.toml").write_text(f"[app]\ncommand = {json.dumps(command)}\n[supervisor]\nstate_dir = 'state'\n")


def _look(running: Supervised) -> tuple[float, int, int]:
    """MB, descriptors and threads of all processes; again where one went away meanwhile.

    MB are 10^6 bytes without the pages of files, which strangers share.
    """
    found: list[tuple[float, int, int]] = []

    def all_there() -> bool:
        with suppress(FileNotFoundError, ProcessLookupError):
            pids = family(running.process.pid)
            if len(pids) >= _PROCESSES:
                found.append((pss_kb(pids, "Anon", "Shmem") * 1.024e-3, descriptors(pids), threads(pids)))
        return bool(found)

    running.until(all_there, "a look at all processes")
    return found[0]


def rows_of(soaked: Soaked) -> list[Row]:
    """Flat or not, and whether every frame is accounted for."""
    counts = soaked.counts
    exact = is_exact(counts) and 0 <= soaked.given - counts["captured"] <= soaked.in_hand
    ends = ", ".join(
        f"{counts[name]} {name.replace('_', ' ')}" for name in ("on_time", "late", "dropped", "skipped", "lost")
    )
    faults = soaked.given // EVERY - 1
    rows = [
        Row(
            f"{soaked.given} frames in {soaked.seconds / 60:.1f} minutes, {faults} faults of {len(FAULTS)} kinds in turn",
            f"{counts['captured']} captured: {ends}",
            "each accounted for",
            met=exact,
        )
    ]
    for name, most in MOST_MORE.items():
        values, unit = soaked.seen[name], UNITS[name]
        trend, warm = soaked.trend(name), len(values) // 10
        what = f"{values[warm]:.4g} {unit}, at the end {values[-1]:.4g} {unit}, {trend:+.2g} {unit} by the trend"
        rows.append(
            Row(
                f"  {name}",
                what.replace(" ,", ","),
                f"at most {most:g} {unit} more".replace("  ", " "),
                met=trend <= most,
            )
        )
    return rows


def run(quick: bool) -> list[Row]:
    """A million frames; quick: 20,000."""
    return rows_of(soak(20_000 if quick else 1_000_000))


def main() -> None:
    """Run, print, draw."""
    from benchmarks.soak_plot import draw

    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames_soak", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--looks", type=Path, metavar="FILE.npz", help="what was seen, look by look")
    given = parser.parse_args()
    soaked = soak(given.frames, lambda line: print(line, file=sys.stderr, flush=True))
    for row in rows_of(soaked):
        verdict = "" if row.met is None else ("met" if row.met else "NOT met")
        print(f"{row.what:<60} {row.measured:<80} {verdict}")
    if given.looks:
        np.savez(given.looks, frames=soaked.frames, **soaked.seen)
    if given.plot:
        given.plot.write_text(draw(soaked, f"{processor()}, {system()}"), encoding="utf-8")


if __name__ == "__main__":
    main()
