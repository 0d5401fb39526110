"""The supervisor's process: ``python -c "... main(FD)"``, where FD holds the plan."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from edge_sdk.errors import EdgeSdkError
from edge_sdk.refusal import refusal
from edge_sdk.watchdog.events import Events
from edge_sdk.watchdog.notify import Notifier
from edge_sdk.watchdog.plan import Plan, plan_from
from edge_sdk.watchdog.relay import Relay
from edge_sdk.watchdog.supervisor import Supervisor

if TYPE_CHECKING:
    from edge_sdk.watchdog.hardware import HardwareWatchdog


def main(plan_fd: int) -> NoReturn:
    """Look after the application of the plan in this file, and exit.

    Signals: SIGTERM and SIGINT end everything within 2 s; SIGHUP reads app.toml again.
    """
    with open(plan_fd, encoding="utf-8") as file:
        file.seek(0)
        plan = plan_from(file.read())
    while os.open(os.devnull, os.O_RDWR) <= 2:  # a standard stream that is closed must not become something else
        pass
    relay, hardware = Relay(), None
    try:
        events = _events()  # before the device is armed: a signal that ended this process then would leave it armed
        hardware = _open_hardware(plan, relay)
        code = _supervisor(plan, events, relay, hardware).run()
    except EdgeSdkError as exc:  # nothing has run yet; on any other error the hardware watchdog stays armed
        relay.say(str(exc))
        code = exc.exit_code
        if hardware is not None:
            hardware.close()
    sys.exit(code)


def _events() -> Events:
    wanted = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        wanted.append(signal.SIGHUP)
    try:
        return Events(wanted)
    except OSError as exc:
        raise EdgeSdkError(f"the supervisor cannot be started: {refusal(exc)}") from exc


def _supervisor(plan: Plan, events: Events, relay: Relay, hardware: HardwareWatchdog | None) -> Supervisor:
    try:
        return Supervisor(plan, events, Notifier(), relay, hardware)
    except OSError as exc:
        raise EdgeSdkError(f"the supervisor cannot be started: {refusal(exc)}") from exc


def _open_hardware(plan: Plan, relay: Relay) -> HardwareWatchdog | None:
    if plan.device is None:
        return None
    from edge_sdk.watchdog.hardware import HardwareWatchdog  # memory that an application without one need not spend

    hardware = HardwareWatchdog(plan.device, timeout_s=plan.timeout_s)
    for note in hardware.notes:
        relay.say(note)
    if hardware.causes:
        relay.say(f"the board was reset the last time: {', '.join(hardware.causes)}")
    return hardware
