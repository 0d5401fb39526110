"""Cores of this machine: those that an engine's process is kept on, and the clusters of fast and slow ones.

Chips such as the RK3588 have fast and slow cores (big.LITTLE): a thread of the model that lands on a slow one holds up all the others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from edge_sdk.engines import Options
from edge_sdk.errors import ConfigError

_LIST = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*")
_SPEEDS = ("cpu_capacity", "cpufreq/cpuinfo_max_freq")  # of a core, below its folder; larger is faster


def usable_cores() -> tuple[int, ...]:
    """Those that this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cores_of(options: Options) -> tuple[tuple[int, ...], Options]:
    """The option ``cores`` of any engine in a process of its own, such as ``"4-7"`` or ``"0,2-3"``; empty is all. And the other options.

    Raises:
        ConfigError: if it is no list of cores, or names one that this process may not run on.
    """
    rest = {key: value for key, value in options.items() if key != "cores"}
    text = options.get("cores", "")
    if not text:
        return (), rest
    if not _LIST.fullmatch(text):
        raise ConfigError(f"cores is a list such as 4-7 or 0,2-3; found {text!r}")
    wanted = _numbers(text)
    if not wanted:
        raise ConfigError(f"cores is a list of spans that go up, such as 0,2-3; found {text!r}")
    usable = usable_cores()
    if wanted - set(usable):
        raise ConfigError(f"cores = {text!r}, but this process may run on {as_text(usable)} only; take of these")
    return tuple(sorted(wanted)), rest


def as_text(cores: Iterable[int]) -> str:
    """Cores as the option takes them, such as ``"0-3,6"``."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][-1] + 1:
            spans[-1][1:] = [core]
        else:
            spans.append([core])
    return ",".join("-".join(map(str, span)) for span in spans)


def clusters(root: Path = Path("/"), usable: Iterable[int] | None = None) -> tuple[tuple[int, ...], ...]:
    """The usable cores in groups of the same speed, the fastest group first; one group where the kernel states no difference.

    Args:
        root: where sys is.
        usable: default those that this process may run on.
    """
    cores = usable_cores() if usable is None else tuple(usable)
    by_speed: dict[int, list[int]] = {}
    for core in cores:
        by_speed.setdefault(_speed(root / f"sys/devices/system/cpu/cpu{core}"), []).append(core)
    return tuple(tuple(by_speed[speed]) for speed in sorted(by_speed, reverse=True))


def _speed(folder: Path) -> int:
    """Of a core; 0 where the kernel does not say."""
    for name in _SPEEDS:
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):
            continue
    return 0


def _numbers(text: str) -> set[int]:
    """The cores of a list; none where one of its spans goes down."""
    ends = [[int(end) for end in span.split("-")] for span in text.split(",")]
    if any(span[0] > span[-1] for span in ends):
        return set()
    return {core for span in ends for core in range(span[0], span[-1] + 1)}
