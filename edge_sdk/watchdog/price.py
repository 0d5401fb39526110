"""What a rung of the ladder costs, in one sentence for the log and the report: from what its bundle says was measured."""

from __future__ import annotations

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.manifest import ON_GROUND_TRUTH
from edge_sdk.bundle.worth import shared_figure, worth_of
from edge_sdk.watchdog.ladder import Rung


def price(rung: Rung, bundle: Bundle, configured: str) -> str:
    """The price of a rung.

    Args:
        rung: the rung.
        bundle: whose variants it may name.
        configured: id of the variant that runs on rung 0.

    Returns:
        Such as ``"tflite-int8-small: top-1 on ground truth 91 % against 94 % of tflite-int8"``; it says so where nothing was measured.

    Raises:
        BundleError: if the bundle has no such variant.
    """
    skipped = f"{rung.run_every - 1} of {rung.run_every} samples are skipped" if rung.run_every > 1 else ""
    variant = "" if rung.variant in (None, configured) else _compared(bundle, str(rung.variant), configured)
    return "; ".join(filter(None, (variant, skipped))) or "no result changes"


def _compared(bundle: Bundle, variant: str, configured: str) -> str:
    for id_ in (variant, configured):
        bundle.variant(id_)
    worth = worth_of(bundle)
    this = worth.get(variant, {})
    if shared := shared_figure(this, worth.get(configured, {})):
        name, here, there = shared
        return f"{variant}: {_named(name)} {here} against {there} of {configured}"
    if this:
        name, here = next(iter(this.items()))
        return f"{variant}: {_named(name)} {here}; of {configured} the same was not measured"
    return f"{variant}: what it costs in accuracy against {configured} was not measured"


def _named(name: str) -> str:
    return name if name.endswith(ON_GROUND_TRUTH) else f"agreement with float, {name}"
