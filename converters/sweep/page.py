"""The sweep's page: figures laid out by ``sweep.html.j2`` in the style of the conversion's report, every name in them escaped."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from converters.report import numbers
from converters.sweep import labels
from converters.sweep.figures import Accuracy, Row, SweepFigures
from edge_sdk.errors import needs

if TYPE_CHECKING:
    from markupsafe import Markup

_KILOBYTE, _MEGABYTE = 1e3, 1e6


def render_html(figures: SweepFigures) -> str:
    """One page that needs nothing else: no script, no request, light and dark, printable.

    Raises:
        MissingPackageError: if jinja2 is not installed.
    """
    with needs("jinja2", for_="writing the sweep's page", extra="convert"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).parent
    loader = FileSystemLoader([here, here.with_name("report")])
    # autoescape is for every template: names of files and tensors are somebody else's text
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("short", "size", "count", "change", "shape"):
        environment.filters[name] = getattr(numbers, name)
    good = [row for row in figures.rows if row.figures is not None]
    return environment.get_template("sweep.html.j2").render(
        f=figures,
        good=good,
        failed=[row for row in figures.rows if row.failure is not None],
        accuracy=_accuracy(good),
        best=labels.titles(figures.best[0]),
        labels=labels,
        plots=_plots(figures, good),
    )


def _accuracy(good: list[Row]) -> Accuracy | None:
    return good[0].figures.accuracy if good and good[0].figures is not None else None


def _plots(figures: SweepFigures, good: list[Row]) -> dict[str, Markup]:
    from converters.sweep.plots import Dot, scatter

    if (accuracy := _accuracy(good)) is None:
        return {}
    latency, sizes = [], []
    large = max(row.figures.size_bytes for row in good if row.figures is not None) >= _MEGABYTE
    unit, name = (_MEGABYTE, "MB") if large else (_KILOBYTE, "kB")
    for row in good:
        found = row.figures
        assert found is not None and row.latency_ms is not None  # noqa: S101 - good rows only
        told = (
            f"{row.number}: {labels.point_name(figures, row)}\n{labels.accuracy_text(found.accuracy)}, "
            f"{labels.milliseconds(row.latency_ms)}, {numbers.size(found.size_bytes)}"
        )
        marks = {"number": row.number, "told": told, "front": row.front, "knee": row.number == figures.best[0].knee}
        latency.append(Dot(row.latency_ms, found.accuracy.value, **marks))  # type: ignore[arg-type]
        sizes.append(Dot(found.size_bytes / unit, found.accuracy.value, **marks))  # type: ignore[arg-type]
    title = f"{accuracy.name}, {accuracy.unit}" if accuracy.unit else accuracy.name
    most = 100.0 if accuracy.unit == "%" else math.inf
    draw = partial(scatter, y_title=title, higher_is_better=accuracy.higher_is_better, most=most)
    return {
        "latency": draw(latency, "latency on this machine, ms"),
        "size": draw(sizes, f"size, {name}"),
    }
