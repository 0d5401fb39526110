"""What the application finds in its environment: the supervisor's page, its own settings as they were checked, which life this is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge_sdk.watchdog import pulse
from edge_sdk.watchdog.plan import APP_VARIABLE, LIFE_VARIABLE, STATE_VARIABLE, Plan


class Environment:
    """Makes the environment of each life.

    Args:
        page: where the loops give their signs of life.
    """

    def __init__(self, page: pulse.Page) -> None:
        self._page = page
        self._text = os.memfd_create("edge-sdk-app", os.MFD_CLOEXEC)

    def of(self, plan: Plan, life: int, of_this_run: int) -> dict[str, str]:
        """All of it.

        Args:
            plan: what is started.
            life: how often the application was started, this time included.
            of_this_run: how often by this supervisor.
        """
        environment = {**os.environ, pulse.VARIABLE: self._page.path, "PYTHONFAULTHANDLER": "1"}
        environment[STATE_VARIABLE] = plan.state_dir
        environment[LIFE_VARIABLE] = f"{life} {of_this_run}"
        if plan.own:
            environment[APP_VARIABLE] = f"{self._checked(plan.app_toml)} {plan.app_path}"
        else:  # python3 is then the one that has edge_sdk
            environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return environment

    def _checked(self, app_toml: str) -> str:
        """A file that holds what was checked: a restart must not meet what somebody is typing just now."""
        os.ftruncate(self._text, 0)
        os.pwrite(self._text, app_toml.encode(), 0)
        return f"/proc/{os.getpid()}/fd/{self._text}"
