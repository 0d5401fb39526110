"""The systemd unit of an application: started at boot, ready at its first sign of life, and its supervisor watched in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "# Written by edge-sdk service install; edge-sdk service remove takes it away."
WATCHDOG_S = 20
_STOP_S = 10
_RESTART_S = 10

# What keeps an attacker from the system and no application from its cameras, sensors, accelerators and its own files. Left out on
# purpose: PrivateDevices and ProtectClock (they close devices), PrivateTmp (sockets of camera daemons), MemoryDenyWriteExecute
# (interpreters compile at run time), ProtectKernelTunables (sensors are set up in /sys), ProtectHome.
_HARDENING = (
    "ProtectSystem=full",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
)


@dataclass(frozen=True)
class Unit:
    """What the unit is made of.

    Attributes:
        name: the application's.
        command: what starts its supervisor; the first word is an absolute path.
        folder: where it runs, absolute.
        start_s: how long it may take until its first sign of life; see ``[supervisor]``.
        user: whose rights it has; None is the manager's own user.
        groups: further groups, such as those that cameras need.
        of_user: a unit of a user's own manager, which may do less.
        state_dir: a folder of the application's choice; None is systemd's.
    """

    name: str
    command: Sequence[str]
    folder: Path
    start_s: float
    user: str | None = None
    groups: Sequence[str] = ()
    of_user: bool = False
    state_dir: Path | None = None

    @property
    def file_name(self) -> str:
        """``edge-sdk-NAME.service``."""
        return f"edge-sdk-{self.name}.service"

    def text(self) -> str:
        """The unit file."""
        service = [
            "Type=notify",
            "NotifyAccess=main",
            f"ExecStart={' '.join(map(_quoted, self.command))}",
            "ExecReload=/bin/kill -HUP $MAINPID",
            f"WorkingDirectory={_percents(str(self.folder))}",
            f"WatchdogSec={WATCHDOG_S}",
            f"TimeoutStartSec={round(self.start_s) + 300}",
            f"TimeoutStopSec={_STOP_S}",
            "# The supervisor ends the application; what is left after it is killed.",
            "KillMode=mixed",
            "SuccessExitStatus=129 130 143",
            "# For ever, as a camera may come back after hours; not more often than every ten seconds.",
            "Restart=on-failure",
            f"RestartSec={_RESTART_S}",
            "Environment=PYTHONUNBUFFERED=1",
            *self._place(),
            "NoNewPrivileges=yes",
            *(() if self.of_user else _HARDENING),
        ]
        return "\n".join(
            [
                MARK,
                "[Unit]",
                f"Description={_percents(self.name)} (edge-sdk)",
                "StartLimitIntervalSec=0",
                "",
                "[Service]",
                *service,
                "",
                "[Install]",
                f"WantedBy={'default' if self.of_user else 'multi-user'}.target",
                "",
            ]
        )

    def _place(self) -> list[str]:
        lines = [f"User={self.user}"] if self.user else []
        if self.groups:
            lines.append(f"SupplementaryGroups={' '.join(self.groups)}")
        if self.state_dir is None and not self.of_user:
            lines.append(f"StateDirectory=edge-sdk/{self.name}")
        return lines


def _quoted(word: str) -> str:
    escaped = _percents(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'


def _percents(text: str) -> str:
    return text.replace("%", "%%")
