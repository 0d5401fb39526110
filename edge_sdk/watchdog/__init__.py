"""The rings of the watchdog; each works when the inner one has failed. ``Deadline`` is of use without the loop too."""

from edge_sdk.watchdog.deadline import Deadline

__all__ = ["Deadline"]
