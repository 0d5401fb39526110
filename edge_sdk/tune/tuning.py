"""Measures what a bundle may run here, and chooses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from time import monotonic_ns

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.choice import choose_variant
from edge_sdk.engines import Options
from edge_sdk.engines.cores import clusters
from edge_sdk.errors import EngineError, GateError
from edge_sdk.profiles import load_board
from edge_sdk.tune.candidates import Candidate, candidates
from edge_sdk.tune.contender import Contender, Servers
from edge_sdk.tune.objective import Judge, Objective
from edge_sdk.tune.pace import Pace
from edge_sdk.tune.race import Entry, Race
from edge_sdk.tune.store import Row, Tuned, Verdict, holds_now

_S = 1e-9  # of nanoseconds
_BUSY = 1.3
_IN_TIME = 0.95  # of the budget: what is under way then is finished
_SHARE_OF_OWN = 0.6  # of the budget, where variants of other models may follow


def tune(
    bundle: Bundle,
    objective: Objective,
    *,
    board: str | None = None,
    engine: str | None = None,
    options: Options | None = None,
    budget_s: float = 30.0,
    pace: Pace | None = None,
    servers: Servers | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """The best of what runs here, measured.

    Args:
        bundle: whose variants are measured.
        objective: what is wanted.
        board: name of a board's profile; only what it runs is measured.
        engine: that runs all variants it can; default the one of each variant's kind.
        options: for the engines that have them; what they state is not varied.
        budget_s: for everything, in seconds. What is under way then is finished.
        pace: when measuring may go on.
        servers: makes the engines' processes.
        say: told what is going on.

    Raises:
        GateError: if all that ran is wrong.
        EngineError: if nothing runs.
        LoopGone: as the pace does.
    """
    pace, family, began_ns = pace or Pace(), servers or Servers(), monotonic_ns()
    profile = load_board(board) if board is not None else None
    kinds = profile.variants if profile is not None else ()
    judge = Judge(bundle, objective, choose_variant(bundle, kinds=kinds).variant)

    def spent_s() -> float:
        return (monotonic_ns() - began_ns) * _S - pace.idle_s

    def measured(variants: Sequence[Variant], until_s: float) -> tuple[list[Entry], dict[str, str]]:
        found, cannot = candidates(
            bundle,
            variants,
            clusters(),
            board=board or "",
            kinds=kinds,
            engine=engine,
            options=options,
            stated=profile.engine_options if profile is not None else None,
        )

        def left_s() -> float:
            return _IN_TIME * until_s - spent_s()

        def open_(candidate: Candidate) -> Contender:
            return Contender(bundle, candidate, family, pace, left_s)

        race = Race(open_, left_s, by_variant=objective.deadline_ms is not None, say=say)
        return race.run(found), cannot

    with closing(family):
        admitted, left_out = judge.admitted()
        others = judge.others()
        entries, cannot = measured(admitted, budget_s * (_SHARE_OF_OWN if others else 1))
        if others and not judge.fitting(entries):
            more, cannot_either = measured(others, budget_s)
            entries, cannot = [*entries, *more], {**cannot, **cannot_either}
            left_out = {id_: why for id_, why in left_out.items() if id_ not in {each.id for each in others}}
    won = judge.winner(entries)
    if won is None:
        raise _nothing_runs(bundle, entries, {**cannot, **left_out})
    winner, why = won
    why += _busy_note(winner)
    rows = [_row(entry, entry is winner, why, winner) for entry in entries]
    rows.sort(key=lambda row: (row.verdict != "taken", row.p25_ms is None, row.p25_ms or 0.0))
    rows += [Row(variant=id_, verdict="cannot run", reason=reason) for id_, reason in cannot.items()]
    rows += [Row(variant=id_, verdict="left out", reason=reason) for id_, reason in left_out.items()]
    return Tuned(holds=holds_now(bundle, board), objective=str(objective), why=why, seconds=spent_s(), rows=tuple(rows))


def _row(entry: Entry, taken: bool, why: str, winner: Entry) -> Row:
    candidate, contender = entry.candidate, entry.contender
    verdict: Verdict = "taken" if taken else "slower"
    reason = why if taken else entry.out
    if entry.failed:
        verdict = "wrong" if contender is not None and contender.is_wrong else "cannot run"
    elif contender is None:
        verdict = "left out"
    elif not taken and not entry.out:
        reason = _beside(contender, winner)
    row = Row(
        variant=candidate.variant.id, engine=candidate.engine, options=candidate.options, verdict=verdict, reason=reason
    )
    if contender is None:
        return row
    golden = contender.golden
    ran = bool(contender.blocks)
    return row.model_copy(
        update={
            "golden": None if golden is None else golden.worst if math.isfinite(golden.worst) else -1.0,
            "p25_ms": contender.p25_ms if ran else None,
            "p50_ms": contender.p50_ms if ran else None,
            "p95_ms": contender.p95_ms if ran else None,
            "memory_mb": contender.memory_mb,
            "startup_ms": contender.startup_ms,
            "runs": contender.runs,
            "reason": f"{reason}{_of_golden(contender)}",
        }
    )


def _of_golden(contender: Contender) -> str:
    golden = contender.golden
    if golden is None:
        return "; the bundle has no golden vectors to check it by"
    return "" if golden.passed else f": largest difference {golden.worst:.3g}, {golden.tolerance:g} is allowed"


def _busy_note(winner: Entry) -> str:
    """That other programs got in the way, where the half of the steps was so much longer than the quarter."""
    contender = winner.contender
    if contender is None or contender.p50_ms < _BUSY * contender.p25_ms:
        return ""
    ratio = contender.p50_ms / contender.floor_ms
    return f"; the machine was busy with something else, its p50 is {ratio:.1f}x its shortest step: measure again when it is idle"


def _beside(contender: Contender, winner: Entry) -> str:
    assert winner.contender is not None  # noqa: S101 - it won
    ratio = contender.p25_ms / winner.contender.p25_ms
    if ratio <= 1:
        return f"as fast as {winner.candidate.name}, which takes fewer threads or is more accurate"
    return f"{ratio:.2f}x as slow as {winner.candidate.name}"


def _nothing_runs(bundle: Bundle, entries: Sequence[Entry], others: dict[str, str]) -> EngineError | GateError:
    reasons = {entry.candidate.variant.id: entry.out for entry in entries if entry.out} | others
    said = "; ".join(f"{id_}: {why}" for id_, why in reasons.items())
    if any(entry.contender is not None and entry.contender.is_wrong for entry in entries):
        return GateError(f"no variant of {bundle.path} that runs here is right: {said}. See edge-sdk doctor")
    return EngineError(f"no variant of {bundle.path} runs here: {said}")
