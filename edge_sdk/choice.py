"""Which variant of a bundle runs here."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.edgetpu.devices import list_devices
from edge_sdk.errors import BundleError

_EDGETPU = "edgetpu"
_ON_ANY_PROCESSOR = ("tflite-int8",)  # also beside an accelerator, whose profile does not state it


@dataclass(frozen=True)
class Choice:
    """A variant; ``instead`` says in one sentence why it is not the one that was to be expected, or is empty."""

    variant: Variant
    instead: str = ""


def choose_variant(
    bundle: Bundle, id_: str | None = None, *, kinds: tuple[str, ...] = (), engine: str | None = None
) -> Choice:
    """The variant of this id; without one, the first of the ``kinds``, else the bundle's first.

    A variant for the Edge TPU that nobody has asked for by its id or by the engine is left out where no Edge TPU is seen, for one of the
    processor; that is said in ``instead``.

    Args:
        bundle: the bundle.
        id_: of the variant that the user named.
        kinds: that a board runs, the one to try first in front.
        engine: that the user named.

    Raises:
        BundleError: if there is none.
    """
    variant = bundle.variant(id_, kinds=kinds)
    if variant.kind != _EDGETPU or id_ is not None or engine == _EDGETPU or list_devices():
        return Choice(variant)
    others = (*(kind for kind in kinds if kind != _EDGETPU), *_ON_ANY_PROCESSOR)
    try:
        other = bundle.variant(kinds=others)
    except BundleError:
        return Choice(variant)  # its engine says what to do
    return Choice(
        other,
        f"no Edge TPU is seen; running {other.id} on the processor instead of {variant.id}. To see what is wrong, run: edge-sdk doctor",
    )
