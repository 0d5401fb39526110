"""The report of a conversion: one self-contained HTML page, the same figures as JSON, lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from converters.report.figures import Figures
from converters.report.page import render_html
from converters.report.summary import summary_lines
from edge_sdk.errors import OutputError
from edge_sdk.outputs import replacing

__all__ = ["Figures", "render_html", "summary_lines", "write_report", "writing_report"]


def write_report(figures: Figures, html: Path, json: Path, *, overwrite: bool = False) -> None:
    """``writing_report``, with nothing else to wait for."""
    with writing_report(figures, html, json, overwrite=overwrite):
        pass


@contextmanager
def writing_report(figures: Figures, html: Path, json: Path, *, overwrite: bool = False) -> Iterator[None]:
    """Write the page and the same figures as JSON, which take their places when the block ends well; neither without the other.

    Raises:
        OutputError: if one exists without ``overwrite``, both are the same file, or one cannot be written.
        MissingPackageError: if jinja2 is not installed.
    """
    if html == json:
        raise OutputError(f"the page and the figures cannot both be {html}; give two names")
    page = render_html(figures)
    with replacing(html, overwrite=overwrite) as html_beside, replacing(json, overwrite=overwrite) as json_beside:
        html_beside.write_text(page, encoding="utf-8")
        json_beside.write_text(figures.model_dump_json(indent=1) + "\n", encoding="utf-8")
        yield
