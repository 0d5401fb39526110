"""What a person should know of a target's variant before a board runs it; none of it stops the conversion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from converters.report.figures import Figures
from converters.targets.made import TargetVariant
from edge_sdk.bundle import Variant

_LESS_DB = 6.0  # twice the error
_LOOSE = 0.25  # of an output's whole range, or of its largest value


def doubts(figures: Figures, variants: tuple[TargetVariant, ...]) -> tuple[str, ...]:
    """One sentence each.

    Args:
        figures: of the conversion; they have what the first variant is worth.
        variants: of the targets.
    """
    return tuple(said for made in variants for said in (*_worse(figures, made), *_unproven(made.variant)))


def _worse(figures: Figures, made: TargetVariant) -> Iterator[str]:
    known = [o.sqnr_db for o in figures.parity.outputs if o.sqnr_db is not None] if figures.parity else []
    ours = made.figures.weakest_db
    if known and ours is not None and ours < min(known) - _LESS_DB:
        yield (
            f"Variant {made.variant.id} follows the float model worse than {figures.kind} does: SQNR {ours:.1f} dB where that has "
            f"{min(known):.1f} dB. Look at its agreement below; --max-drop makes it a gate, --variant chooses another on the device."
        )


def _unproven(variant: Variant) -> Iterator[str]:
    steps = [float(np.iinfo(o.dtype).max) - float(np.iinfo(o.dtype).min) for o in variant.outputs if o.quantized]
    share = variant.golden_tolerance / min(steps, default=1.0)
    if share > _LOOSE:
        of = "an output's range" if steps else "the largest value"
        yield (
            f"The golden vectors of variant {variant.id} prove little: here already they differ between two ways to compute, so that "
            f"{100 * share:.0f} % of {of} is allowed. Made-up inputs say little to some models; give real ones with --golden DATA."
        )
