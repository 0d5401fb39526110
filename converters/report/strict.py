"""What all figures of a report have in common: frozen, unknown keys refused, numbers finite."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Decibels = Annotated[Annotated[float, Field(allow_inf_nan=True)] | None, AfterValidator(_finite_or_none)]
"""Ten times the decimal logarithm of a ratio of powers. NaN and infinity become None: JSON has neither."""


class Strict(BaseModel):
    """Base of every part of ``Figures``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
