"""``python -m benchmarks.network_storm [--faults N] [--seed N]``: random faults of a server that helps a loop, and of the way to it.

A camera of 15 frames a second, a real model in LiteRT in a process of its own, and a server of the same model behind TLS on loopback, in
another. Each fault is given once the server helps again after the one before; half of the storm prefers the local engine, half the server.
Between its parts the same loop runs without a server. No result may be lost or wrong, nor late where it would have been in time without
having waited for the server, and nothing may be left behind.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.network_model import DEADLINE_MS, Frames, image_bundle, right_answers
from benchmarks.network_server import NetworkServer
from benchmarks.processes import family, pss_kb
from benchmarks.rows import Row
from edge_sdk.loop import Loop
from edge_sdk.loop_report import LoopReport
from edge_sdk.result import Event, Result
from tests.faulty_server import ANSWER_FAULTS, CONNECTION_FAULTS

ALONE_S = 5.0  # of each run without a server
_SETTLED, _LONGEST_S = 3, 120.0  # results of the server in a row; and how long they may take to come
_REMOTE = {
    "protocol": "v2-rest", "model": "model", "policy": "hybrid", "certain": 1.0, "timeout_ms": 800,
    "first_wait_s": 0.05, "longest_wait_s": 0.2, "healthy_s": 0.0,
}  # fmt: skip
_RARE = {"kill": 0.1, "never": 0.3, "stall 1": 0.5, "hold": 0.3}
KINDS = (*ANSWER_FAULTS, *CONNECTION_FAULTS, "another model", "down", "kill", "cut")


@dataclass
class Told:
    """What one kind of run has shown."""

    seconds: float = 0.0
    results: int = 0
    late: int = 0
    needless: list[Result] = field(default_factory=list)
    wrong: int = 0
    ages_ms: list[float] = field(default_factory=list)
    reports: list[LoopReport] = field(default_factory=list)

    def take(self, result: Result, right: dict[int, float]) -> None:
        """One result."""
        self.results += 1
        self.ages_ms.append(result.age_ms)
        best = result.value[0]
        self.wrong += abs(right[int(result.sample.data[0, 0, 0])] - best.score) > 0.01
        if result.late:
            self.late += 1
            if result.age_ms - result.stages.remote_ms <= DEADLINE_MS:
                self.needless.append(result)


class Storm:
    """Gives faults to a server that helps a loop.

    Args:
        folder: for everything that it needs.
        seed: of the choice of faults.
        say: told how far it is.
    """

    def __init__(self, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        self._folder, self._random, self._say = folder, random.Random(seed), say
        self._bundle = image_bundle(folder)
        self._right = right_answers(self._bundle)
        self.told = {"storm": Told(), "alone": Told()}
        self.given: Counter[str] = Counter()
        self.took_ms: dict[str, list[float]] = defaultdict(list)
        self.events: Counter[str] = Counter()
        self.memory_kb: list[int] = []
        self._back: threading.Timer | None = None
        self.loop: Loop | None = None
        self._first = self._random.sample(KINDS, len(KINDS))

    def alone(self, seconds: float) -> None:
        """The loop without a server."""
        with self._loop(None) as loop:
            until = time.monotonic() + seconds
            for result in loop:
                self.told["alone"].take(result, self._right)
                if time.monotonic() > until:
                    break
        self.told["alone"].reports.append(loop.report())

    def strike(self, faults: int, prefer: str) -> None:
        """So many faults, one after the other.

        Raises:
            TimeoutError: if the server did not help again after one.
        """
        gc.collect()  # of the loop before
        with NetworkServer(
            self._bundle, "tflite-float32", self._folder / prefer / str(sum(self.given.values()))
        ) as server:
            remote = {**_REMOTE, "url": server.url, "ca_file": server.ca, "prefer": prefer}
            with self._loop(remote) as loop:
                self.loop, results = loop, iter(loop)
                self._await_help(results, server, "start")
                for number in range(faults):
                    kind = self._next()
                    given = time.monotonic()
                    self._give(server, kind)
                    self._await_help(results, server, kind)
                    self.given[kind] += 1
                    self.took_ms[kind].append((time.monotonic() - given) * 1_000)
                    if number % 10 == 9:
                        self.memory_kb.append(_memory_kb(server))
                    if number % 50 == 49:
                        self._say(f"{sum(self.given.values())} faults; the last, prefer {prefer}: {kind}")
            self.told["storm"].reports.append(loop.report())

    def _loop(self, remote: dict[str, object] | None) -> Loop:
        options = {"threads": "1"}
        return Loop(
            self._bundle, Frames(), deadline_ms=DEADLINE_MS, engine_options=options, remote=remote, on_event=self._heard
        )

    def _next(self) -> str:
        if self._first:
            return self._first.pop()
        return self._random.choices(KINDS, [_RARE.get(kind, 1.0) for kind in KINDS])[0]

    def _give(self, server: NetworkServer, kind: str) -> None:
        if kind == "kill":
            server.kill()
            self._later(0.2, server.start)
        elif kind == "down":
            server.order("down")
            self._later(self._random.uniform(0.05, 0.5), lambda: server.order("up"))
        elif kind == "cut":
            server.order("cut")
        elif kind == "another model":
            server.order("down")
            server.order("always wrong")
            server.order("up")
            self._later(0.3, lambda: [server.order(each) for each in ("down", "always ok", "up")])
        elif kind in CONNECTION_FAULTS:
            server.order(f"connect {kind}")
        else:
            for _ in range(2 if kind in {"close", "reset"} else 1):  # the client tries such a connection once more
                server.order(f"fault {kind}")

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        self._back = threading.Timer(seconds, do)
        self._back.start()

    def _await_help(self, results: Iterator[Result], server: NetworkServer, kind: str) -> None:
        """Until the fault is over and the server helps."""
        until, in_a_row = time.monotonic() + _LONGEST_S, 0
        while in_a_row < _SETTLED:
            result = next(results)
            self.told["storm"].take(result, self._right)
            if time.monotonic() > until:
                raise TimeoutError(
                    f"{kind}: the server did not help within {_LONGEST_S:g} s: {self.loop and self.loop.report().remote}"
                )
            by_remote = result.by.endswith("remote")
            over = by_remote and not (self._back and self._back.is_alive()) and not server.order("count")
            in_a_row = in_a_row + 1 if over else 0

    def _heard(self, event: Event) -> None:
        self.events[event.kind] += 1


def storm(faults: int, seed: int, parts: int = 4, say: Callable[[str], None] = lambda line: None) -> list[Row]:
    """Give so many faults; rows of what was found.

    Raises:
        TimeoutError: if the server did not help again after one.
    """
    with tempfile.TemporaryDirectory() as folder:
        drill = Storm(Path(folder), seed, say)
        drill.alone(ALONE_S)
        before = _what_there_is()
        for part in range(parts):
            drill.strike(faults // parts, ("local", "remote")[part % 2])
            drill.alone(ALONE_S)
        after = _what_there_is()
    return [*_promises(drill, sum(drill.given.values()), seed, before, after), *_figures(drill)]


def _promises(drill: Storm, faults: int, seed: int, before: tuple[int, ...], after: tuple[int, ...]) -> list[Row]:
    told, alone = drill.told["storm"], drill.told["alone"]
    counts = [report.counts for report in told.reports]
    lost, dropped = sum(c.lost for c in counts), sum(c.dropped for c in counts)
    accounted = all(c.captured == c.on_time + c.late + c.dropped + c.skipped + c.lost + c.in_flight for c in counts)
    remotes = [report.remote for report in told.reports if report.remote]
    asked = all(r.asked == r.used + r.late + sum(r.failed.values()) + r.in_flight for r in remotes)
    ended = sum(c.in_flight for c in counts)
    shares = [100 * each.late / each.results for each in (told, alone)]
    dropped_alone = sum(report.counts.dropped for report in alone.reports)
    per_result = [100 * n / each.results for n, each in ((dropped, told), (dropped_alone, alone))]
    fifth = max(len(drill.memory_kb) // 5, 1)
    first_mb, last_mb = (np.median(part) / 1024 for part in (drill.memory_kb[:fifth], drill.memory_kb[-fifth:]))
    said = f"{sum(c.captured for c in counts)} captured, {told.results} results, {ended} in flight at the end"
    return [
        Row(f"{faults} faults, seed {seed}", said, "each accounted for", met=accounted),
        Row("requests", f"{sum(r.asked for r in remotes)} asked", "each accounted for", met=asked),
        Row("lost", str(lost), "0", met=not lost),
        Row("wrong", f"{told.wrong} of {told.results}", "0", met=not told.wrong),
        Row("late, but for the server in time", str(len(told.needless)), "0", met=not told.needless),
        Row("late", f"{shares[0]:.2f} %; without a server {shares[1]:.2f} %"),
        Row("dropped", f"{per_result[0]:.2f} %; without a server {per_result[1]:.2f} %"),
        Row("processes, descriptors, threads left", " ".join(map(str, after)), f"as before: {' '.join(map(str, before))}",
            met=before == after),
        Row("memory, first and last fifth", f"{first_mb:.1f} and {last_mb:.1f} MB", "5 MB more at most", met=bool(last_mb <= first_mb + 5)),
    ]  # fmt: skip


def _figures(drill: Storm) -> list[Row]:
    told, alone = drill.told["storm"], drill.told["alone"]
    remotes = [report.remote for report in told.reports if report.remote]
    turns, failed = Counter[str](), Counter[str]()
    for each in remotes:
        turns.update(each.turns)
        failed.update(each.failed)
    served = Counter[str]()
    for report in told.reports:
        served.update(report.served)
    ages = [np.percentile(each.ages_ms, (50, 99)) for each in (told, alone)]
    rows = [
        Row("age, p50 and p99", "; ".join(f"{p50:.1f} {p99:.1f} ms" for p50, p99 in ages) + " without a server"),
        Row("served", ", ".join(f"{count} {name}" for name, count in served.most_common())),
        Row(
            "of the requests",
            f"{sum(r.used for r in remotes)} used, {sum(r.late for r in remotes)} late, failed {dict(failed)}; local served "
            f"{sum(r.rescued for r in remotes)} of them",
        ),
        Row("breaker", ", ".join(f"{count} {state}" for state, count in turns.items())),
        Row("proofs", ", ".join(f"{sum(r.proofs[end] for r in remotes)} {end}" for end in ("passed", "failed"))),
        Row("events", ", ".join(f"{count} {kind}" for kind, count in sorted(drill.events.items()))),
    ]
    for kind, took in sorted(drill.took_ms.items()):
        p50, p95 = np.percentile(took, (50, 95))
        rows.append(Row(f"  {kind}", f"{len(took):>3} times, until it helped again p50 {p50:5.0f}, p95 {p95:5.0f} ms"))
    return rows


def _memory_kb(server: NetworkServer) -> int:
    theirs = family(server.pid) if server.pid else []
    return pss_kb([pid for pid in family(os.getpid()) if pid not in theirs], "Anon", "Shmem")


def _what_there_is() -> tuple[int, int, int]:
    gc.collect()
    return len(family(os.getpid())), len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def run(quick: bool) -> list[Row]:
    """The storm as a section of the benchmarks."""
    return storm(80 if quick else 1_000, seed=1)


def main() -> None:
    """Parse, strike, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.network_storm", description="Random faults of a server."
    )
    parser.add_argument("--faults", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rows = storm(given.faults, given.seed, say=lambda line: print(line, file=sys.stderr, flush=True))
    for row in rows:
        verdict = "" if row.met is None else ("met" if row.met else "NOT MET")
        print(f"{row.what:<40} {row.measured} {f'({row.target}) ' if row.target else ''}{verdict}")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
