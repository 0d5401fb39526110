"""What a rung of the ladder costs, in one sentence for the log and the report: from what its bundle says was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edge_sdk.bundle import Bundle
from edge_sdk.bundle.manifest import ON_GROUND_TRUTH
from edge_sdk.errors import BundleError
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
    measured = _measured(bundle)
    this, other = measured.get(variant, {}), measured.get(configured, {})
    for name, (value, unit) in this.items():
        if name in other:
            return (
                f"{variant}: {_named(name)} {_said(value, unit)} against {_said(other[name][0], unit)} of {configured}"
            )
    if this:
        name, (value, unit) = next(iter(this.items()))
        return f"{variant}: {_named(name)} {_said(value, unit)}; of {configured} the same was not measured"
    return f"{variant}: what it costs in accuracy against {configured} was not measured"


def _named(name: str) -> str:
    return name if name.endswith(ON_GROUND_TRUTH) else f"agreement with float, {name}"


def _said(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()


def _measured(bundle: Bundle) -> dict[str, dict[str, tuple[float, str]]]:
    """By variant, its figures by name with their unit, the weightiest first: metrics against the right answers, then agreement with float.

    ``report.json`` has the figures of the bundle's first variant at length, and those of the others in the same order in its ``variants``.
    """
    report = _report(bundle)
    first, *others = (variant for variant in bundle.manifest.variants if not variant.measured)
    figures = {first.id: _figures(_all(report, "evaluation", "metrics"), _all(report, "parity", "agreement"))}
    rows = _all(report, "variants")
    if [row.get("kind") for row in rows] == [variant.kind for variant in others]:
        for variant, row in zip(others, rows, strict=True):
            metric = row.get("metric")
            figures[variant.id] = _figures([metric] if isinstance(metric, dict) else [], _all(row, "agreement"))
    for variant in bundle.manifest.variants:
        numbers = {name: value for name, value in variant.measured.items() if isinstance(value, int | float)}
        if numbers:
            figures[variant.id] = {name: (float(value), "") for name, value in numbers.items()}
    return figures


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


def _figures(metrics: list[Mapping[str, Any]], agreement: list[Mapping[str, Any]]) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    for figures, key, of in ((metrics, "int8_value", ON_GROUND_TRUTH), (agreement, "value", "")):
        for figure in figures:
            name, value = figure.get("name"), figure.get(key)
            if isinstance(name, str) and isinstance(value, int | float):
                found.setdefault(name + of, (float(value), str(figure.get("unit", ""))))
    return found
