"""Choosing by measurement: against an exhaustive search, within its time; and beside a loop, which is to keep its deadlines.

The bundle has five variants: MobileNetV2-224 as float32, as int8 and as uint8, and two that are as right but slower in part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep

import numpy as np

from benchmarks.bundles import five_variants
from benchmarks.rows import Row
from edge_sdk.bundle import Bundle
from edge_sdk.engines.cores import clusters
from edge_sdk.errors import EdgeSdkError
from edge_sdk.loop import Loop
from edge_sdk.sources import Source
from edge_sdk.tensors import Array
from edge_sdk.tune.candidates import candidates
from edge_sdk.tune.contender import Contender, Servers
from edge_sdk.tune.objective import Objective
from edge_sdk.tune.pace import Pace
from edge_sdk.tune.tuning import tune

_HZ, _DEADLINE_MS = 30.0, 50.0


def run(quick: bool) -> list[Row]:
    """Five variants, all threads."""
    with tempfile.TemporaryDirectory() as folder:
        path = five_variants(Path(folder))
        return [*_against_exhaustive(path, 1 if quick else 3, 4 if quick else 20), *_beside_a_loop(path, quick)]


def _against_exhaustive(path: Path, times: int, rounds: int) -> list[Row]:
    with Bundle(path) as bundle:
        took_s, chosen = [], []
        for _ in range(times):
            began = perf_counter()
            found = tune(bundle, Objective())
            took_s.append(perf_counter() - began)
            chosen.append(found.taken.name)
        medians = _exhaustive(bundle, rounds)
    best = min(medians, key=lambda name: medians[name])
    worst = max(medians[name] / medians[best] for name in chosen)
    return [
        Row(
            f"tune, {len(medians)} candidates of five variants",
            f"{max(took_s):.1f} s at most, {times} times",
            "at most 30 s",
            None,
            max(took_s) <= 30,
        ),
        Row(
            f"its choice ({', '.join(dict.fromkeys(chosen))}) / the best of an exhaustive search ({best})",
            f"p50 {max(medians[name] for name in chosen):.3f} ms against {medians[best]:.3f} ms",
            "at most 1.10x",
            worst,
            worst <= 1.1,
        ),
    ]


def _exhaustive(bundle: Bundle, rounds: int) -> dict[str, float]:
    """The median of each candidate's steps, half a second in each round, all interleaved."""
    found, _ = candidates(bundle, bundle.manifest.variants, clusters())
    with ExitStack() as stack:
        servers = Servers()
        stack.callback(servers.close)
        contenders: list[Contender] = []
        for candidate in found:
            try:
                contender = Contender(bundle, candidate, servers, Pace(), lambda: 60.0)
            except EdgeSdkError:
                continue  # what cannot run here is no choice
            stack.callback(contender.close)
            contenders.append(contender)
        for _ in range(rounds):
            for contender in contenders:
                contender.block(0.5)
        return {contender.candidate.name: contender.p50_ms for contender in contenders}


def _beside_a_loop(path: Path, quick: bool) -> list[Row]:
    """A loop at 30 frames a second, by turns alone and with measuring beside it."""
    frames, turns = (150, 1) if quick else (900, 3)
    late: dict[str, list[int]] = {"off": [], "background": []}
    p99_ms: dict[str, list[float]] = {"off": [], "background": []}
    for _ in range(turns):
        for mode, counts in late.items():
            with tempfile.TemporaryDirectory() as state, _state_in(state):
                misses, ages = _looped(path, mode, frames)
            counts.append(misses)
            p99_ms[mode].append(float(np.percentile(ages, 99)))
    alone, beside = sum(late["off"]), sum(late["background"])
    total = frames * turns
    return [
        Row(
            f"misses of {total} frames at {_HZ:g} Hz, deadline {_DEADLINE_MS:g} ms: measuring beside the loop / alone",
            f"{beside} against {alone}; p99 {np.median(p99_ms['background']):.1f} ms against {np.median(p99_ms['off']):.1f} ms",
            "no more misses",
            None,
            beside <= alone + max(2, total // 1_000),
        )
    ]


def _looped(path: Path, mode: str, frames: int) -> tuple[int, list[float]]:
    with Loop(path, _Frames(frames), deadline_ms=_DEADLINE_MS, tuned=mode, reopen_s=0) as loop:  # type: ignore[arg-type]
        results = list(loop)
    return sum(result.late for result in results), [result.age_ms for result in results]


class _Frames(Source):
    """One image, ``_HZ`` times a second."""

    live = True

    def __init__(self, count: int) -> None:
        self._left, self._due_s = count, perf_counter()
        self._image: Array = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)

    def _open(self) -> None: ...

    def _read(self) -> tuple[Array, str, str, int | None] | None:  # type: ignore[override]
        if not self._left:
            return None
        self._left -= 1
        self._due_s = max(self._due_s + 1 / _HZ, perf_counter())
        sleep(max(self._due_s - perf_counter(), 0))
        return self._image, "rgb", "", None

    def _close(self) -> None: ...


class _state_in:
    """The state directory for a while, so that nothing kept is taken."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        import os

        from edge_sdk.watchdog.plan import STATE_VARIABLE

        os.environ[STATE_VARIABLE] = self._folder
        os.environ["XDG_STATE_HOME"] = self._folder

    def __exit__(self, *_: object) -> None:
        import os

        from edge_sdk.watchdog.plan import STATE_VARIABLE

        del os.environ[STATE_VARIABLE], os.environ["XDG_STATE_HOME"]
