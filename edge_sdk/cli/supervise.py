"""From a checked app.toml to its supervisor: this process becomes it, without what it has imported."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NoReturn

import edge_sdk
from edge_sdk.app import App, Program
from edge_sdk.engines.wire import memory_file
from edge_sdk.errors import ConfigError
from edge_sdk.watchdog.plan import Plan

PLAN_FLAG = "--print-plan"  # of edge-sdk run: what the supervisor asks for before it reloads
_MAIN = """
import sys
sys.path.append({home!r})
from edge_sdk.watchdog.main import main
main({fd})
"""


def plan_of(path: Path, app: App | Program) -> Plan:
    """How to look after the application of this app.toml, started as this process was."""
    table = app.supervisor
    name = name_of(path, app)
    return Plan(
        name=name,
        command=app.app.command or tuple(_this_command()),
        folder=str(path.absolute().parent) if app.app.command else None,
        own=not app.app.command,
        check=tuple(_this_command(PLAN_FLAG)),
        app_path=str(path.absolute()),
        app_toml=app.text,
        state_dir=str(state_dir_of(path, app)),
        frozen_s=table.frozen_s,
        start_s=table.start_s,
        crash_limit=table.crash_limit,
        healthy_s=table.healthy_s,
        memory_mb=table.memory_mb,
        recycle_s=table.recycle_s,
        device=str(app.watchdog.device) if app.watchdog else None,
        timeout_s=app.watchdog.timeout_s if app.watchdog else 15,
    )


def name_of(path: Path, app: App | Program) -> str:
    """The application's: as it says, else the file's, or of an app.toml its folder's.

    Raises:
        ConfigError: if those make no name.
    """
    if app.app.name:
        return app.app.name
    stem = path.absolute().parent.name if path.stem == "app" else path.stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")
    if not name:
        raise ConfigError(f"{path} has no name to go by; give it one: [app] name")
    return name[:100]


def state_dir_of(path: Path, app: App | Program) -> Path:
    """Where the application of this app.toml keeps its state, absolute.

    Raises:
        ConfigError: if there is no such place.
    """
    given = app.supervisor.state_dir
    return (path.parent / given if given else default_state_dir(name_of(path, app))).absolute()


def default_state_dir(name: str) -> Path:
    """Where an application of this name keeps its state: systemd's StateDirectory, else the user's folder for that.

    Raises:
        ConfigError: if there is none.
    """
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME")
    try:
        base = Path(home) if home else Path.home() / ".local" / "state"
    except RuntimeError as exc:
        raise ConfigError("this user has no home folder; give [supervisor] state_dir in app.toml") from exc
    return base / "edge-sdk" / name


def become_supervisor(plan: Plan) -> NoReturn:
    """Replace this process by the supervisor's, which keeps its pid, its signals that are ignored, and its environment."""
    fd = memory_file("edge-sdk-plan", plan.as_json().encode())
    os.set_inheritable(fd, True)
    home = str(Path(edge_sdk.__file__).absolute().parents[1])
    code = _MAIN.format(home=home, fd=fd)
    if sys.stdout is not None:
        sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code, plan.name])  # noqa: S606 - no shell is wanted


def _this_command(*flags: str) -> list[str]:
    """What started this process, with more flags right after ``run``."""
    words = len(sys.argv) - 1
    head, (run, *tail) = sys.orig_argv[1 : len(sys.orig_argv) - words], sys.argv[1:]
    return [sys.executable, *head, run, *flags, *(word for word in tail if word != PLAN_FLAG)]
