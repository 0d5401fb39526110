"""A profile as one HTML page: the flame picture, the roofline, and the table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from edge_sdk.profiling.figures import OperatorTime, Profile
from edge_sdk.profiling.text import share_of_roof

_WIDTH, _ROW = 1_000.0, 24.0
_COLOURS = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#e15759",
    "#76b7b2",
    "#edc948",
    "#b07aa1",
    "#ff9da7",
    "#9c755f",
    "#8a8a8a",
)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1040px; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif }
table { border-collapse: collapse; width: 100%; font-size: 13px }
td, th { padding: 2px 8px; border-bottom: 1px solid #ddd; text-align: right }
td.text, th.text { text-align: left; overflow-wrap: anywhere } dt { font-weight: 600 } dd { margin: 0 0 .4rem 0 }
.axis { stroke: #999 } .grid { stroke: #e4e4e4 } .roof { stroke: #222; stroke-width: 2; fill: none } text.light { fill: #fff }
@media (prefers-color-scheme: dark) {
 body { background: #181818; color: #ddd } svg text { fill: #ddd } svg text.light { fill: #fff } td, th { border-color: #444 }
 .grid { stroke: #333 } .roof { stroke: #ddd } }
"""


def page(profile: Profile) -> str:
    """The page: nothing in it comes from elsewhere."""
    title = escape(f"Profile of {profile.model}")
    colours = _colours(profile)
    parts = [
        f"<h1>{title}</h1>",
        _facts(profile),
        "<h2>Where the time goes</h2>",
        "<p>Above one run, in it the kinds of operator, below each kind its operators, in the order of execution. "
        f"Times: {escape(profile.method)}.</p>",
        _flame(profile, colours),
        *_roofline(profile, colours),
        "<h2>Operators</h2>",
        _table(profile),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    head += f"<style>{_STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _colours(profile: Profile) -> dict[str, str]:
    return {kind: _COLOURS[min(i, len(_COLOURS) - 1)] for i, kind in enumerate(profile.by_kind)}


def _facts(profile: Profile) -> str:
    roof = profile.roof
    rows = {
        "engine": profile.engine,
        "one run": f"{profile.whole_ms:.3f} ms; the operators add up to {profile.sum_ms:.3f} ms",
        "memory": f"{profile.library_mb:.1f} MB library, {profile.loaded_mb - profile.library_mb:+.1f} MB model, "
        f"{profile.ran_mb - profile.loaded_mb:+.1f} MB first runs",
        "roof": (f"{roof.gmacs_s:.1f} GMAC/s, " if roof.gmacs_s else "") + f"{roof.gbytes_s:.1f} GB/s ({roof.origin})",
    }
    if profile.stated:
        rows["data sheet"] = profile.stated
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows.items()) + "</dl>"


def _flame(profile: Profile, colours: dict[str, str]) -> str:
    whole = profile.sum_ms or 1.0
    boxes = [_box(0.0, 0, _WIDTH, f"one run, {profile.sum_ms:.3f} ms", "#555", "")]
    at = 0.0
    for kind, (count, ms) in profile.by_kind.items():
        width = _WIDTH * ms / whole
        label = f"{kind} x {count}, {ms:.3f} ms, {100 * ms / whole:.1f} %"
        boxes.append(_box(at, 1, width, label, colours[kind], ""))
        left = at
        for operator in (each for each in profile.operators if each.kind == kind):
            wide = _WIDTH * operator.ms / whole
            boxes.append(_box(left, 2, wide, f"{operator.number}: {operator.ms:.3f} ms", colours[kind], operator.name))
            left += wide
        at += width
    height = 3 * _ROW
    return f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="flame picture">{"".join(boxes)}</svg>'


def _box(x: float, row: int, width: float, label: str, colour: str, more: str) -> str:
    short = label.partition(",")[0]
    shown = next((text for text in (label, short) if width > 7 * len(text)), "")
    y = row * _ROW
    title = escape(f"{label} {more}".strip())
    text = f'<text class="light" x="{x + 4:.1f}" y="{y + 16:.1f}">{escape(shown)}</text>' if shown else ""
    return (
        f'<g><title>{title}</title><rect x="{x:.2f}" y="{y:.1f}" width="{max(width - 0.5, 0.3):.2f}" height="{_ROW - 2:.1f}" '
        f'fill="{colour}"/>{text}</g>'
    )


def _roofline(profile: Profile, colours: dict[str, str]) -> Iterator[str]:
    points = [each for each in profile.operators if each.macs and share_of_roof(profile, each) is not None]
    if not points or profile.roof.gmacs_s is None:
        return
    yield "<h2>Roofline</h2>"
    yield (
        "<p>How fast each operator computes, over how much it computes for each byte that it moves. Left of the line's corner memory is "
        "the limit, right of it the processor; operators whose tensors stay in a cache can lie above the slope. A larger dot takes "
        "longer.</p>"
    )
    yield _Roofline(profile, points, colours).svg()


class _Roofline:
    """Axes are logarithmic: multiply-accumulates a byte, and 10^9 of them a second."""

    left, right, top, bottom = 60.0, 980.0, 10.0, 330.0

    def __init__(self, profile: Profile, points: Sequence[OperatorTime], colours: dict[str, str]) -> None:
        assert profile.roof.gmacs_s is not None  # noqa: S101 - the caller has looked
        self.peak, self.slope = profile.roof.gmacs_s, profile.roof.gbytes_s
        self.points = [(each, each.macs / each.bytes, each.macs / each.ms * 1e-6) for each in points]
        self.longest, self.colours = max(each.ms for each in points), colours
        intensities = [x for _, x, _ in self.points] + [self.peak / self.slope]
        speeds = [y for _, _, y in self.points] + [self.peak]
        self.x0, self.x1 = _decades(intensities)
        self.y0, self.y1 = _decades(speeds)

    def svg(self) -> str:
        lines = [*self._grid(), self._roof(), *map(self._dot, self.points)]
        return f'<svg viewBox="0 0 {_WIDTH:g} 370" role="img" aria-label="roofline">{"".join(lines)}</svg>'

    def _x(self, intensity: float) -> float:
        return self.left + (math.log10(intensity) - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def _y(self, speed: float) -> float:
        part = (math.log10(speed) - self.y0) / (self.y1 - self.y0)
        return self.bottom - min(1.0, max(0.0, part)) * (self.bottom - self.top)

    def _grid(self) -> Iterator[str]:
        for power in range(self.x0, self.x1 + 1):
            x = self._x(10.0**power)
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.bottom}"/>'
            yield f'<text x="{x:.1f}" y="{self.bottom + 16}" text-anchor="middle">{10.0**power:g}</text>'
        for power in range(self.y0, self.y1 + 1):
            y = self._y(10.0**power)
            yield f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
        yield f'<text x="{self.right}" y="{self.bottom + 34}" text-anchor="end">multiply-accumulates a byte</text>'
        yield f'<text x="{self.left + 6}" y="{self.top + 12}">GMAC/s</text>'

    def _roof(self) -> str:
        corner = self.peak / self.slope
        start = 10.0**self.x0
        ways = [(start, self.slope * start), (corner, self.peak), (10.0**self.x1, self.peak)]
        return f'<polyline class="roof" points="{" ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in ways)}"/>'

    def _dot(self, point: tuple[OperatorTime, float, float]) -> str:
        operator, intensity, speed = point
        radius = 3 + 9 * math.sqrt(operator.ms / self.longest)
        title = escape(f"{operator.number} {operator.kind} {operator.name}: {operator.ms:.3f} ms, {speed:.1f} GMAC/s")
        colour = self.colours[operator.kind]
        return (
            f'<circle cx="{self._x(intensity):.1f}" cy="{self._y(speed):.1f}" r="{radius:.1f}" fill="{colour}" fill-opacity="0.65">'
            f"<title>{title}</title></circle>"
        )


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _table(profile: Profile) -> str:
    titles = ("no", "kind", "makes", "ms", "%", "million MAC", "kB", "% of the roof", "runs as")
    rows = []
    for operator in profile.operators:
        share = share_of_roof(profile, operator)
        rows.append(
            (
                str(operator.number),
                operator.kind,
                operator.name,
                f"{operator.ms:.3f}",
                f"{100 * operator.ms / (profile.sum_ms or 1):.1f}",
                f"{operator.macs / 1e6:.2f}" if operator.macs else "",
                f"{operator.bytes / 1e3:.1f}" if operator.bytes else "",
                "" if share is None else f"{100 * share:.0f}",
                operator.note,
            )
        )
    text = {"kind", "makes", "runs as"}
    head = "".join(f'<th class="text">{t}</th>' if t in text else f"<th>{t}</th>" for t in titles)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="text">{escape(cell)}</td>' if title in text else f"<td>{escape(cell)}</td>"
            for title, cell in zip(titles, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
