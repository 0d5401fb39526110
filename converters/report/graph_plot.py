"""The model as a picture: operators as boxes in the order of execution, coloured by where they are planned to run.

The layout is a layered one: an operator stands below all that it takes from, beside others of its depth. Deep models are wrapped into
columns, read from the top of the left one to the bottom of the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from converters.report.edgetpu_figures import EdgeTpu
from converters.report.svg import path, rect, svg, text
from edge_sdk.edgetpu.plan import PlannedOperator

MOST_DRAWN = 2_000  # operators; beyond that nobody reads the picture
_BOX, _HIGH = 130.0, 18.0  # of an operator, in SVG units
_LANE, _ROW = 144.0, 28.0  # from one to the next
_GUTTER, _MARGIN = 38.0, 12.0
_WIDTH = 888.0  # of the page
_FEWEST_ROWS, _MOST_ROWS = 16, 90
_LETTERS = 21  # of a name


@dataclass(frozen=True)
class _Place:
    column: int
    lane: int
    row: int


@dataclass(frozen=True)
class _Layout:
    """A place for each operator, and the left edge of each column."""

    places: tuple[_Place, ...]
    lefts: tuple[float, ...]
    width: float
    rows: int

    def corner(self, index: int) -> tuple[float, float]:
        place = self.places[index]
        return self.lefts[place.column] + place.lane * _LANE, _MARGIN + place.row * _ROW


def graph(shown: EdgeTpu) -> Markup | None:
    """The graph of a plan; None where it has too many operators to be read."""
    operators = shown.plan.operators
    if not 0 < len(operators) <= MOST_DRAWN:
        return None
    layout = _lay_out(len(operators), shown.edges)
    found = {} if shown.comparison is None else {each.index: each.found for each in shown.comparison.operators}
    parts = [path(_way(layout, maker, taker), "edge") for maker, taker in shown.edges]
    for operator in operators:
        x, y = layout.corner(operator.index)
        style = f"{'tpu' if operator.mapped else 'cpu'}{' differs' if operator.index in found else ''}"
        parts.append(rect((x, y), (_BOX, _HIGH), style, _title(operator, found.get(operator.index))))
        parts.append(text(x + _BOX / 2, y + 12.5, _label(operator), "on"))
    mapped = len(shown.plan.mapped)
    said = f"{len(operators)} operators: {mapped} on the Edge TPU, {len(operators) - mapped} on the processor"
    return svg(layout.width, 2 * _MARGIN + (layout.rows - 1) * _ROW + _HIGH, said, parts)


def _label(operator: PlannedOperator) -> str:
    name = f"{operator.index} {operator.name}"
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _title(operator: PlannedOperator, found: bool | None) -> str:
    where = "on the Edge TPU" if operator.mapped else "on the processor"
    why = f": {operator.why}" if operator.why else ""
    other = {None: "", True: ". The compiler mapped it", False: ". The compiler did not map it"}[found]
    return f"{operator.index} {operator.name}, {operator.output}: {where}{why}{other}"


def _lay_out(count: int, edges: Sequence[tuple[int, int]]) -> _Layout:
    depths, lanes = _layers(count, edges)
    widths = [0] * (max(depths) + 1)  # lanes of each layer
    for depth, lane in zip(depths, lanes, strict=True):
        widths[depth] = max(widths[depth], lane + 1)
    rows = next((n for n in range(_FEWEST_ROWS, _MOST_ROWS) if _across(widths, n) <= _WIDTH), _MOST_ROWS)
    rows = min(rows, len(widths))
    lefts, left = [], _MARGIN
    for start in range(0, len(widths), rows):
        lefts.append(left)
        left += max(widths[start : start + rows]) * _LANE - (_LANE - _BOX) + _GUTTER
    places = tuple(_Place(depth // rows, lane, depth % rows) for depth, lane in zip(depths, lanes, strict=True))
    return _Layout(places, tuple(lefts), left - _GUTTER + 2 * _MARGIN, rows)


def _across(widths: Sequence[int], rows: int) -> float:
    """How wide the drawing is in columns of so many rows."""
    columns = [max(widths[start : start + rows]) for start in range(0, len(widths), rows)]
    return sum(n * _LANE - (_LANE - _BOX) for n in columns) + (len(columns) - 1) * _GUTTER + 3 * _MARGIN


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Of each operator its depth, and its lane: those of one depth stand in the order of the lanes of what they take from."""
    makers: list[list[int]] = [[] for _ in range(count)]
    for maker, taker in edges:
        makers[taker].append(maker)
    depths, lanes = [0] * count, [0] * count
    for index in range(count):
        depths[index] = max((depths[maker] + 1 for maker in makers[index]), default=0)
    layers: list[list[int]] = [[] for _ in range(max(depths) + 1)]
    for index, depth in enumerate(depths):
        layers[depth].append(index)
    for layer in layers:
        layer.sort(key=lambda index: (min((lanes[maker] for maker in makers[index]), default=0), index))
        for lane, index in enumerate(layer):
            lanes[index] = lane
    return depths, lanes


def _way(layout: _Layout, maker: int, taker: int) -> str:
    """From below a box to above the next; beside the boxes between them where there are any; through the gutter to another column."""
    (x1, y1), (x2, y2) = layout.corner(maker), layout.corner(taker)
    before, after = layout.places[maker], layout.places[taker]
    start, end = (x1 + _BOX / 2, y1 + _HIGH), (x2 + _BOX / 2, y2)
    if before.column != after.column:
        aside = (
            layout.lefts[after.column] - _GUTTER / 2 + (maker % 7 - 3) * 3.5
        )  # lines of several makers lie side by side
        between = (_ROW - _HIGH) / 2
        return f"M{start[0]:.1f} {start[1]:.1f}v{between}H{aside:.1f}V{end[1] - between:.1f}H{end[0]:.1f}v{between}"
    if before.lane == after.lane and after.row - before.row > 1:
        aside = min(6.0 + 2.0 * (after.row - before.row), _GUTTER - 6)
        x, top, bottom = x1 + _BOX, y1 + _HIGH / 2, y2 + _HIGH / 2
        return _curve((x, top), (x + aside, top), (x + aside, bottom), (x, bottom))
    half = (end[1] - start[1]) / 2
    return _curve(start, (start[0], start[1] + half), (end[0], end[1] - half), end)


def _curve(*points: tuple[float, float]) -> str:
    (x, y), *others = points
    return f"M{x:.1f} {y:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in others)
