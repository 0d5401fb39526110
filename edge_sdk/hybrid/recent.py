"""The latest of many numbers, and which of them are large."""

from __future__ import annotations

import math
from collections import deque


class Recent:
    """A sliding window over numbers, by count and, where ``age_s`` is given, by age.

    Args:
        count: how many are kept.
        age_s: for how long.
    """

    def __init__(self, count: int, age_s: float = math.inf) -> None:
        self._kept: deque[tuple[int, float]] = deque(maxlen=count)
        self._age_ns = age_s * 1e9

    def add(self, value: float, now_ns: int = 0) -> None:
        """Take one in."""
        self._kept.append((now_ns, value))

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def count(self, now_ns: int = 0) -> int:
        """How many there are."""
        while self._kept and now_ns - self._kept[0][0] > self._age_ns:
            self._kept.popleft()
        return len(self._kept)

    def quantile(self, share: float, now_ns: int = 0) -> float:
        """The smallest of them that so large a share does not exceed (nearest rank); infinity where there are none."""
        count = self.count(now_ns)
        if not count:
            return math.inf
        return sorted(value for _, value in self._kept)[math.ceil(share * count) - 1]
