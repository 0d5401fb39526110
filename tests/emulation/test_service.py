"""An application under systemd in a virtual machine: each ring of the watchdog works when the inner one has failed."""

from __future__ import annotations

import re

import pytest

from tests.emulation.machine import Machine, Seen
from tests.emulation.null_bundle import image_bundle

WATCHDOG_S, ABORT_S, RESTART_S = 20, 10, 10  # of the unit
TIMEOUT_S = 5  # of the hardware watchdog


@pytest.fixture(scope="module")
def seen(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("service")
    return machine.play("service", folder / "shared", [image_bundle(folder / "null.edge")])


def test_service_install_makes_a_unit_that_runs_now_and_at_boot(seen: Seen) -> None:
    scene = seen["installed"]
    assert "enabled and running" in scene["said"]
    assert scene["enabled"] == "enabled"
    assert scene["status"]["systemd"]["ActiveState"] == "active"


def test_a_killed_application_is_started_again_by_its_supervisor(seen: Seen) -> None:
    scene = seen["application_killed"]
    assert scene["same_supervisor"]
    assert scene["status"]["systemd"]["NRestarts"] == "0"
    assert scene["status"]["state"]["counted"]["crash"] == 1


def test_a_frozen_supervisor_is_started_again_by_systemd(seen: Seen) -> None:
    scene = seen["supervisor_frozen"]
    assert (scene["restarts"], scene["old_application_is_gone"]) == (1, True)
    assert scene["back_after_s"] < WATCHDOG_S + ABORT_S + RESTART_S + 30  # Python starts slowly in an emulated machine
    assert "Watchdog timeout" in scene["journal"]


def test_what_was_counted_survives_the_supervisor(seen: Seen) -> None:
    before, after = (seen[name]["status"]["state"] for name in ("application_killed", "supervisor_frozen"))
    assert after["counted"]["crash"] == before["counted"]["crash"] == 1
    assert after["loops"][0]["captured"] >= before["loops"][0]["captured"] > 0


def test_a_stop_takes_two_seconds_at_most_and_removing_leaves_no_unit(seen: Seen) -> None:
    scene = seen["stopped_and_removed"]
    assert scene["stop_s"] < 2 + 2  # systemctl itself takes some time here
    assert (scene["result"], scene["after"]) == ("success", False)


def test_an_application_that_is_given_up_leaves_the_machine_to_its_watchdog(seen: Seen) -> None:
    assert "gives_up" not in seen.scenes
    assert "giving up: 2 crashes in a row" in seen.console
    assert re.search(r"/dev/watchdog\d stays armed, as wanted: the board is reset", seen.console)
    assert "softdog: Initiating system reboot" in seen.console
    ago_s = [float(seconds) for seconds in re.findall(r"given up with \d+, ([\d.]+) s ago", seen.console)]
    assert ago_s
    assert ago_s[-1] < TIMEOUT_S + 2
