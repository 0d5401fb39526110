"""Ring 1: every result is on time or marked late, and what is late often is known."""

from __future__ import annotations

from collections import deque

from edge_sdk.errors import ConfigError
from edge_sdk.watchdog.durations import Durations

_LONGEST_MS = 1e8  # more than a day is a mistake


def check_ms(name: str, value: float) -> float:
    """``value``, if it is a sensible number of milliseconds.

    Raises:
        ConfigError: if it is not above 0 and at most 1e8.
    """
    if isinstance(value, bool) or not 0 < value <= _LONGEST_MS:
        raise ConfigError(f"{name} is a number of milliseconds above 0, at most {_LONGEST_MS:g}; found {value}")
    return value


class Deadline:
    """Judges ages against the longest one that is of use. Its memory does not grow with use.

    Args:
        deadline_ms: the longest time from capture to result that is of use, in milliseconds.
        window: how many recent results the miss ratio speaks of.

    Attributes:
        ages: distribution of every age judged so far.
    """

    def __init__(self, deadline_ms: float, *, window: int = 1_000) -> None:
        self.deadline_ms = check_ms("deadline_ms", deadline_ms)
        self.ages = Durations()
        self._recent: deque[bool] = deque(maxlen=window)
        self._recent_missed = 0

    def judge(self, age_ms: float) -> bool:
        """Take one result's age into account; whether it is late."""
        late = age_ms > self.deadline_ms
        if len(self._recent) == self._recent.maxlen:
            self._recent_missed -= self._recent[0]
        self._recent.append(late)
        self._recent_missed += late
        self.ages.add(age_ms)
        return late

    @property
    def miss_ratio(self) -> float:
        """Share of late results among the recent ones, 0 to 1."""
        return self._recent_missed / len(self._recent) if self._recent else 0.0
