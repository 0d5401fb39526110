"""Writing outputs so that none is ever lost: beside the target, then renamed over it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge_sdk.errors import OutputError

_STEM_SHOWN = 40  # characters of the name in the temporary one, which is longer than it and must not become too long


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError if ``path`` exists and may not be replaced, its folder is missing, or no file can have its name."""
    _check_name(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; give another name, or --overwrite (overwrite=True) to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; create it first")


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside ``path``, which takes its place when the block ends well.

    When the block fails (a full disk, Ctrl-C), the temporary file is removed and ``path`` is as it was. The temporary name
    keeps the suffix, as some writers choose the format by it.

    Raises:
        OutputError: if ``path`` exists without ``overwrite``, or the operating system refuses the writing.
    """
    refuse_existing(path, overwrite=overwrite)
    beside = path.with_name(f".{path.stem[:_STEM_SHOWN]}.{os.urandom(4).hex()}{path.suffix}")
    try:
        try:
            yield beside
            with beside.open("rb") as written:
                os.fsync(written.fileno())
            refuse_existing(path, overwrite=overwrite)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror or exc}; nothing was changed") from exc


def _check_name(path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, ValueError) as exc:  # a name too long; one with a zero byte
        raise OutputError(f"cannot write {path}: {getattr(exc, 'strerror', None) or exc}; give another name") from exc
