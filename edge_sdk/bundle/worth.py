"""What a bundle says that its variants are worth: figures against the right answers, or of agreement with the float model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_sdk.bundle.manifest import ON_GROUND_TRUTH
from edge_sdk.bundle.read import Bundle
from edge_sdk.errors import BundleError


@dataclass(frozen=True)
class Worth:
    """One figure of a variant.

    Attributes:
        value, unit: such as 93.5 and ``"%"``, or 0.71 without a unit.
        higher_is_better: False where the report says so; True of all others, which are shares of what is right.
    """

    value: float
    unit: str = ""
    higher_is_better: bool = True

    def __str__(self) -> str:
        return f"{self.value:.4g} {self.unit}".rstrip()

    def drop_from(self, other: Worth) -> float:
        """How much worse this is than another figure of the same name: as a share of the scale where the figures are shares, else of the
        other's value. Below 0 it is better."""
        loss = other.value - self.value if self.higher_is_better else self.value - other.value
        if self.higher_is_better and self.unit == "%":
            return loss / 100
        if self.higher_is_better and 0 <= other.value <= 1:
            return loss
        return loss / max(abs(other.value), 1e-9)


def worth_of(bundle: Bundle) -> dict[str, dict[str, Worth]]:
    """By variant, its figures by name, the weightiest first: metrics against the right answers, then agreement with float.

    ``report.json`` has the figures of the bundle's first variant at length, those of the next ones in the same order in its ``variants``,
    and those of other targets by the variant's id in its ``targets``.

    Raises:
        BundleError: if the report is no JSON.
    """
    report = _report(bundle)
    first, *others = (variant for variant in bundle.manifest.variants if not variant.measured)
    found = {first.id: _figures(_all(report, "evaluation", "metrics"), _all(report, "parity", "agreement"))}
    rows = _all(report, "variants")
    if [row.get("kind") for row in rows] == [variant.kind for variant in others[: len(rows)]]:
        for variant, row in zip(others, rows, strict=False):
            metric = row.get("metric")
            found[variant.id] = _figures([metric] if isinstance(metric, dict) else [], _all(row, "agreement"))
    for row in _all(report, "targets"):
        found[str(row.get("variant"))] = _figures(_all(row, "evaluation", "metrics"), _all(row, "with_float"))
    for variant in bundle.manifest.variants:
        numbers = {name: value for name, value in variant.measured.items() if isinstance(value, int | float)}
        if numbers:
            found[variant.id] = {name: Worth(float(value)) for name, value in numbers.items()}
    return found


def shared_figure(one: Mapping[str, Worth], other: Mapping[str, Worth]) -> tuple[str, Worth, Worth] | None:
    """The weightiest figure that both variants have: its name, the one's and the other's; None without such."""
    return next(((name, worth, other[name]) for name, worth in one.items() if name in other), None)


def _report(bundle: Bundle) -> Mapping[str, Any]:
    if bundle.manifest.report is None:
        return {}
    try:
        report = json.loads(bundle.read(bundle.manifest.report))
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"{bundle.path}: {bundle.manifest.report} is not JSON: {exc}") from exc
    return report if isinstance(report, dict) else {}


def _all(table: Mapping[str, Any], *path: str) -> list[Mapping[str, Any]]:
    """The tables of the list at this path; none where there is none."""
    value: object = table
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _figures(metrics: list[Mapping[str, Any]], agreement: list[Mapping[str, Any]]) -> dict[str, Worth]:
    found: dict[str, Worth] = {}
    for figures, key, of in ((metrics, "int8_value", ON_GROUND_TRUTH), (agreement, "value", "")):
        for figure in figures:
            name, value = figure.get("name"), figure.get(key)
            if isinstance(name, str) and isinstance(value, int | float):
                higher = figure.get("higher_is_better") is not False
                found.setdefault(name + of, Worth(float(value), str(figure.get("unit", "")), higher))
    return found
