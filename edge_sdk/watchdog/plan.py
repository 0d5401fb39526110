"""What the supervisor must know, worked out of an app.toml by a process that has pydantic, for one that has not."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

APP_VARIABLE = "EDGE_SDK_APP"  # "FILE PATH": the text of the app.toml at PATH that was checked stands in FILE

LIFE_VARIABLE = "EDGE_SDK_LIFE"  # "3 1": how often the application was started, and how often by this supervisor, this time included

STATE_VARIABLE = "EDGE_SDK_STATE"  # the state directory of the application


@dataclass(frozen=True)
class Plan:
    """One application and how to look after it.

    Attributes:
        name: the application's, for messages and folders.
        command: what starts it.
        folder: where it runs; None is where the supervisor does.
        own: whether it is the loop of ``edge-sdk run``, whose exit codes are known, and not a program of the user's.
        check: what checks the app.toml and prints the plan of it, for reloading.
        app_path: the app.toml.
        app_toml: the text that was checked; restarts use it, whatever stands in the file by then.
        state_dir: where counters and the like are kept.
        frozen_s: the longest lawful silence of a loop; None leaves it to each loop.
        start_s: how long the application may be without a running loop.
        crash_limit: so many crashes in a row are given up on.
        healthy_s: a crash after so long a life begins a new row.
        memory_mb: the application is started anew above it.
        recycle_s: at most once in so many seconds.
        device: the hardware watchdog; None leaves it alone.
        timeout_s: its time-out.
    """

    name: str
    command: tuple[str, ...]
    folder: str | None
    own: bool
    check: tuple[str, ...]
    app_path: str
    app_toml: str
    state_dir: str
    frozen_s: float | None = None
    start_s: float = 60.0
    crash_limit: int = 5
    healthy_s: float = 60.0
    memory_mb: float | None = None
    recycle_s: float = 600.0
    device: str | None = None
    timeout_s: int = 15

    def as_json(self) -> str:
        """For ``plan_from``."""
        return json.dumps(asdict(self))


def plan_from(text: str) -> Plan:
    """The plan of ``Plan.as_json``."""
    fields = json.loads(text)
    return Plan(**{**fields, "command": tuple(fields["command"]), "check": tuple(fields["check"])})
