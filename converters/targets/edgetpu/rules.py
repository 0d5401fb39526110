"""The compiler's rules as data: ``rules.toml``, read strictly."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_sdk.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FILE = Path(__file__).with_name("rules.toml")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OperatorRules(_Strict):
    """What an operator must keep besides the general rules.

    Attributes:
        since: the runtime that has it first; 0 where all have it.
        rules: ids.
        below: further ones, for runtimes older than the key.
    """

    since: int = Field(default=0, ge=0)
    rules: tuple[str, ...] = ()
    below: dict[int, tuple[str, ...]] = {}

    def at(self, runtime: int) -> tuple[str, ...]:
        """The ids that hold with this runtime."""
        return (*self.rules, *(rule for limit, more in self.below.items() if runtime < limit for rule in more))


class Rule(_Strict):
    """What a rule says, and who says so."""

    says: str
    source: str


class Limits(_Strict):
    """Numbers in the rules; see the file."""

    types: tuple[str, ...]
    inner_axes: int
    softmax_elements: int
    mean_channels_multiple: int
    mean_positions: int
    resize_factor: float
    resize_side: int
    reshape_bytes: int


class Rules(_Strict):
    """The table.

    Attributes:
        compiler: whose rules these are.
        runtimes: of each compiler, the newest runtime that it compiles for.
        operators: by the name in a .tflite file; what is not there does not map.
        rules: by id.
    """

    compiler: str
    runtimes: dict[str, int]
    limits: Limits
    operators: dict[str, OperatorRules]
    rules: dict[str, Rule]

    @model_validator(mode="after")
    def _each_is_explained(self) -> Rules:
        named = {rule for each in self.operators.values() for rule in each.at(0)}
        if strangers := named - set(self.rules):
            raise ValueError(f"operators name rules that are not explained: {', '.join(sorted(strangers))}")
        return self

    def runtime_of(self, compiler: str | None = None, runtime: int | None = None) -> int:
        """The runtime to plan for.

        Args:
            compiler: its version, such as ``16.0.384591198`` or ``15.0``; default the latest.
            runtime: of the device; default the newest that the compiler knows.

        Raises:
            ConfigError: if one is not in the table.
        """
        version = ".".join((compiler or self.compiler).split(".")[:2])
        if version not in self.runtimes:
            raise ConfigError(f"compiler {compiler} is not known; there are {', '.join(self.runtimes)}")
        newest, oldest = self.runtimes[version], min(self.runtimes.values())
        if runtime is not None and not oldest <= runtime <= newest:
            raise ConfigError(f"compiler {version} compiles for runtimes {oldest} to {newest}, not {runtime}")
        return newest if runtime is None else runtime


@lru_cache(maxsize=1)
def edgetpu_rules() -> Rules:
    """The rules of the latest compiler."""
    return Rules.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))
