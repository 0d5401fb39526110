"""Heat and throttling, as the board tells of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Heat:
    """How hot the board is.

    Attributes:
        celsius: of the hottest zone meant, in degrees Celsius; None where none can be read.
        throttle_celsius: from here on the clock sinks; None where that is not known.
        throttled: why clocks or voltage are held down now, one reason each; empty where they are not.
        cpu_mhz, cpu_max_mhz: clock of the fastest core now, and the highest allowed.
        cpu_governor: the kernel's policy, such as ``"ondemand"``.
    """

    celsius: float | None = None
    throttle_celsius: float | None = None
    throttled: tuple[str, ...] = ()
    cpu_mhz: float | None = None
    cpu_max_mhz: float | None = None
    cpu_governor: str | None = None


class HeatWatch:
    """To come."""

    def __init__(self, thermal: object, say: object) -> None:
        self.latest = Heat()

    def close(self) -> None:
        """To come."""
