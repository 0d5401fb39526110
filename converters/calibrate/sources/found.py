"""What every kind of data gives: how many samples there are, and a way to read those that are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.contract import Colour
from edge_sdk.errors import DataError
from edge_sdk.tensors import Array

_NOT_DATA = ("Thumbs.db", "desktop.ini")
_SHOWN = 3


@dataclass(frozen=True)
class RawSample:
    """One raw sample: an image (uint8) or numbers, its channel order, and the name to call it in messages."""

    data: Array
    colour: Colour
    name: str


@dataclass(frozen=True)
class Skipped:
    """A sample that could not be read, and why, in one sentence that names it."""

    name: str
    reason: str


Reader = Callable[[tuple[int, ...]], Iterator[RawSample | Skipped]]
"""Gives one sample, or why it could not be read, for each of the rising numbers."""


@dataclass(frozen=True)
class Found:
    """The samples of a folder or file.

    Attributes:
        description: one line for people.
        count: how many there are.
        read: reads them by number.
        notes: what is odd about the data as a whole, one sentence each.
    """

    description: str
    count: int
    read: Reader
    notes: tuple[str, ...] = ()


Opener = Callable[[Path, dict[str, str], tuple[int, ...]], Found]
"""``find(path, options, shape)`` of a kind of data."""


def take(options: dict[str, str], path: Path, allowed: tuple[str, ...]) -> None:
    """Raise DataError if there is an option that is not ``allowed``."""
    if odd := sorted(set(options) - set(allowed)):
        takes = ", ".join(allowed) or "no options"
        raise DataError(f"{path} has no option {', '.join(odd)}; it takes {takes}")


def whole(path: Path, options: dict[str, str], key: str, default: int, *, least: int = 0, what: str = "number") -> int:
    """The whole number of an option.

    Raises:
        DataError: if it is none, or below ``least``.
    """
    text = options.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 12) or int(text) < least:
        raise DataError(f"{path}?{key}={text}: {key} is a {what}, {least} or more")
    return int(text)


def visible_files(folder: Path) -> list[Path]:
    """The files below ``folder``, in the order of their paths; hidden ones are passed over, and what desktops leave behind."""
    return [
        p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in _NOT_DATA and not p.name.startswith(".")
    ]


def files_of(folder: Path, suffixes: tuple[str, ...], called: str) -> list[Path]:
    """The visible files of ``folder``.

    Raises:
        DataError: if one of them has another suffix; the message names it.
    """
    files = visible_files(folder)
    if odd := [str(p.relative_to(folder)) for p in files if p.suffix.lower() not in suffixes]:
        more = f" and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
        raise DataError(
            f"{folder} holds files that are not {called}: {', '.join(odd[:_SHOWN])}{more}. "
            f"{called[0].upper()}{called[1:]} are {', '.join(suffixes)}"
        )
    return files


def at(path: Path, folder: Path) -> str:
    """A file's path below the folder that was given, for messages."""
    return str(path.relative_to(folder)) if path != folder else path.name
