"""The folder of a sweep: a file for each point that is done, named by the hash of all that decides it, so that a sweep can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from converters.sweep.figures import PointFigures, Setting
from edge_sdk.errors import OutputError
from edge_sdk.outputs import replacing


class Stored(BaseModel):
    """One point as it is kept: its figures, or the reason why there can be none. ``setting`` is for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: Setting
    figures: PointFigures | None = None
    failure: str | None = None


class Store:
    """Points and models in ``FOLDER/points``. Files are written beside and renamed: what is there is whole.

    Raises:
        OutputError: if the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._points = folder / "points"
        try:
            self._points.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise OutputError(f"cannot make the folder {self._points}: {exc.strerror or exc}") from exc

    def get(self, key: str) -> Stored | None:
        """The point of this key, or None if it was not done yet.

        Raises:
            OutputError: if its file is damaged.
        """
        path = self._points / f"{key}.json"
        if not path.is_file():
            return None
        try:
            stored = Stored.model_validate_json(path.read_bytes())
        except ValidationError as exc:
            raise OutputError(
                f"{path} is not a point of a sweep, or damaged; remove it, and it will be done again"
            ) from exc
        return None if stored.figures is not None and self.model(key) is None else stored

    def put(self, key: str, stored: Stored, content: bytes | None) -> None:
        """Keep a point and its model."""
        if content is not None:
            self.put_model(key, content)
        with replacing(self._points / f"{key}.json", overwrite=True) as beside:
            beside.write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def model(self, key: str) -> Path | None:
        """The .tflite of this key, or None."""
        path = self._points / f"{key}.tflite"
        return path if path.is_file() else None

    def put_model(self, key: str, content: bytes) -> None:
        """Keep a .tflite."""
        with replacing(self._points / f"{key}.tflite", overwrite=True) as beside:
            beside.write_bytes(content)


def key_of(facts: Mapping[str, object]) -> str:
    """The hash of facts, which are of JSON's types; their order does not matter."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def hash_of_model(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, over the names and contents of all files in it; "" if there is none.

    Of ``net.py:function`` it is that of the Python file, and the function's name.
    """
    name, colon, function = path.name.rpartition(":")
    if colon and not path.exists():
        return hash_of_model(path.with_name(name)) + function
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def hash_of_data(where: str | None) -> str:
    """Of data, by the names, sizes and times of change of its files, and what stands behind the path's question mark."""
    if where is None:
        return ""
    path, _, options = (where, "", "") if Path(where).exists() else where.partition("?")
    facts = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in _files(Path(path))]
    return hashlib.sha256(json.dumps([options, facts]).encode()).hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file())
    return [path] if path.is_file() else []
