"""Folders that take minutes to make, kept as archives in the user's cache folder, and used again only if they are whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.emulation import run

LATEST = 2  # archives of one name that stay


def unpack_kept(name: str, made_of: str, make: Callable[[Path], None], folder: Path) -> None:
    """Fill ``folder`` as ``make`` does, from its archive where there is a whole one.

    Args:
        name: what it is.
        made_of: a text that changes with everything that goes into it.
        make: fills an empty folder; its archive is then kept.
        folder: must be empty.
    """
    archive = _cache() / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.tar"
    if not is_whole(archive):
        make(folder)
        _keep(folder, archive)
        return
    os.utime(archive)
    run("tar", "-xf", archive, "--numeric-owner", "-C", folder, timeout_s=300)


def is_whole(archive: Path) -> bool:
    """Whether it is there, and as it was when it was made."""
    checksum = archive.with_suffix(".sha256")
    return archive.is_file() and checksum.is_file() and checksum.read_text() == _sha256(archive)


def _keep(folder: Path, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=archive.parent, delete=False) as unfinished:
        path = Path(unfinished.name)
    try:
        run("tar", "-cf", path, "--numeric-owner", "-C", folder, ".", timeout_s=300)
        checksum = _sha256(path)
        path.replace(archive)
    finally:
        path.unlink(missing_ok=True)
    archive.with_suffix(".sha256").write_text(checksum)
    same_name = archive.name.rpartition("-")[0]
    for old in sorted(archive.parent.glob(f"{same_name}-*.tar"), key=lambda kept: -kept.stat().st_mtime)[LATEST:]:
        old.with_suffix(".sha256").unlink(missing_ok=True)
        old.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-sdk" / "emulation"
