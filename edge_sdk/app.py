"""app.toml: everything that ``edge-sdk run`` must know of an application.

Relative paths in it (the bundle, and those of sources and sinks, also in their texts) are relative to the file, so that it means the
same from every folder; paths given as flags are relative to the current one, as everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from edge_sdk import sinks, sources
from edge_sdk.contract import describe_validation
from edge_sdk.errors import ConfigError
from edge_sdk.hybrid.settings import RemoteSettings
from edge_sdk.inputs import parse_toml, read_text
from edge_sdk.result_cache import CacheSettings
from edge_sdk.watchdog.deadline import check_ms
from edge_sdk.watchdog.ladder import GovernorSettings


def _text_or_table(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError(f"it is one line of text or a table with a kind; found {value!r}")
    return value


def _several(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError("there may be several: write [[sink]], in double brackets")
    return value


Wanted = Annotated[str | dict[str, object], BeforeValidator(_text_or_table)]


_OURS = "[app], [supervisor], [watchdog]"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelTable(_Strict):
    """``[model]``: the bundle, and what runs it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # options such as threads = 2

    bundle: Path
    variant: str | None = None
    board: str | None = None
    engine: str | None = None
    isolation: Literal["process", "none"] = "process"
    standby: bool | str = True
    tuned: Literal["stored", "off", "background"] = "stored"
    options: dict[str, str] = {}


class LoopTable(_Strict):
    """``[loop]``: see ``edge_sdk.loop.Loop``."""

    model_config = ConfigDict(strict=True)  # true is no number

    deadline_ms: float
    hang_ms: float | None = None
    silence_ms: float | None = None
    reopen_s: float = Field(default=30.0, ge=0)
    hop: int | None = Field(default=None, ge=1)

    @field_validator("deadline_ms", "hang_ms", "silence_ms")
    @classmethod
    def _sensible(cls, value: float | None, info: ValidationInfo) -> float | None:
        try:
            return None if value is None else check_ms(str(info.field_name), value)
        except ConfigError as exc:
            raise ValueError(str(exc)) from exc


class SupervisorTable(_Strict):
    """``[supervisor]``: when the application is started again, and when it is given up.

    Attributes:
        frozen_s: longer silence of a loop is a frozen application; default what each loop allows itself.
        start_s: how long it may be without a running loop: while it starts, and after a loop has ended.
        crash_limit: after so many crashes in a row it is given up.
        healthy_s: a crash after so long a life begins a new row.
        memory_mb: above it, in 10^6 bytes over all its processes, the application is ended in good order and started anew.
        recycle_s: that is done at most once in so many seconds.
        state_dir: where counters and the like are kept; default systemd's StateDirectory, else a folder of the user's.
    """

    model_config = ConfigDict(strict=True)

    frozen_s: float | None = Field(default=None, ge=0.1, le=86_400)
    start_s: float = Field(default=60.0, ge=0.1, le=86_400)
    crash_limit: int = Field(default=5, ge=1)
    healthy_s: float = Field(default=60.0, ge=0)
    memory_mb: float | None = Field(default=None, gt=0)
    recycle_s: float = Field(default=600.0, ge=0)
    state_dir: Annotated[Path, Field(strict=False)] | None = None


class WatchdogTable(_Strict):
    """``[watchdog]``: the hardware watchdog, which resets the board after ``timeout_s`` seconds unfed. Without this table there is none."""

    model_config = ConfigDict(strict=True)

    device: Annotated[Path, Field(strict=False)] = Path("/dev/watchdog")
    timeout_s: int = Field(default=15, ge=1, le=86_400)


class AppTable(_Strict):
    """``[app]``: its name (default the file's or, for an app.toml, its folder's), and the ``command`` of a program of your own.

    The command runs in the file's folder, under the supervisor, which its ``edge_sdk.Loop`` joins. Programs are looked for beside the
    Python that runs edge-sdk first, so that ``python3`` is that one, also where its environment is not activated.
    """

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    command: tuple[str, ...] = Field(default=(), min_length=1)


class _Supervised(_Strict):
    app: AppTable = AppTable()
    supervisor: SupervisorTable = SupervisorTable()
    watchdog: WatchdogTable | None = None
    _text: str = PrivateAttr("")

    @property
    def text(self) -> str:
        """The file's content."""
        return self._text


class Program(_Supervised):
    """An app.toml with ``[app] command``: the program has settings of its own for the rest."""


class App(_Supervised):
    """The whole file. ``[source]`` and ``[[sink]]`` have a ``kind`` and its settings; either may be one line of text instead.

    ``[governor]``, also an empty one, lets the loop climb a ladder under overload and heat; ``[cache]`` gives outputs that are known again;
    with ``[remote]`` a server helps.
    """

    model: ModelTable
    source: Wanted
    loop: LoopTable
    task: dict[str, JsonValue] = {}
    governor: GovernorSettings | None = None
    remote: RemoteSettings | None = None
    cache: CacheSettings | None = None
    sink: Annotated[tuple[Wanted, ...], BeforeValidator(_several)] = ()


_TABLES = {
    App: f"tables are [model], [source], [loop], [task], [governor], [cache], [remote], [[sink]], {_OURS}",
    Program: f"with [app] command the tables are {_OURS}: the program has its own settings",
}


def read_app(path: Path, checked: Path | None = None) -> App | Program:
    """Read an app.toml, its relative paths taken from its folder.

    Args:
        path: the file.
        checked: a file with the content that is used in place of the file's.

    Raises:
        ConfigError: if it cannot be read, or a key is unknown, missing or out of range.
    """
    text = read_text(checked or path, give="an app.toml")
    settings = parse_toml(text, path)
    kind = Program if _has_command(settings) else App
    try:
        app = kind.model_validate(settings)
    except ValidationError as exc:
        raise ConfigError(f"{describe_validation(exc, str(path))}\n{_allowed(kind, exc)}") from exc
    app._text = text
    if isinstance(app, Program):
        return app
    hang_ms = app.loop.hang_ms or max(10 * app.loop.deadline_ms, 1_000)
    if hang_ms < app.loop.deadline_ms:
        raise ConfigError(
            f"{path}: loop.hang_ms is at least loop.deadline_ms, as an engine that may still be on time does not hang; found "
            f"{hang_ms:g} and {app.loop.deadline_ms:g}. Both are in milliseconds"
        )
    if app.supervisor.frozen_s is not None and app.supervisor.frozen_s * 1_000 <= hang_ms:
        raise ConfigError(
            f"{path}: supervisor.frozen_s is longer than the engine's hang budget of {hang_ms:g} ms (loop.hang_ms), which comes first; "
            f"found {app.supervisor.frozen_s:g}"
        )
    folder = path.parent
    model = app.model.model_copy(update={"bundle": folder / app.model.bundle})
    source = sources.KINDS.below(folder, app.source)
    sink = tuple(sinks.KINDS.below(folder, each) for each in app.sink)
    sources.KINDS.check(source)
    for each in sink:
        sinks.KINDS.check(each)
    remote = app.remote and app.remote.below(folder)
    return app.model_copy(update={"model": model, "source": source, "sink": sink, "remote": remote})


def _allowed(kind: type[_Supervised], exc: ValidationError) -> str:
    """The keys of the tables in which something is wrong, or, where that is a table itself, all tables."""
    places = [error["loc"] for error in exc.errors()]
    names = dict.fromkeys(str(place[0]) for place in places if len(place) > 1)
    keys = [(name, _keys(kind.model_fields[name].annotation)) for name in names]
    lines = [f"[{name}] takes {', '.join(each)}" for name, each in keys if each]
    return "\n".join(lines if all(len(place) > 1 for place in places) and lines else [*lines, _TABLES[kind]])


def _keys(annotation: object) -> tuple[str, ...]:
    tables = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
    return tuple(key for table in tables if issubclass(table, BaseModel) for key in table.model_fields)


def _has_command(settings: dict[str, object]) -> bool:
    app = settings.get("app")
    return isinstance(app, dict) and "command" in app
