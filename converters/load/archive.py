"""Zip archives of strangers: what reading one may raise, and how large it may become."""

from __future__ import annotations

import zipfile
import zlib

from edge_sdk.errors import ModelError

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)
"""What zipfile raises on an archive that is damaged or made up. RuntimeError: encrypted; NotImplementedError: an unknown method."""

_MAX_UNPACKED = 4 << 30  # a .tflite has at most half as much


def refuse_large(archive: zipfile.ZipFile) -> None:
    """Raise ModelError if the archive unpacks to more than a model can have."""
    size = sum(member.file_size for member in archive.infolist())
    if size > _MAX_UNPACKED:
        raise ModelError(f"it unpacks to {size:,} bytes; a model has at most {_MAX_UNPACKED:,}")
