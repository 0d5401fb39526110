"""The ladder: what the governor may do under overload or heat, and its settings, ``[governor]`` of app.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edge_sdk.contract import describe_validation
from edge_sdk.errors import ConfigError


def _several(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError("there may be several: write [[governor.rungs]], in double brackets")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rung(_Strict):
    """One rung of the ladder, whole: what it does not state is as configured.

    Attributes:
        run_every: of how many samples one is processed; the others are skipped, and counted as such.
        variant: id of the bundle's variant that runs.
        engine: name of the engine that runs it.
        options: of that engine.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)  # options such as threads = 2

    run_every: int = Field(default=1, ge=1, le=1_000)
    variant: str | None = None
    engine: str | None = None
    options: dict[str, str] | None = None

    def runs_as(self, other: Rung) -> bool:
        """Whether both run the same thing, however often."""
        return (self.variant, self.engine, self.options) == (other.variant, other.engine, other.options)

    def __str__(self) -> str:
        parts = [] if self.run_every == 1 else [f"1 of {self.run_every} samples"]
        parts += [] if self.variant is None else [f"variant {self.variant}"]
        parts += [] if self.engine is None else [f"engine {self.engine}"]
        parts += [f"{key} = {value}" for key, value in (self.options or {}).items()]
        return ", ".join(parts) or "as configured"


AS_CONFIGURED = Rung()


class GovernorSettings(_Strict):
    """``[governor]``: the ladder, and when it is climbed and left.

    Without ``rungs`` the governor processes 1 of 2 samples, then 1 of 3, then 1 of 4: that relieves the processor, and no result becomes
    another. It brings nothing where one inference alone takes longer than the deadline: for that, name a faster variant, which has its
    price (``edge_sdk.watchdog.price``).

    Attributes:
        rungs: from the first step to the last; rung 0 is as configured and not stated.
        climb_miss_ratio: share of late results that may be.
        climb_after_s: it climbs when late results beyond that have added up to this; after a descent half of it is enough.
        climb_queue_ms: a sample that waited longer counts as a late result. Default: only the deadline counts.
        climb_celsius: it climbs at this temperature. Default: ``margin_celsius`` below the one at which the board lowers its clock;
            where that is not known, only when the board says that it throttles.
        margin_celsius, cooler_celsius: see ``climb_celsius``; and how far below it must be to come back.
        heat_wait_s: how long the effect of a step takes to show in the temperature.
        calm_s: how long all must be well before it comes back by one rung.
        retry_s: after how long the rung below is tried although it looks as if it would fail.
        longest_wait_s: up to which ``calm_s``, ``retry_s`` and ``heat_wait_s`` double, five times at most, when descents fail.
    """

    rungs: Annotated[tuple[Rung, ...], BeforeValidator(_several)] = Field(
        default=(Rung(run_every=2), Rung(run_every=3), Rung(run_every=4)), min_length=1, max_length=100
    )
    climb_miss_ratio: float = Field(default=0.01, gt=0, lt=1)
    climb_after_s: float = Field(default=0.25, gt=0, le=3_600)
    climb_queue_ms: float | None = Field(default=None, gt=0)
    climb_celsius: float | None = Field(default=None, ge=-50, le=200)
    margin_celsius: float = Field(default=5.0, ge=0, le=100)
    cooler_celsius: float = Field(default=5.0, gt=0, le=100)
    heat_wait_s: float = Field(default=30.0, gt=0, le=86_400)
    calm_s: float = Field(default=1.5, gt=0, le=86_400)
    retry_s: float = Field(default=30.0, gt=0, le=86_400)
    longest_wait_s: float = Field(default=300.0, gt=0, le=86_400)

    @model_validator(mode="after")
    def _consistent(self) -> GovernorSettings:
        if not self.calm_s <= self.retry_s <= self.longest_wait_s or self.heat_wait_s > self.longest_wait_s:
            raise ValueError(
                f"calm_s <= retry_s <= longest_wait_s and heat_wait_s <= longest_wait_s must hold; found calm_s {self.calm_s:g}, "
                f"retry_s {self.retry_s:g}, heat_wait_s {self.heat_wait_s:g}, longest_wait_s {self.longest_wait_s:g}"
            )
        before = AS_CONFIGURED
        for number, rung in enumerate(self.rungs, 1):
            if rung == before:
                raise ValueError(f"rung {number} ({rung}) does not differ from the one before")
            before = rung
        return self


def settings_from(given: bool | Mapping[str, object] | GovernorSettings) -> GovernorSettings | None:
    """The settings meant: ``True`` is the default ladder, ``False`` none.

    Raises:
        ConfigError: if a key of a table is unknown or out of range.
    """
    if isinstance(given, bool):
        return GovernorSettings() if given else None
    if isinstance(given, GovernorSettings):
        return given
    try:
        return GovernorSettings.model_validate(given)
    except ValidationError as exc:
        raise ConfigError(describe_validation(exc, "[governor]")) from exc
