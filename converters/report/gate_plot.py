"""The gate as a picture: the drop with its interval, against what is allowed."""

from __future__ import annotations

from markupsafe import Markup

from converters.report.accuracy import Gate
from converters.report.svg import line, mark, svg, text

_LEFT, _RIGHT, _Y = 12.0, 348.0, 44.0


def gate(shown: Gate) -> Markup:
    """The drop in points (or percent of float's value) from left to right; what lies left of the limit is allowed."""
    scale = 100.0
    unit = "% of float's" if shown.relative else "points"
    ends = [0.0, shown.limit, shown.drop, *(v for v in (shown.low, shown.high) if v is not None)]
    low, high = min(ends) * scale, max(ends) * scale
    margin = (high - low or 1.0) * 0.12
    low, high = low - margin, high + margin

    def x(share: float) -> float:
        return _LEFT + (share * scale - low) / (high - low) * (_RIGHT - _LEFT)

    said = f"drop {scale * shown.drop:.2f} {unit}"
    parts = [line((_LEFT, _Y), (_RIGHT, _Y), "grid")]
    parts.append(line((x(0), _Y - 9), (x(0), _Y + 9), "axis"))
    parts.append(text(x(0), _Y + 26, "0", "tick mid"))
    parts.append(line((x(shown.limit), _Y - 26), (x(shown.limit), _Y + 12), "mark"))
    end = x(shown.limit) > (_LEFT + _RIGHT) / 2
    parts.append(
        text(
            x(shown.limit) + (-5 if end else 5),
            _Y - 17,
            f"allowed {scale * shown.limit:g}",
            "halo end" if end else "halo",
        )
    )
    if shown.low is not None and shown.high is not None:
        parts.append(line((x(shown.low), _Y), (x(shown.high), _Y), f"interval {shown.verdict}"))
    parts.append(mark(x(shown.drop), _Y, 6, f"dot {shown.verdict}", said))
    parts.append(text(_LEFT, 84, f"{said}, 95 % interval" if shown.low is not None else said, "tick"))
    return svg(360, 92, f"{shown.metric}: {said}, allowed {scale * shown.limit:g}: {shown.verdict}", parts)
