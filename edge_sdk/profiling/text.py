"""A profile for people: lines of 100 columns."""

from __future__ import annotations

from collections.abc import Iterator

from edge_sdk.cli.table import facts, heading, table
from edge_sdk.profiling.figures import OperatorTime, Profile

_SHOWN = 15
_BAR = 20


def profile_lines(profile: Profile, *, all_operators: bool = False) -> Iterator[str]:
    """What the terminal shows.

    Args:
        profile: see there.
        all_operators: every operator in its order, not only the longest.
    """
    yield from facts(_facts(profile))
    yield from heading("By kind of operator")
    rows = [
        (
            kind,
            str(count),
            f"{ms:.3f}",
            f"{100 * ms / (profile.sum_ms or 1):.1f}",
            "#" * round(_BAR * ms / (profile.sum_ms or 1)),
        )
        for kind, (count, ms) in profile.by_kind.items()
    ]
    yield from table(("kind", "count", "ms", "%", ""), rows, right=("count", "ms", "%"))
    chosen = profile.operators
    if not all_operators:
        chosen = tuple(sorted(profile.operators, key=lambda operator: -operator.ms)[:_SHOWN])
    left_out = len(profile.operators) - len(chosen)
    yield from heading("Operators" if all_operators else "The longest operators")
    titles = ("no", "kind", "makes", "ms", "%", "GMAC/s", "roof %", "bound by")
    rows_ = [_row(profile, operator) for operator in chosen]
    yield from table(titles, rows_, right=("no", "ms", "%", "GMAC/s", "roof %"))
    if left_out:
        yield f"  and {left_out} more: --all"


def share_of_roof(profile: Profile, operator: OperatorTime) -> float | None:
    """How much of what the machine can do an operator reaches; None where its work is not known, or its time too short to tell."""
    if not operator.bytes or operator.ms < 0.002 or (operator.macs and not profile.roof.gmacs_s):
        return None
    return profile.roof.least_ms(operator.macs, operator.bytes) / operator.ms


def _row(profile: Profile, operator: OperatorTime) -> tuple[str, ...]:
    share = share_of_roof(profile, operator)
    return (
        str(operator.number),
        operator.kind,
        operator.name,
        f"{operator.ms:.3f}",
        f"{100 * operator.ms / (profile.sum_ms or 1):.1f}",
        f"{operator.macs / operator.ms * 1e-6:.1f}" if operator.macs and operator.ms else "",
        "" if share is None else f"{100 * share:.0f}",
        profile.roof.bound(operator.macs, operator.bytes),
    )


def _facts(profile: Profile) -> Iterator[tuple[str, str]]:
    yield "model", profile.model
    yield "engine", profile.engine
    yield "one run", f"{profile.whole_ms:.3f} ms; its {len(profile.operators)} operators add up to {profile.sum_ms:.3f}"
    macs = sum(operator.macs for operator in profile.operators)
    if macs:
        yield "work", f"{macs / 1e6:,.1f} million multiply-accumulates, {macs / profile.whole_ms * 1e-6:.1f} GMAC/s"
    yield (
        "memory",
        f"{profile.library_mb:.1f} MB with the engine's library, {profile.loaded_mb - profile.library_mb:+.1f} the model, "
        f"{profile.ran_mb - profile.loaded_mb:+.1f} its first runs",
    )
    compute = f"{profile.roof.gmacs_s:.1f} GMAC/s, " if profile.roof.gmacs_s else ""
    yield "roof", f"{compute}{profile.roof.gbytes_s:.1f} GB/s ({profile.roof.origin})"
    if profile.stated:
        yield "data sheet", profile.stated
    yield "times", profile.method
