"""``[contract.window]``: what piece of a signal a model takes, and what becomes of readings that are missing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from edge_sdk.printable import no_control_characters

FULL_SCALE = "full-scale"
_Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(no_control_characters)]
_MOST_READINGS = 1 << 24
_WHOLE = 1e-6  # of a reading, which a length in seconds may be off


class WindowSettings(BaseModel):
    """A window of a signal.

    Attributes:
        length: readings of a window; or length_s, seconds that are a whole number of readings.
        rate_hz: readings a second. Nothing is resampled: a source of another rate is refused.
        hop: readings from the beginning of a window to that of the next; or hop_s. A device may choose another.
        channels: the name of each column.
        units: of the readings, such as ``"g"``. Of ``"full-scale"``, integers stand for -1 to 1 (int16: n / 32768); of anything else,
            numbers are as they are.
        gap: what becomes of missing readings: ``"hold"`` repeats the one before, ``"linear"`` lies on a line between its neighbours,
            ``"drop"`` drops the windows concerned.
        longest_fill: of the readings missing in a row, that are filled; a longer gap drops the windows concerned.
        jitter: periods by which a time stamp may be off. A longer step is a gap, a step back by more is time running backwards.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    length: int = Field(ge=1, le=_MOST_READINGS)
    rate_hz: float = Field(gt=0, le=1e7)
    hop: int = Field(ge=1, le=_MOST_READINGS)
    channels: tuple[_Name, ...] = Field(min_length=1, max_length=1_000)
    units: _Name
    gap: Literal["drop", "hold", "linear"]
    longest_fill: int = Field(default=0, ge=0)
    jitter: float = Field(default=0.5, gt=0, le=10_000)

    @model_validator(mode="before")
    @classmethod
    def _in_readings(cls, told: Any) -> Any:
        """Seconds become readings: what is stored has readings only."""
        if not isinstance(told, dict):
            return told
        told = dict(told)
        for key in ("length", "hop"):
            seconds, rate_hz = told.pop(f"{key}_s", None), told.get("rate_hz")
            if seconds is None:
                continue
            if key in told:
                raise ValueError(f"give {key} or {key}_s, not both")
            if not isinstance(seconds, int | float) or not isinstance(rate_hz, int | float):
                raise ValueError(f"{key}_s is seconds, and needs rate_hz; found {seconds!r} and {rate_hz!r}")
            readings = seconds * rate_hz
            if abs(readings - round(readings)) > _WHOLE:
                raise ValueError(
                    f"{key}_s = {seconds:g} is {readings:g} readings at {rate_hz:g} Hz; give {key} in readings"
                )
            told[key] = round(readings)
        return told

    @model_validator(mode="after")
    def _fits(self) -> WindowSettings:
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"two channels have the same name: {', '.join(self.channels)}")
        if (self.gap == "drop") != (self.longest_fill == 0):
            raise ValueError(
                f"gap = {self.gap} with longest_fill = {self.longest_fill}: hold and linear need 1 or more, drop fills nothing"
            )
        if self.length * len(self.channels) > _MOST_READINGS:
            raise ValueError(f"a window has at most {_MOST_READINGS} numbers, all channels together")
        if self.longest_fill >= self.length:
            raise ValueError(f"longest_fill is below length, {self.length}; found {self.longest_fill}")
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """Of a raw window: (readings, channels)."""
        return self.length, len(self.channels)

    @property
    def period_ns(self) -> float:
        """From one reading to the next."""
        return 1e9 / self.rate_hz
