"""The file that a command looks at: a bundle or a bare model, told apart by what is in it, not by its name."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.errors import ModelError
from edge_sdk.inputs import check_plain_file, read_plain_file

MAX_BYTES = 4 << 30
_GIVE = "a bundle (.edge) or a .tflite model"


def read_start(file: Path) -> bytes:
    """The first eight bytes of a file: a bundle, which is a zip file, begins with ``PK``, a .tflite model has ``TFL3`` from the fifth on.

    Raises:
        ModelError: if it cannot be read, or is too large.
    """
    check_plain_file(file, ModelError, give=_GIVE, most_bytes=MAX_BYTES)
    try:
        with file.open("rb") as opened:
            return opened.read(8)
    except OSError as exc:
        raise ModelError(f"{file} cannot be read: {exc.strerror}; give {_GIVE}") from exc


def read_model(file: Path) -> bytes:
    """The content of a model's file.

    Raises:
        ModelError: if it cannot be read, or is too large.
    """
    return read_plain_file(file, ModelError, give=_GIVE, most_bytes=MAX_BYTES)
