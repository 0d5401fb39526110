"""What systemd hears, on a socket as it has them: ready, alive, reloading, stopping; and that no child speaks in our name."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns

import pytest

from edge_sdk.watchdog.notify import Notifier
from tests.supervised import program, supervised

ALIVE = "joined = pulse.join(budget_s=0.5)\n"


class Manager:
    """A socket like systemd's."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(10)
        self.address = address

    def hears(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def hears_until(self, word: str) -> list[str]:
        said = self.hears()
        while word not in said:
            said = self.hears()
        return said


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify") if request.param == "path" else f"@edge-sdk-test-{os.getpid()}")
    yield manager
    manager.socket.close()


def test_messages_are_those_of_sd_notify(manager: Manager) -> None:
    environment = {
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "b",
    }
    notifier = Notifier(environment)
    assert environment == {"A": "b"}
    assert notifier.watchdog_s == 1.5
    notifier.ready("all is\nwell")
    assert manager.hears() == ["READY=1", "STATUS=all is well"]
    before_us = monotonic_ns() // 1000
    notifier.reloading()
    reloading, stamp = manager.hears()
    assert reloading == "RELOADING=1"
    assert before_us <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= monotonic_ns() // 1000
    notifier.alive()
    notifier.stopping("bye")
    assert manager.hears() == ["WATCHDOG=1"]
    assert manager.hears() == ["STOPPING=1", "STATUS=bye"]


def test_nobody_listens_or_somebody_else_is_meant() -> None:
    Notifier({}).ready("said to nobody")
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}).watchdog_s is None, "else it would never sleep"
    lost = Notifier({"NOTIFY_SOCKET": "/nowhere/notify"})
    lost.alive()
    assert lost.unsent == 1


def test_ready_is_said_again_where_systemd_was_too_busy_to_hear_it(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    while not notifier.unsent:
        notifier.alive()
    notifier.ready("running")
    for _ in range(2):
        manager.hears()
    notifier.status("still running")
    notifier.status("and again")
    assert manager.hears_until("READY=1")[1] == "STATUS=still running"
    assert manager.hears() == ["STATUS=and again"]


def under(manager: Manager, **more: str) -> dict[str, object]:
    return {"env": {"NOTIFY_SOCKET": manager.address, **more}}


def test_it_is_ready_at_the_first_beat_and_the_application_knows_nothing_of_it(
    manager: Manager, tmp_path: Path
) -> None:
    code = f"""assert not any(name in os.environ for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"))
{ALIVE}
joined.allow(5)
time.sleep(0.5)
Path("beating").touch()
alive_for_ever()"""
    with supervised(program(tmp_path / "app", code), **under(manager, WATCHDOG_USEC="400000")) as app:
        said = manager.hears_until("READY=1")
        assert (tmp_path / "app" / "beating").exists()
        assert said[1].startswith("STATUS=0 captured")
        for _ in range(3):
            manager.hears_until("WATCHDOG=1")
        app.signal(signal.SIGTERM)
        manager.hears_until("STOPPING=1")
        assert app.ends() == 143


def test_a_stopped_supervisor_is_silent(manager: Manager, tmp_path: Path) -> None:
    with supervised(
        program(tmp_path / "app", f"{ALIVE}alive_for_ever()"), **under(manager, WATCHDOG_USEC="200000")
    ) as app:
        manager.hears_until("WATCHDOG=1")
        app.signal(signal.SIGSTOP)
        manager.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                manager.hears()
        app.signal(signal.SIGCONT)
        app.lives(1)


@pytest.mark.parametrize(("text", "lives"), [("\nstart_s = 30", 2), ("\nstart = 30", 1)])
def test_a_reload_is_announced_and_ended(text: str, lives: int, manager: Manager, tmp_path: Path) -> None:
    with supervised(program(tmp_path / "app", f"{ALIVE}alive_for_ever()"), **under(manager)) as app:
        manager.hears_until("READY=1")
        app_toml = tmp_path / "app" / "app.toml"
        app_toml.write_text(app_toml.read_text() + text)
        app.signal(signal.SIGHUP)
        manager.hears_until("RELOADING=1")
        manager.hears_until("READY=1")
        assert (tmp_path / "app" / "lives").read_text() == str(lives)
