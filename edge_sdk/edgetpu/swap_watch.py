"""How much of a shared device's time goes into swapping models, and whether compiling them together would save it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CHIP_BYTES = 8_000_000  # the chip's memory for parameters: "roughly 8 MB", coral.ai/docs/edgetpu/compiler
_WINDOW_NS = 5_000_000_000
_MS = 1e-6  # of nanoseconds


@dataclass(frozen=True)
class Swapping:
    """What swapping cost in a window of time.

    Attributes:
        models: those that were swapped, in alphabetical order.
        swaps: how often a model came upon another one.
        swap_ms_a_second: of each second, how many milliseconds went into that.
        share: of all the time.
    """

    models: tuple[str, ...]
    swaps: int
    swap_ms_a_second: float
    share: float

    def advice(self, cached_bytes: Mapping[str, int]) -> str:
        """What to do, with figures, given the parameters that each model keeps on the chip, as far as known."""
        names = " and ".join(self.models)
        lost = f"{names} put each other off the device: {self.swap_ms_a_second:.0f} ms of each second ({self.share:.0%}) go into swaps"
        if not all(name in cached_bytes for name in self.models):
            return f"{lost}. If their parameters fit the chip's 8 MB together, compile them together; their plans say"
        sizes = " + ".join(f"{cached_bytes[name] / 1e6:.1f}" for name in self.models)
        if sum(cached_bytes[name] for name in self.models) <= CHIP_BYTES:
            return f"{lost}. Compiled together they would not ({sizes} MB fit the chip's 8): edgetpu_compiler, with all of them at once"
        return f"{lost}. Together they are too large for the chip's 8 MB ({sizes} MB): take smaller ones, or a second device"


class SwapWatch:
    """Adds up runs, and looks at them window by window. Times are handed in.

    Args:
        share: what share of the time swaps may take, before it is said.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._began_ns: int | None = None
        self._models: set[str] = set()
        self._swaps, self._swap_ms = 0, 0.0
        self._said: set[Sequence[str]] = set()

    def ran(self, model: str, before: str | None, swap_ms: float, now_ns: int) -> Swapping | None:
        """A run has ended, of one model after another one's; what is to be said, once of the same models."""
        if self._began_ns is None:
            self._began_ns = now_ns
        if before not in (None, model):
            self._swaps += 1
            self._swap_ms += swap_ms
            self._models |= {model, str(before)}
        elapsed_ns = now_ns - self._began_ns
        if elapsed_ns < _WINDOW_NS:
            return None
        seconds = elapsed_ns * 1e-9
        a_second = self._swap_ms / seconds
        found = Swapping(tuple(sorted(self._models)), self._swaps, a_second, a_second / 1_000)
        self._began_ns, self._models, self._swaps, self._swap_ms = now_ns, set(), 0, 0.0
        if found.share < self._share or found.models in self._said:
            return None
        self._said.add(found.models)
        return found
