"""app.toml: everything that ``edge-sdk run`` must know of an application."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from edge_sdk.contract import describe_validation
from edge_sdk.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelTable(_Strict):
    """``[model]``: the bundle, and what runs it."""

    bundle: Path
    variant: str | None = None
    board: str | None = None
    engine: str = "litert"
    isolation: Literal["process", "none"] = "process"
    options: dict[str, str] = {}


class LoopTable(_Strict):
    """``[loop]``: see ``edge_sdk.loop.Loop``."""

    deadline_ms: float = Field(gt=0)
    hang_ms: float | None = Field(default=None, gt=0)
    silence_ms: float | None = Field(default=None, gt=0)
    reopen_s: float = Field(default=30.0, ge=0)


class App(_Strict):
    """The whole file. ``[source]`` and ``[[sink]]`` have a ``kind`` and its settings; either may be one line of text instead."""

    model: ModelTable
    source: str | dict[str, JsonValue]
    loop: LoopTable
    task: dict[str, JsonValue] = {}
    sink: tuple[str | dict[str, JsonValue], ...] = ()


def read_app(path: Path) -> App:
    """Read an app.toml; a relative bundle path is relative to the file.

    Raises:
        ConfigError: if it cannot be read, or a key is unknown, missing or out of range.
    """
    settings = read_toml(path)
    try:
        app = App.model_validate(settings)
    except ValidationError as exc:
        tables = "; tables are [model], [source], [loop], [task], [[sink]]"
        raise ConfigError(describe_validation(exc, str(path)) + tables) from exc
    model = app.model.model_copy(update={"bundle": path.parent / app.model.bundle})
    return app.model_copy(update={"model": model})


def read_toml(path: Path) -> dict[str, object]:
    """A TOML file as a table.

    Raises:
        ConfigError: if it cannot be read or is no TOML; the message has the line.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc
