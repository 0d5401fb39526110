"""An overload that begins and ends at once: how soon the governor makes misses few, and how soon all is as configured again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from benchmarks.bundles import numbers_bundle
from benchmarks.rows import Row
from benchmarks.streams import Camera
from benchmarks.supervised import page
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.add import add_variants
from edge_sdk.engines.faulty import order_fault
from edge_sdk.loop import Loop
from edge_sdk.watchdog import pulse

_IN_A_ROW = 100  # results, of which 1 % may be late
_WITHIN_S, _BACK_S = 2.0, 10.0
_BEFORE_S, _STEP_S, _AFTER_S, _STAYS_S = 1.0, 8.0, 20.0, 1.0
_FOR_EVER = 1_000_000  # inferences
_SHARES = 1.0, 0.25  # of the time of the variant as configured, and of the small one


@dataclass(frozen=True)
class Case:
    """An engine that takes ``busy`` of a frame's period, and ``slower`` of it more while the overload lasts; the deadline in periods.

    ``variant``: the ladder has another variant, which takes a quarter of that, in place of skipping.
    """

    name: str
    per_second: float
    variant: bool
    slower: float
    busy: float = 0.6
    deadline: float = 2.4

    def ms(self, periods: float) -> float:
        """So many periods in milliseconds."""
        return periods * 1_000 / self.per_second


CASES = tuple(
    Case(f"{what}, {per_second} frames/s", per_second, variant, slower)
    for what, variant, slower in (("skipping", False, 1.1), ("another variant", True, 2.0))
    for per_second in (30, 100)
)


@dataclass(frozen=True)
class Met:
    """How one overload went, in seconds: from its begin until misses are few, and from its end until rung 0."""

    under_s: float
    back_s: float
    rung: int


def run(quick: bool) -> list[Row]:
    """A step of eight seconds, several times over, for every kind of rung and rate."""
    repetitions = 1 if quick else 5
    return [row for case in CASES for row in _rows(case.name, [engine_slows(case) for _ in range(repetitions)])]


def _rows(name: str, met: list[Met]) -> list[Row]:
    under, back = [m.under_s for m in met], [m.back_s for m in met]
    rungs = ", ".join(sorted({str(m.rung) for m in met}))
    return [
        Row(f"overload, {name}: misses below 1 % after", f"{_spread(under)}; up to rung {rungs}", f"at most {_WITHIN_S:g} s",
            met=max(under) <= _WITHIN_S),
        Row("  at rung 0 after its end", _spread(back), f"at most {_BACK_S:g} s", met=max(back) <= _BACK_S),
    ]  # fmt: skip


def _spread(seconds: list[float]) -> str:
    return f"median {np.median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}"


def engine_slows(case: Case) -> Met:
    """The engine takes longer for a while, whatever else the machine does."""
    with tempfile.TemporaryDirectory() as name:
        orders = [Path(name) / "orders", Path(name) / "orders-small"]
        large, small = (
            {"inner": "null", "orders": str(file), "wait_ms": f"{case.ms(case.busy) * share:g}"}
            for file, share in zip(orders, _SHARES, strict=True)
        )
        bundle = numbers_bundle(Path(name))
        governor: bool | dict[str, object] = True
        if case.variant:
            bundle, governor = _with_small(bundle), {"rungs": [{"variant": "null-small", "options": small}]}

        @contextmanager
        def slow() -> Iterator[None]:
            _slow(orders, case.ms(case.slower))
            yield
            _slow(orders, 0)

        camera = Camera(np.zeros(4, np.int8), per_second=case.per_second, seconds=60)
        with (
            page() as slot,
            Loop(
                bundle,
                camera,
                deadline_ms=case.ms(case.deadline),
                engine="faulty",
                engine_options=large,
                governor=governor,
            ) as loop,
        ):
            return _watch(loop, slot, slow())


def _with_small(bundle: Path) -> Path:
    both = bundle.with_stem("both")
    with Bundle(bundle) as base, Bundle(bundle) as other:
        add_variants(base, other, both, suffix="small")
    return both


def _slow(orders: list[Path], by_ms: float) -> None:
    for file, share in zip(orders, _SHARES, strict=True):
        order_fault(file, f"slow {by_ms * share:g} {_FOR_EVER}")


def _watch(loop: Loop, slot: memoryview, overload: AbstractContextManager[None]) -> Met:
    """Iterate, have the overload for eight seconds, and go on until rung 0 has lasted for a second."""
    found: list[tuple[float, bool]] = []  # of each result of the overload: when, and whether it was late
    highest, began, ended, at_foot = 0, 0.0, 0.0, 0.0
    starts = monotonic() + _BEFORE_S
    with ExitStack() as stack:
        for result in loop:
            now, rung = monotonic(), slot[pulse.RUNG]
            highest = max(highest, rung)
            if not began and now >= starts:
                stack.enter_context(overload)
                began = monotonic()
            elif began and not ended:
                found.append((now - began, result.late))
                if now >= began + _STEP_S:
                    stack.close()
                    ended = monotonic()
            elif ended:
                at_foot = 0.0 if rung else at_foot or now
                if now > ended + _AFTER_S or (at_foot and now > at_foot + _STAYS_S):
                    break
    return Met(under(found), max(at_foot - ended, 0.0) if at_foot else _AFTER_S, highest)


def under(found: list[tuple[float, bool]]) -> float:
    """The moment from which on at most one result of any 100 in a row is late, to the end."""
    late = np.flatnonzero([is_late for _, is_late in found])
    close = np.flatnonzero(np.diff(late) < _IN_A_ROW)
    last = late[close[-1] + 1] if len(close) else -1
    return 0.0 if last < 0 else found[last][0]
