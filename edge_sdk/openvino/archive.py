"""A model of OpenVINO as one file: an uncompressed zip with exactly ``model.xml`` (the graph) and ``model.bin`` (its weights).

What the graph does not say stands in its runtime information, below ``edge_sdk``: the scale and zero point of a quantized input or output.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import EngineError

GRAPH, WEIGHTS = "model.xml", "model.bin"
NOTES = "edge_sdk"  # of the runtime information, what is ours
MAX_BYTES = {GRAPH: 256 << 20, WEIGHTS: 4 << 30}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can state: the same model is the same bytes


@dataclass(frozen=True)
class Archive:
    """A model.

    Attributes:
        graph: the content of its .xml.
        weights: of its .bin.
    """

    graph: bytes
    weights: bytes

    def packed(self) -> bytes:
        """The file."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
            for name, data in ((GRAPH, self.graph), (WEIGHTS, self.weights)):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
        return content.getvalue()


def read_archive(file: Path | io.BytesIO) -> Archive:
    """Read and check a file, or its content; nothing is written anywhere.

    Raises:
        EngineError: if it is no such file, or damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            size_bytes = file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes
            _check(archive.infolist(), size_bytes)
            return Archive(archive.read(GRAPH), archive.read(WEIGHTS))
    except (OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zipfile.BadZipFile) as exc:
        raise EngineError(
            f"the model is not OpenVINO's (a zip with {GRAPH} and {WEIGHTS}, made by edge-sdk convert): {exc}"
        ) from exc


def _check(entries: list[zipfile.ZipInfo], size_bytes: int) -> None:
    names = [entry.filename for entry in entries]
    if sorted(names) != sorted(MAX_BYTES):
        raise ValueError(f"it holds {', '.join(map(repr, names[:8])) or 'nothing'}")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(f"{entry.filename} is compressed")
        if entry.flag_bits & 1:
            raise ValueError(f"{entry.filename} is encrypted")
        if entry.file_size > min(MAX_BYTES[entry.filename], size_bytes):
            raise ValueError(f"{entry.filename} states {entry.file_size} bytes, in a file of {size_bytes}")
