"""Sources and sinks are chosen by kind, with settings that stand in a table or in one line of text.

``file:clip.mp4?pace=fast&step=2`` and ``{"kind": "file", "path": "clip.mp4", "pace": "fast", "step": 2}`` are the same. In text the
location stands between the first ``:`` and the first ``?`` and is taken as it is, without ``%`` escapes; so are the values, and the
items of a list are joined by commas. What text cannot hold (a path with a ``?``) goes into a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge_sdk.contract import describe_validation
from edge_sdk.errors import ConfigError
from edge_sdk.redact import redacted

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints


def _items(value: object) -> object:
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(","))
    return (value,) if isinstance(value, int | float) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_items)]  # of settings: "ax,ay,az", or a list
Numbers = Annotated[tuple[float, ...], BeforeValidator(_items)]
Positions = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_items)]  # counted from 0


class Settings(BaseModel):
    """Base of the settings of one kind; unknown keys are rejected.

    Attributes:
        location: the key that takes what stands before the ``?`` in text, or None where there is nothing to place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    location: ClassVar[str | None] = "path"


class Configured(Protocol):
    """A class that is made from its settings."""

    settings_class: type[Settings]

    def __call__(self, settings: Any) -> Any:
        """An instance with these checked settings, of type ``settings_class``."""


@dataclass(frozen=True)
class Kinds:
    """The kinds there are of one thing; their modules are imported on demand.

    Attributes:
        thing: what they are, for messages: ``"source"``.
        builtin: module and class by kind: ``{"file": "edge_sdk.sources.video:VideoSource"}``.
        examples: texts to show in messages.
        group: the entry-point group by which kinds of somebody else's join; an entry names a ``Configured`` class.
    """

    thing: str
    builtin: Mapping[str, str]
    examples: tuple[str, ...]
    group: str

    def names(self) -> tuple[str, ...]:
        """All kinds, ours first."""
        return (*self.builtin, *(e.name for e in self._plugins() if e.name not in self.builtin))

    def find(self, kind: str) -> Configured:
        """The class of this kind.

        Raises:
            ConfigError: if there is none.
        """
        if kind in self.builtin:
            module, _, attribute = self.builtin[kind].partition(":")
            return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
        for entry in self._plugins():
            if entry.name == kind:
                return entry.load()  # type: ignore[no-any-return]
        raise ConfigError(f"no {self.thing} kind {kind!r}; there are {', '.join(self.names())}")

    def make(self, wanted: str | Mapping[str, object], **defaults: object) -> Any:
        """An instance from text or a table.

        Args:
            wanted: the text or the table.
            defaults: values for the settings of these names that ``wanted`` leaves out, where the kind has such a setting.

        Raises:
            ConfigError: if the kind or a setting is unknown, missing or out of range.
        """
        found, settings = self._settings(wanted, defaults)
        return found(settings)

    def check(self, wanted: str | Mapping[str, object]) -> None:
        """Raise what ``make`` would of these settings, and make nothing."""
        self._settings(wanted, {})

    def below(self, folder: Path, wanted: str | Mapping[str, object]) -> dict[str, object]:
        """The table of ``wanted``, its relative paths (settings of type ``Path``) taken from ``folder``.

        Raises:
            ConfigError: if the kind is unknown, or the text not of its form.
        """
        kind, given = self._read(wanted)
        for name, field in self.find(kind).settings_class.model_fields.items():
            value = given.get(name)
            if Path in (field.annotation, *get_args(field.annotation)) and isinstance(value, str):
                given[name] = str(folder / value)
        return {"kind": kind, **given}

    def parse(self, text: str) -> tuple[str, dict[str, object]]:
        """Kind and settings, still unchecked, of a text.

        Raises:
            ConfigError: if the text has no kind, or is not of the form ``kind:location?key=value&key=value``.
        """
        head, has_query, query = text.partition("?")
        shown = redacted(text)
        kind, _, location = head.partition(":")
        if kind not in self.builtin and kind not in self.names():
            raise ConfigError(
                f"{self.thing} {shown!r} does not begin with a kind; write one such as {', '.join(self.examples)}"
            )
        key = self.find(kind).settings_class.location
        if key is not None and not location:
            raise ConfigError(f"{self.thing} {shown!r} lacks its {key}; write {kind}:{key.upper()}")
        if key is None and location:
            raise ConfigError(f"{self.thing} {shown!r}: {kind} has no location; write {kind} or {kind}:?key=value")
        given: dict[str, object] = {} if key is None else {key: location}
        for pair in query.split("&") if has_query else ():
            name, equals, value = pair.partition("=")
            if not name or not equals:
                raise ConfigError(
                    f"{self.thing} {shown!r}: {redacted(pair)!r} is not of the form key=value; pairs are joined by &"
                )
            if name in given:
                raise ConfigError(f"{self.thing} {shown!r} states {name} twice")
            given[name] = value
        return kind, given

    def _settings(self, wanted: str | Mapping[str, object], defaults: Mapping[str, object]) -> tuple[Configured, Any]:
        kind, given = self._read(wanted)
        found = self.find(kind)
        fields = found.settings_class.model_fields
        filled = {name: value for name, value in defaults.items() if name in fields}
        try:
            return found, found.settings_class.model_validate({**filled, **given})
        except ValidationError as exc:
            takes = ", ".join(field.alias or name for name, field in fields.items()) or "no settings"
            raise ConfigError(
                f"{describe_validation(exc, f'{self.thing} {kind}')}\n{self.thing} {kind} takes {takes}"
            ) from exc

    def _read(self, wanted: str | Mapping[str, object]) -> tuple[str, dict[str, object]]:
        """Kind and settings, still unchecked."""
        if isinstance(wanted, str):
            return self.parse(wanted)
        given = dict(wanted)
        kind = given.pop("kind", None)
        if not isinstance(kind, str):
            raise ConfigError(f"{self.thing}: missing: kind (one of {', '.join(self.names())})")
        return kind, given

    def _plugins(self) -> EntryPoints:
        from importlib.metadata import entry_points  # slow to import, and needed for kinds that are not ours only

        return entry_points(group=self.group)
