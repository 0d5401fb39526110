"""What stands by: the variant that serves while the one that is configured, on an accelerator, is had back."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_sdk.bundle import Bundle, Variant
from edge_sdk.engines.isolation import Isolation
from edge_sdk.engines.variants import ON_ANY_PROCESSOR, needs_accelerator
from edge_sdk.errors import ConfigError
from edge_sdk.watchdog.steps import Patience


@dataclass(frozen=True)
class Standby:
    """What stands by, and how long the ways back are.

    Attributes:
        variant: id of the variant; True chooses the bundle's tflite-int8 variant where an accelerator runs; False has none.
        patience: see there.
    """

    variant: str | bool = True
    patience: Patience = field(default_factory=Patience)


def standby_for(
    given: str | bool, bundle: Bundle, variant: Variant, isolation: Isolation
) -> tuple[Variant | None, str]:
    """The variant that stands by for ``variant``, and where there is none though it was wanted, why.

    Args:
        given: the variant's id; True chooses the bundle's tflite-int8 variant if ``variant`` runs on an accelerator; False has none.
        bundle: has both.
        variant: which runs as configured.
        isolation: of the engines.

    Raises:
        BundleError: if there is no variant of this id.
        ConfigError: if it cannot stand by.
    """
    if given is False or (given is True and not needs_accelerator(variant.kind)):
        return None, ""
    if given is not True:
        chosen = bundle.variant(given)
        if why := _unlike(bundle, variant, chosen):
            raise ConfigError(f"standby = {given!r} cannot stand by for {variant.id}: {why}")
        if isolation != "process":
            raise ConfigError(f"standby = {given!r} needs isolation = process: without it a hang ends the application")
        return chosen, ""
    if isolation != "process":
        return None, "isolation = none, where a hang ends the application"
    of_kind = [each for each in bundle.manifest.variants if each.kind == ON_ANY_PROCESSOR]
    fitting = [each for each in of_kind if not _unlike(bundle, variant, each)]
    if fitting:
        return fitting[0], ""
    found = _unlike(bundle, variant, of_kind[0]) if of_kind else f"the bundle has no variant of kind {ON_ANY_PROCESSOR}"
    return None, found


def _unlike(bundle: Bundle, one: Variant, other: Variant) -> str:
    """Why one cannot take the other's place; empty if it can."""
    if bundle.contract_of(one) != bundle.contract_of(other):
        return f"{other.id} has another contract"
    if bundle.task_of(one) != bundle.task_of(other):
        return f"{other.id} has another task"
    return ""
