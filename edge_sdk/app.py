"""app.toml: everything that ``edge-sdk run`` must know of an application.

Relative paths in it (the bundle, and those of sources and sinks, also in their texts) are relative to the file, so that it means the
same from every folder; paths given as flags are relative to the current one, as everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from edge_sdk import sinks, sources
from edge_sdk.contract import describe_validation
from edge_sdk.errors import ConfigError
from edge_sdk.inputs import read_toml
from edge_sdk.watchdog.deadline import check_ms


def _text_or_table(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError(f"it is one line of text or a table with a kind; found {value!r}")
    return value


def _several(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError("there may be several: write [[sink]], in double brackets")
    return value


Wanted = Annotated[str | dict[str, object], BeforeValidator(_text_or_table)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelTable(_Strict):
    """``[model]``: the bundle, and what runs it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # options such as threads = 2

    bundle: Path
    variant: str | None = None
    board: str | None = None
    engine: str = "litert"
    isolation: Literal["process", "none"] = "process"
    options: dict[str, str] = {}


class LoopTable(_Strict):
    """``[loop]``: see ``edge_sdk.loop.Loop``."""

    model_config = ConfigDict(strict=True)  # true is no number

    deadline_ms: float
    hang_ms: float | None = None
    silence_ms: float | None = None
    reopen_s: float = Field(default=30.0, ge=0)

    @field_validator("deadline_ms", "hang_ms", "silence_ms")
    @classmethod
    def _sensible(cls, value: float | None, info: ValidationInfo) -> float | None:
        try:
            return None if value is None else check_ms(str(info.field_name), value)
        except ConfigError as exc:
            raise ValueError(str(exc)) from exc


class App(_Strict):
    """The whole file. ``[source]`` and ``[[sink]]`` have a ``kind`` and its settings; either may be one line of text instead."""

    model: ModelTable
    source: Wanted
    loop: LoopTable
    task: dict[str, JsonValue] = {}
    sink: Annotated[tuple[Wanted, ...], BeforeValidator(_several)] = ()


def read_app(path: Path) -> App:
    """Read an app.toml, its relative paths taken from its folder.

    Raises:
        ConfigError: if it cannot be read, or a key is unknown, missing or out of range.
    """
    settings = read_toml(path, give="an app.toml")
    try:
        app = App.model_validate(settings)
    except ValidationError as exc:
        tables = "; tables are [model], [source], [loop], [task], [[sink]]"
        raise ConfigError(describe_validation(exc, str(path)) + tables) from exc
    folder = path.parent
    model = app.model.model_copy(update={"bundle": folder / app.model.bundle})
    source = sources.KINDS.below(folder, app.source)
    sink = tuple(sinks.KINDS.below(folder, each) for each in app.sink)
    return app.model_copy(update={"model": model, "source": source, "sink": sink})
