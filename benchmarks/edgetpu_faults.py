"""``python -m benchmarks.edgetpu_faults [--faults N] [--seed N]``: random faults of an Edge TPU, for which the processor stands by.

The delegate is the one of tests/edgetpu_delegate, in the real interpreter, in child processes; the kernel's part in a USB reset is
played by ``edgetpu_port``. Each fault is given once the Edge TPU serves again after the one before. Results must keep coming, each from the
variant that it names, every sample accounted for, and nothing left behind. The waits between tries are shorter than a loop's own
(``PATIENCE``), as here nobody waits for somebody to come and plug a device in.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.edgetpu_port import UsbPort
from benchmarks.processes import family, pss_kb
from benchmarks.rows import Row
from edge_sdk.contract import Colour
from edge_sdk.edgetpu.usb import UsbReset
from edge_sdk.loop import Loop
from edge_sdk.result import Event, Result
from edge_sdk.sources import Source
from edge_sdk.sources.pace import Pace
from edge_sdk.standby import Standby
from edge_sdk.tensors import Array
from edge_sdk.watchdog.steps import Patience
from tests.edgetpu_delegate import Bench, Device, build, expected
from tests.edgetpu_models import both_bundle

RATE_HZ, DEADLINE_MS, HANG_MS = 100.0, 50.0, 100.0
PATIENCE = Patience(answers=3, soon_s=0.0, first_wait_s=0.1, longest_wait_s=0.4)
LARGEST_GAP_MS = HANG_MS + 400  # the hang budget, the kill, and what a machine that others use adds
_SETTLED, _LONGEST_S = 5, 60.0  # results of the Edge TPU in a row; and how long they may take to come
_AWAY_S = 0.4
_TAKER = """
import fcntl, struct, sys, time
with open(sys.argv[1], "r+b") as file:
    print("ready", flush=True)
    fcntl.fcntl(file, 38, struct.pack("hhqqi", fcntl.F_WRLCK, 0, int(sys.argv[2]), 1, 0))  # F_OFD_SETLKW
    time.sleep(float(sys.argv[3]))
"""
KINDS: dict[str, Callable[[Campaign], None]] = {
    "slow": lambda c: c.device.order("slow", slow_ms=30, times=3),
    "error, once": lambda c: c.device.order("error"),
    "error, until a new delegate": lambda c: c.device.order("error", cure="delegate"),
    "error, until a new process": lambda c: c.device.order("error", cure="process"),
    "error, until a USB reset": lambda c: c.device.order("error", cure="reset"),
    "hang": lambda c: c.device.order("hang"),
    "hang, until a USB reset": lambda c: c.device.order("hang", cure="reset"),
    "endless loop": lambda c: c.device.order("spin"),
    "crash": lambda c: c.device.order("crash"),
    "abort": lambda c: c.device.order("abort"),
    "crash, then refuses to open": lambda c: c.crash_with("error", times=3),
    "crash, then crashes while opened": lambda c: c.crash_with("crash"),
    "crash, then hangs while opened": lambda c: c.crash_with("hang"),
    "taken by another process": lambda c: c.be_taken(),
    "vanishes until plugged in": lambda c: c.vanish(),
    "pulled out in the middle": lambda c: c.pull_out(),
}
RARE = {"crash, then hangs while opened"}  # costs seconds, as a start has at least two


class Numbers(Source):
    """Live: four small numbers, other ones each time."""

    live = True

    def _open(self) -> None:
        self._pace, self._given = Pace(), 0

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        due_ns = self._pace.wait(round(self._given * 1e9 / RATE_HZ))
        self._given += 1
        if due_ns is None:
            return None
        return (
            (self._given + np.arange(4)).astype(np.int8) % 50,
            "bgr",
            "",
            max(due_ns, time.monotonic_ns() - 1_000_000),
        )

    def _close(self) -> None:
        self._pace.stop()


class Campaign:
    """A loop on a simulated Edge TPU, and what is done to it.

    Args:
        folder: for everything that it needs.
        seed: of the choice of faults.

    Attributes:
        device: the Edge TPU.
        took_ms: by kind of fault, from giving it until the Edge TPU has served again.
        gaps_ms: by kind of fault, the largest time without a result.
        wrong: results that are not what their variant makes of the sample.
        memory_kb: after each fault, of all processes.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._random, self._stack = random.Random(seed), ExitStack()
        self._bench = Bench(folder / "bench")
        self.device: Device = self._bench.add("usb0")
        self.took_ms: dict[str, list[float]] = defaultdict(list)
        self.gaps_ms: dict[str, float] = defaultdict(float)
        self.served: Counter[str] = Counter()
        self.memory_kb: list[int] = []
        self.wrong = 0
        self._in_the_way: list[threading.Thread] = []
        environment = {"EDGETPU_BENCH": str(self._bench.folder), "EDGE_SDK_ROOT": str(self._bench.root)}
        self._stack.enter_context(mock.patch.dict(os.environ, environment))
        port = UsbPort(self._bench, self.device)
        reset = lambda wanted: UsbReset(wanted, ioctl=port.ioctl)  # noqa: E731
        self._stack.enter_context(mock.patch("edge_sdk.engines.edgetpu.usb_reset", reset))
        self.loop = Loop(
            both_bundle(folder / "both.edge"),
            Numbers(),
            deadline_ms=DEADLINE_MS,
            hang_ms=HANG_MS,
            variant="edgetpu",
            engine_options={"library": str(build(folder))},
            standby=Standby(patience=PATIENCE),
            on_event=self._told,
        )
        self.events: Counter[str] = Counter()

    def run(self, faults: int, kinds: list[str], say: Callable[[str], None]) -> None:
        """Give so many faults, each kind once before any comes again, and await the end of each.

        Raises:
            TimeoutError: if the Edge TPU did not come back from one.
        """
        with self._stack, self.loop:
            results = iter(self.loop)
            self._await_settled(results, "start")
            first = self._random.sample(kinds, len(kinds))
            weights = [0.2 if kind in RARE else 1.0 for kind in kinds]
            began = time.monotonic()
            for number in range(1, faults + 1):
                kind = first.pop() if first else self._random.choices(kinds, weights)[0]
                given = time.monotonic()
                KINDS[kind](self)
                self.took_ms[kind].append((self._await_settled(results, kind) - given) * 1_000)
                self.memory_kb.append(pss_kb(family(os.getpid()), "Anon", "Shmem"))
                if number % 50 == 0 or number == faults:
                    say(f"{number} faults in {time.monotonic() - began:.0f} s, the last: {kind}")

    def crash_with(self, kind: str, times: int = 1) -> None:
        """Crash, and then as many openings fail in this way."""
        self.device.order(kind, at="open", times=times)  # type: ignore[arg-type]
        self.device.order("crash")

    def be_taken(self) -> None:
        """Crash, and another process is the first to open it."""
        file = (self._bench.folder / self.device.name).resolve()
        life = str(self.device.resets + self.device.plugs)
        taker = subprocess.Popen([sys.executable, "-c", _TAKER, str(file), life, str(_AWAY_S)], stdout=subprocess.PIPE)
        assert taker.stdout is not None
        taker.stdout.readline()
        self._later(0, lambda: taker.__exit__(None, None, None))
        self.device.order("crash")

    def vanish(self) -> None:
        """Off the bus in the middle of an inference."""
        self.device.order("vanish")
        self._later(_AWAY_S, self.device.come_back)

    def pull_out(self) -> None:
        """Off the bus at any moment."""
        self.device.vanish()
        self._later(_AWAY_S, self.device.come_back)

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, do)
        self._in_the_way.append(timer)
        timer.start()

    def _await_settled(self, results: object, kind: str) -> float:
        """Until the fault is over and the Edge TPU serves; when it began to."""
        until, last, in_a_row, since = time.monotonic() + _LONGEST_S, time.monotonic(), 0, 0.0
        while in_a_row < _SETTLED:
            result: Result = next(results)  # type: ignore[call-overload]
            now = time.monotonic()
            if now > until:
                raise TimeoutError(
                    f"{kind}: the Edge TPU did not serve again within {_LONGEST_S:g} s: {dict(self.events)}"
                )
            self.gaps_ms[kind], last = max(self.gaps_ms[kind], (now - last) * 1_000), now
            self._check(result)
            over = not self.device.waiting and not any(each.is_alive() for each in self._in_the_way)
            if not over or result.variant != "edgetpu":
                in_a_row = 0
            elif in_a_row == 0:
                since, in_a_row = now, 1
            else:
                in_a_row += 1
        self._in_the_way.clear()
        return since

    def _check(self, result: Result) -> None:
        self.served[result.variant] += 1
        given = result.sample.data
        right = given * 2 if result.variant == "tflite-int8" else expected(b"package", given.tobytes(), 4).view(np.int8)
        self.wrong += not np.array_equal(result.value["output0"][0], right)

    def _told(self, event: Event) -> None:
        self.events[event.kind] += 1


def campaign(
    faults: int, seed: int, kinds: list[str] | None = None, say: Callable[[str], None] = lambda line: None
) -> list[Row]:
    """Give so many faults; rows of what was found.

    Raises:
        TimeoutError: if the Edge TPU did not come back from one.
    """
    with tempfile.TemporaryDirectory() as folder:
        drill = Campaign(Path(folder), seed)
        before = _what_there_is()
        drill.run(faults, kinds or list(KINDS), say)
    after = _what_there_is()
    report = drill.loop.report()
    c = report.counts
    ends = c.on_time + c.late + c.dropped + c.skipped + c.lost
    gap_ms = max(drill.gaps_ms.values())
    total = sum(drill.served.values())
    fifth = max(len(drill.memory_kb) // 5, 1)
    first_mb, last_mb = (np.median(part) / 1024 for part in (drill.memory_kb[:fifth], drill.memory_kb[-fifth:]))
    shares = ", ".join(f"{100 * count / total:.1f} % of {name}" for name, count in drill.served.most_common())
    counted = f"{c.captured} captured: {c.on_time} on time, {c.late} late, {c.dropped} dropped, {c.lost} lost"
    rows = [
        Row(f"{faults} faults, seed {seed}", counted, "each accounted for", met=c.captured == ends and not c.in_flight),
        Row("results", f"{total}: {shares}; {drill.wrong} wrong", "each as its variant makes it", met=not drill.wrong),
        Row(
            "largest time without a result",
            f"{gap_ms:.0f} ms",
            f"{LARGEST_GAP_MS:.0f} ms",
            met=gap_ms <= LARGEST_GAP_MS,
        ),
        Row("a stand-by served", f"{report.standby_s:.1f} s of {report.seconds:.1f} s"),
        Row(
            "processes, descriptors, threads, shared memory left",
            " ".join(map(str, after)),
            f"as before: {' '.join(map(str, before))}",
            met=before == after,
        ),
        Row(
            "memory, first and last fifth",
            f"{first_mb:.1f} and {last_mb:.1f} MB",
            "5 MB more at most",
            met=bool(last_mb <= first_mb + 5),
        ),
        Row("steps", ", ".join(f"{count} {kind}" for kind, count in sorted(drill.events.items()))),
    ]
    for kind, took in sorted(drill.took_ms.items()):
        p50, p95 = np.percentile(took, (50, 95))
        figures = f"{len(took):>3} times, p50 {p50:5.0f}, p95 {p95:5.0f}, max {max(took):5.0f} ms; gap {drill.gaps_ms[kind]:4.0f} ms"
        rows.append(Row(f"  {kind}", figures))
    return rows


def _what_there_is() -> tuple[int, int, int, int]:
    import gc

    gc.collect()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return len(family(os.getpid())), descriptors, threading.active_count(), len(list(Path("/dev/shm").iterdir()))


def run(quick: bool) -> list[Row]:
    """The campaign as a section of the benchmarks."""
    return campaign(40 if quick else 500, seed=1)


def main() -> None:
    """Parse, strike, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.edgetpu_faults", description="Random faults of an Edge TPU."
    )
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rows = campaign(given.faults, given.seed, say=lambda line: print(line, file=sys.stderr, flush=True))
    for row in rows:
        verdict = "" if row.met is None else ("met" if row.met else "NOT MET")
        print(f"{row.what:<52} {row.measured} {f'({row.target}) ' if row.target else ''}{verdict}")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
