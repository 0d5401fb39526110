"""What survives a power cut: one small file, whole at any moment.

It is written beside, flushed to the disk and renamed, and the rename flushed too. Its first line has the version and a checksum of the
rest, which is JSON; a file that does not fit them is set aside and said, never read.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

_MAGIC = "edge-sdk-state"
_VERSION = 1
_MOST_BYTES = 1 << 20

Table = dict[str, object]


class StateError(Exception):
    """A state file is damaged, or of another version."""


def pack(state: Table) -> bytes:
    """The file's content."""
    body = json.dumps(state, indent=1).encode()
    return f"{_MAGIC} {_VERSION} {zlib.crc32(body):08x}\n".encode() + body


def unpack(content: bytes) -> Table:
    """The state in a file's content.

    Raises:
        StateError: if it is not whole, or not of this version.
    """
    head, _, body = content.partition(b"\n")
    words = head.decode("ascii", "replace").split(" ")
    if len(words) != 3 or words[0] != _MAGIC:
        raise StateError("it is no state of edge-sdk")
    if words[1] != str(_VERSION):
        raise StateError(f"it is of version {words[1]}; this edge-sdk writes {_VERSION}")
    if words[2] != f"{zlib.crc32(body):08x}":
        raise StateError("its checksum is wrong: it is damaged")
    try:
        state = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise StateError(f"it is not JSON: {exc}") from exc
    if not isinstance(state, dict):
        raise StateError("it holds no table")
    return state


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that after a power cut at any moment the old or the new one is there, whole.

    Raises:
        OSError: if the system refuses; the old file is as it was.
    """
    beside = path.with_name(f".{path.name}.new")  # one writer, so one name: a killed one leaves no rubbish that grows
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_state(path: Path, say: Callable[[str], None]) -> Table:
    """The state that was kept; empty if there is none.

    Args:
        path: the file.
        say: told what is wrong with a file that cannot be used; it is renamed to ``NAME.damaged``.
    """
    try:
        with path.open("rb") as file:
            return unpack(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        say(f"the state in {path} cannot be read: {exc.strerror}; everything counts from 0")
        return {}
    except StateError as exc:
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
            where = f"it is kept as {aside}"
        except OSError as refused:
            where = f"it cannot be set aside: {refused.strerror}"
        say(f"the state in {path} is not used, everything counts from 0: {exc}; {where}")
        return {}
