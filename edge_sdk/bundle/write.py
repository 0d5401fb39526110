"""Writing a bundle: entries stored plain, hashed, the same bytes for the same content."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_sdk.bundle.manifest import MANIFEST, Manifest, StoredFile
from edge_sdk.outputs import replacing

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can state: bundles of the same content are the same bytes


def stored_files(files: Mapping[str, bytes]) -> dict[str, StoredFile]:
    """The manifest's table of these entries."""
    return {
        name: StoredFile(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for name, content in files.items()
    }


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes], *, overwrite: bool = False) -> None:
    """Write a bundle; see ``writing_bundle``."""
    with writing_bundle(path, manifest, files, overwrite=overwrite):
        pass


@contextlib.contextmanager
def writing_bundle(
    path: Path, manifest: Manifest, files: Mapping[str, bytes], *, overwrite: bool = False
) -> Iterator[None]:
    """Write a bundle that takes its place when the block ends well: what belongs to it is written in the block, or neither is.

    Args:
        path: the bundle.
        manifest: whose ``files`` are ``stored_files(files)``.
        files: content by name.
        overwrite: whether it may replace one.

    Raises:
        OutputError: if ``path`` exists without ``overwrite``, or cannot be written; what was there is as it was.
        ValueError: if ``manifest.files`` states other files.
    """
    if dict(manifest.files) != stored_files(files):
        raise ValueError("manifest.files does not state these files; make it with stored_files(files)")
    with replacing(path, overwrite=overwrite) as beside:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as bundle:
            content = manifest.model_dump_json(indent=1, exclude_defaults=False).encode()
            for name, data in {MANIFEST: content, **files}.items():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o644 << 16
                bundle.writestr(entry, data)
        yield
