"""SVG text, piece by piece: every text in it escaped, coloured by the page's style sheet through ``style`` (its class)."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup


def svg(width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    """A drawing of this extent, in SVG units, named for those who cannot see it."""
    frame = Markup('<svg viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img" aria-label="{2}">{3}</svg>')
    return frame.format(width, height, title, Markup("").join(parts))


def text(x: float, y: float, words: str, style: str) -> Markup:
    """Text at a point of its baseline."""
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>').format(x, y, style, words)


def line(start: tuple[float, float], end: tuple[float, float], style: str) -> Markup:
    """A line."""
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(*start, *end, style)


def rect(corner: tuple[float, float], extent: tuple[float, float], style: str, title: str) -> Markup:
    """A rectangle, its title shown where the pointer rests."""
    made = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"><title>{}</title></rect>')
    return made.format(*corner, *extent, style, title)


def mark(x: float, y: float, radius: float, style: str, title: str) -> Markup:
    """A disc."""
    made = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="{}"><title>{}</title></circle>')
    return made.format(x, y, radius, style, title)


def diamond(x: float, y: float, radius: float, title: str) -> Markup:
    """A diamond."""
    corners = f"{x:.1f},{y - radius:.1f} {x + radius:.1f},{y:.1f} {x:.1f},{y + radius:.1f} {x - radius:.1f},{y:.1f}"
    return Markup('<polygon points="{}" class="output"><title>{}</title></polygon>').format(corners, title)


def path(way: str, style: str) -> Markup:
    """A line of any form, by SVG's path commands."""
    return Markup('<path d="{}" class="{}"/>').format(way, style)
