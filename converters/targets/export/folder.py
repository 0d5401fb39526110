"""An export's folder: made beside its place, then renamed; nothing but an earlier export is ever replaced."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_sdk.errors import OutputError

CONTRACT = "contract.json"  # what an export is known by


def refuse_folder(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError if ``path`` exists and may not be replaced, or cannot be made."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"{path} is no folder; give another -o, or remove it")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; give another -o or --name, or --overwrite to replace it")
    if path.exists() and not _is_export(path):
        raise OutputError(
            f"{path} is not an export of edge-sdk, and is not replaced; give another -o or --name, or remove it"
        )
    if not path.parent.parent.is_dir():
        raise OutputError(f"the folder {path.parent.parent} does not exist; create it first")


@contextmanager
def replacing_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give an empty folder beside ``path``, which takes its place when the block ends well; else nothing is changed.

    Raises:
        OutputError: see ``refuse_folder``; or the operating system refuses the writing.
    """
    refuse_folder(path, overwrite=overwrite)
    token = os.urandom(4).hex()
    beside, old = (path.with_name(f".{path.name[:40]}.{token}{end}") for end in ("", ".old"))
    new_parent = not path.parent.exists()
    try:
        beside.mkdir(parents=True)
        try:
            yield beside
            refuse_folder(path, overwrite=overwrite)
            if path.exists():
                path.rename(old)
            beside.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            for each in (beside, old):
                shutil.rmtree(each, ignore_errors=True)
            if new_parent:
                with suppress(OSError):  # it holds the export now
                    path.parent.rmdir()
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror or exc}; nothing was changed") from exc


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their paths below ``folder``."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _is_export(path: Path) -> bool:
    try:
        told = json.loads((path / CONTRACT).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and str(told.get("made_by", "")).startswith("edge-sdk ")
