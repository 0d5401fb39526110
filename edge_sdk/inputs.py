"""Reading input files: a device, a pipe or a file without end is refused before anything is read."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from edge_sdk.errors import ConfigError, EdgeSdkError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_TOML_BYTES = 1 << 20


def check_plain_file(path: Path, error: type[EdgeSdkError], *, give: str, most_bytes: int | None = None) -> None:
    """Raise if ``path`` is not a plain file, or too large.

    Args:
        path: the file.
        error: what is raised.
        give: what is wanted there, such as ``"a bundle (.edge)"``.
        most_bytes: how large it may be.

    Raises:
        error: if it is not.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise error(f"{path} does not exist; give {give}") from exc
    except (OSError, ValueError) as exc:  # a name too long; one with a zero byte
        raise error(f"{path} cannot be read: {_why(exc)}; give {give}") from exc
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path} is not a file; give {give}")
    if most_bytes is not None and found.st_size > most_bytes:
        raise error(f"{path} has {found.st_size} bytes; {give} has at most {most_bytes}")


def read_plain_file(path: Path, error: type[EdgeSdkError], *, give: str, most_bytes: int) -> bytes:
    """The content of a file; for arguments and errors see ``check_plain_file``."""
    check_plain_file(path, error, give=give, most_bytes=most_bytes)
    try:
        return path.read_bytes()
    except OSError as exc:
        raise error(f"{path} cannot be read: {_why(exc)}; give {give}") from exc


def read_toml(path: Path, *, give: str) -> dict[str, object]:
    """A TOML file as a table; ``give`` is what is wanted there, such as ``"an app.toml"``.

    Raises:
        ConfigError: if it cannot be read or is no TOML; the message has the line.
    """
    return parse_toml(read_text(path, give=give), path)


def read_text(path: Path, *, give: str) -> str:
    """The text of a file of settings; for arguments and errors see ``read_toml``."""
    content = read_plain_file(path, ConfigError, give=give, most_bytes=MAX_TOML_BYTES)
    try:
        return content.decode()
    except ValueError as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc


def parse_toml(text: str, path: Path) -> dict[str, object]:
    """The table in the text of the file at ``path``.

    Raises:
        ConfigError: if it is no TOML; the message has the line.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc


def _why(exc: OSError | ValueError) -> str:
    return (isinstance(exc, OSError) and exc.strerror) or str(exc)
