"""Reading Keras files: Keras 3 .keras and .h5, Keras 2 .h5 and .hdf5. The file is inspected here, and opened in a child."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from converters.load.archive import ZIP_ERRORS, refuse_large
from converters.load.keras_config import AGAIN, MAX_CONFIG_BYTES, KerasConfig, parse_config, refuse_code
from converters.load.loaded import Loaded, LoadOptions
from converters.load.worker import translate
from edge_sdk.errors import ModelError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"


def read(path: Path, options: LoadOptions) -> Loaded:
    """See ``Reader``."""
    with path.open("rb") as file:
        start = file.read(8)
    if path.suffix.lower() == ".keras":
        if start == _HDF5:
            raise ModelError(f"{path} is an HDF5 file, not a .keras archive; name it .h5")
        _inspect_archive(path, options)
    elif start.startswith(_ZIP):
        raise ModelError(f"{path} is a .keras archive, not an HDF5 file; name it .keras")
    elif start != _HDF5:
        raise ModelError(f"{path} is not an HDF5 file: it begins with {start!r}. {AGAIN}")
    return translate("converters.load.keras_child", path, options)


def _inspect_archive(path: Path, options: LoadOptions) -> None:
    try:
        config = read_archive(path)
        if not options.trust:
            refuse_code(config)
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from exc


def read_archive(path: Path) -> KerasConfig:
    """The config of a .keras archive; nothing of it is loaded.

    Raises:
        ModelError: if it is damaged, or unpacks to more than a model can have.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_large(archive)
            names = archive.namelist()
            if outside := [
                name for name in names if name.startswith("/") or ".." in name.replace("\\", "/").split("/")
            ]:
                raise ModelError(f"it holds {outside[0]!r}, which lies outside of it; no .keras archive does. {AGAIN}")
            if missing := [name for name in ("config.json", "model.weights.h5") if name not in names]:
                raise ModelError(f"it is no whole .keras archive: {' and '.join(missing)} is missing. {AGAIN}")
            config = _json(archive, "config.json")
            metadata = _json(archive, "metadata.json") if "metadata.json" in names else {}
    except ZIP_ERRORS as exc:
        raise ModelError(f"it is a damaged .keras archive: {exc}. {AGAIN}") from exc
    return KerasConfig(config, str(metadata.get("keras_version", "")))


def _json(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    with archive.open(name) as file:
        content = file.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise ModelError(f"its {name} has more than {MAX_CONFIG_BYTES:,} bytes; no model of Keras has")
    return parse_config(content, name)
