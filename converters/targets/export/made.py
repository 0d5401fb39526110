"""What an export is told of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.targets.export.subject import Agreement


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        server: such as ``"torchserve"``.
        path: the folder or file.
        agreement: with the variant, on the golden vectors.
        start: commands that start a server with it, or lines on how to.
    """

    server: str
    path: Path
    agreement: Agreement
    start: tuple[str, ...]
