"""A watchdog that resets the machine: it does when everything is frozen, and only then."""

from __future__ import annotations

import re

import pytest

from tests.emulation.machine import Machine, Seen
from tests.emulation.null_bundle import image_bundle

TIMEOUT_S = 5


@pytest.fixture(scope="module")
def seen(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("hardware")
    return machine.play("hardware", folder / "shared", [image_bundle(folder / "null.edge")])


def test_without_permission_it_says_what_to_do(seen: Seen) -> None:
    scene = seen["no_permission"]
    assert scene["exit"] == 1
    assert re.search(r"/dev/watchdog\d may not be opened by this user: run as root, or make a group", scene["error"])
    assert "Traceback" not in scene["error"]


def test_one_that_is_busy_says_who_may_have_it(seen: Seen) -> None:
    scene = seen["busy"]
    assert scene["exit"] == 1
    assert re.search(r"/dev/watchdog\d is in use. It is systemd's where RuntimeWatchdogSec is set", scene["error"])
    assert "Traceback" not in scene["error"]


def test_a_healthy_loop_is_not_reset_and_an_orderly_end_disarms(seen: Seen) -> None:
    scene = seen["healthy"]
    assert (scene["armed"], scene["after"], scene["exit"]) == ("active", "inactive", 143)
    assert len(scene["results"]) > 25 * 2 * TIMEOUT_S


def test_a_frozen_application_is_started_again_without_a_reset(seen: Seen) -> None:
    scene = seen["application_frozen"]
    assert scene["exit"] == 143
    assert "is frozen" in scene["error"]
    assert scene["back_after_s"] < 60  # of which most is the start of Python in an emulated machine


def test_when_everything_is_frozen_the_machine_is_reset(seen: Seen) -> None:
    assert "everything_frozen" not in seen.scenes
    assert "softdog: Initiating system reboot" in seen.console
    frozen_s = [float(seconds) for seconds in re.findall(r"frozen for ([\d.]+) s", seen.console)]
    assert frozen_s
    assert frozen_s[-1] < TIMEOUT_S + 2
