"""Profiles of boards: one ``NAME.toml`` each, and their loader. A new board is one file and no Python.

>>> load("raspberry-pi-5").variants[0]
'tflite-int8'
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from boards.position import line_of
from boards.profile import Accelerator, Board, Computer
from edge_sdk.errors import BoardError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Accelerator", "Board", "Computer", "TensorRT", "load", "lowest_tensorrt", "names", "read_profile"]

_FOLDER = Path(__file__).parent
_KINDS: dict[str, type[Board]] = {"computer": Computer, "accelerator": Accelerator}


@cache
def names() -> tuple[str, ...]:
    """Every board there is a profile for, sorted.

    Raises:
        BoardError: if the profiles are gone, which another package of the name ``boards`` does.
    """
    found = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
    if not found:
        raise BoardError(
            f"{_FOLDER} holds no board profiles: another package named boards was installed over ours, or removed with it. "
            "Run: pip uninstall boards; pip install --force-reinstall --no-deps edge-device-sdk"
        )
    return found


@cache
def load(name: str) -> Board:
    """The profile of this board.

    Raises:
        BoardError: if there is none (the message has the nearest names), or it is broken.
    """
    if name not in names():
        near = difflib.get_close_matches(name.lower().replace("_", "-").replace(" ", "-"), names(), n=3, cutoff=0.4)
        meant = f" Did you mean {' or '.join(near)}?" if near else f" There are {', '.join(names())}."
        raise BoardError(f"no board {name!r}.{meant} List them with: edge-sdk boards")
    return read_profile(_FOLDER / f"{name}.toml")


@dataclass(frozen=True)
class TensorRT:
    """What a model may count on.

    Attributes:
        version: major and minor; opset: the highest ONNX opset.
    """

    version: tuple[int, int]
    opset: int


def lowest_tensorrt(boards: Iterable[str]) -> TensorRT | None:
    """The lowest TensorRT and ONNX opset of all systems of these boards: a model for that runs on each. None where no profile states any.

    >>> lowest_tensorrt(["jetson-nano", "jetson-orin-nano"])
    TensorRT(version=(8, 0), opset=13)

    Raises:
        BoardError: if there is no such board.
    """
    found = [board for board in map(load, boards) if isinstance(board, Computer)]
    told = [
        (tuple(map(int, system.tensorrt.split("."))), system.opset)
        for board in found
        for system in board.systems
        if system.tensorrt is not None and system.opset is not None
    ]
    if not told:
        return None
    major, minor = min(version for version, _ in told)
    return TensorRT((major, minor), min(opset for _, opset in told))


def read_profile(path: Path) -> Board:
    """Read and check one profile.

    Raises:
        BoardError: if it cannot be read; the message has the file, the line and what is allowed there.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise BoardError(f"{path}: not a board profile: {exc}") from exc
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BoardError(f"{path}: kind is {kind!r}; allowed are {', '.join(_KINDS)}")
    if "name" in content:
        raise BoardError(f"{path}:{line_of(text, ('name',))}: name: no such key; the file's stem is the board's name")
    profile = _KINDS[kind]
    try:
        return profile.model_validate({"name": path.stem, **content})
    except ValidationError as exc:
        raise BoardError(_describe(exc, path, text, profile)) from exc


def _describe(exc: ValidationError, path: Path, text: str, profile: type[Board]) -> str:
    lines = []
    for error in exc.errors():
        key = error["loc"]
        line = line_of(text, key)
        said = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            said = f"no such key; allowed are {', '.join(_allowed(profile, key[:-1]))}"
        where = f"{path}:{line}" if line else str(path)
        lines.append(f"{where}: {'.'.join(map(str, key))}{': ' if key else ''}{said}")
    return "\n".join(lines)


def _allowed(profile: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at ``path``."""
    model: type[BaseModel] = profile
    for part in path:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return sorted(set(model.model_fields) - {"name"} if model is profile else model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as ``tuple[System, ...]`` or ``Gpu | None`` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if found := _model_in(part):
            return found
    return None
