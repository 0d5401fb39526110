"""Which variant of a bundle runs here."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.engines.variants import ON_ANY_PROCESSOR, known_kind, missing_accelerator, needs_accelerator
from edge_sdk.errors import BundleError


@dataclass(frozen=True)
class Choice:
    """A variant; ``instead`` says in one sentence why it is not the one that was to be expected, or is empty."""

    variant: Variant
    instead: str = ""


def choose_variant(
    bundle: Bundle, id_: str | None = None, *, kinds: tuple[str, ...] = (), engine: str | None = None
) -> Choice:
    """The variant of this id; without one, the first of the ``kinds``, else the bundle's first.

    A variant for an accelerator, such as the Edge TPU, that nobody has asked for by its id or by the engine is left out where none is seen,
    for one of the processor; that is said in ``instead``.

    Args:
        bundle: the bundle.
        id_: of the variant that the user named.
        kinds: that a board runs, the one to try first in front.
        engine: that the user named.

    Raises:
        BundleError: if there is none.
    """
    variant = bundle.variant(id_, kinds=kinds)
    missing = missing_accelerator(variant.kind)
    if not missing or id_ is not None or _runs_it(engine, variant.kind):
        return Choice(variant)
    others = (*(kind for kind in kinds if not needs_accelerator(kind)), ON_ANY_PROCESSOR)
    try:
        other = bundle.variant(kinds=others)
    except BundleError:
        return Choice(variant)  # its engine says what to do
    return Choice(
        other,
        f"no {missing} is seen; running {other.id} on the processor instead of {variant.id}. To see what is wrong, run: edge-sdk doctor",
    )


def _runs_it(engine: str | None, kind: str) -> bool:
    known = known_kind(kind)
    return engine is not None and known is not None and known.engine == engine
