"""``edge-sdk service``: the unit is one that systemd takes, and a real manager runs it, watches it and is left as it was found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervised import eventually, program

ALIVE = "joined = pulse.join(budget_s=0.5)\nalive_for_ever()\n"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def edge_sdk(*words: object, within: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*within, sys.executable, "-m", "edge_sdk.cli", "service", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def app_toml(tmp_path: Path) -> Path:
    path = program(tmp_path / '50% $odd "app"', ALIVE)
    path.write_text(path.read_text().replace("state_dir = 'state'\n", ""))
    return path.rename(path.with_name("watch dog.toml"))


@pytest.mark.parametrize("flags", [(), ("--user",), ("--run-as", "daemon")])
def test_the_unit_is_one_that_systemd_takes(flags: tuple[str, ...], app_toml: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (apt-get install systemd)")
    done = edge_sdk("install", app_toml, "--print", *flags)
    assert done.returncode == 0, done.stderr
    unit = tmp_path / "edge-sdk-watch-dog.service"
    unit.write_text(done.stdout)
    manager = ["--user"] if "--user" in flags else []
    runtime = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    verdict = subprocess.run(
        ["systemd-analyze", "verify", *manager, unit], capture_output=True, text=True, check=False, env=runtime
    )
    assert (verdict.returncode, verdict.stderr) == (0, "")
    assert "User=daemon" in done.stdout or "--run-as" not in flags
    assert ("StateDirectory=edge-sdk/watch-dog" in done.stdout) == ("--user" not in flags)


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
def test_without_systemd_it_says_so_and_changes_nothing(app_toml: Path, tmp_path: Path) -> None:
    done = edge_sdk("install", app_toml, "--user", XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert done.returncode == 1
    assert "does not run here" in done.stderr or "no systemctl" in done.stderr
    assert not (tmp_path / "config").exists()
    done = edge_sdk("status", app_toml, "--user", "--json", XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["installed"] is False


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("install", "--run-as", "nobody-of-this-name"), 2, "there is no user 'nobody-of-this-name'"),
        (("install", "--run-as", "daemon", "--user"), 2, "--run-as is for units of the system"),
        (("remove", "--user"), 1, "is not there; nothing to remove"),
    ],
)
def test_what_cannot_be_is_said(words: tuple[str, ...], code: int, said: str, app_toml: Path, tmp_path: Path) -> None:
    done = edge_sdk(words[0], app_toml, *words[1:], XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_stranger_of_the_same_name_is_left_alone(app_toml: Path, tmp_path: Path) -> None:
    unit = tmp_path / "systemd" / "user" / "edge-sdk-watch-dog.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\n")
    done = edge_sdk("remove", app_toml, "--user", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "not from edge-sdk" in done.stderr
    assert unit.exists()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """A real user manager, in a mount namespace where systemd seems to have booted; how to run something there, and its environment."""
    systemd = next((p for p in (Path("/usr/lib/systemd/systemd"), Path("/lib/systemd/systemd")) if p.exists()), None)
    if os.geteuid() != 0 or systemd is None:
        pytest.skip("a systemd manager of the test's own takes root and systemd (apt-get install systemd)")
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    home |= {"XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(Path(__file__).parents[1])}
    script = f"mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec {systemd} --user"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(command, env={**os.environ, **home}, stderr=subprocess.DEVNULL) as process:
        within = ("nsenter", "-t", str(process.pid), "-m")
        try:
            try:
                eventually((runtime / "systemd" / "private").exists, 5)
            except AssertionError:
                pytest.skip("systemd does not start in a mount namespace here")
            yield within, home
        finally:
            process.send_signal(signal.SIGRTMIN + 24)  # exit.target
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.mark.slow
def test_a_real_manager_runs_it_watches_it_and_forgets_it(
    manager: tuple[tuple[str, ...], dict[str, str]], app_toml: Path, tmp_path: Path
) -> None:
    within, environment = manager
    drop_in = tmp_path / "config" / "systemd" / "user" / "edge-sdk-watch-dog.service.d" / "quick.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nWatchdogSec=1\nRestartSec=0\n")

    def service(*words: object) -> str:
        done = edge_sdk(words[0], app_toml, "--user", *words[1:], within=within, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status() -> dict[str, dict[str, str]]:
        return json.loads(service("status", "--json"))  # type: ignore[no-any-return]

    assert "enabled and running" in service("install")
    shown = status()["systemd"]
    assert (shown["ActiveState"], shown["SubState"], shown["NRestarts"]) == ("active", "running", "0")
    assert shown["StatusText"].startswith("0 captured")
    os.kill(supervisor := int(shown["MainPID"]), signal.SIGSTOP)  # ring 3 itself is frozen: systemd starts it again
    eventually(lambda: status()["systemd"]["NRestarts"] == "1" and status()["systemd"]["ActiveState"] == "active", 20)
    assert int(status()["systemd"]["MainPID"]) != supervisor
    service("install")  # again: renewed
    assert "starts" in service("status")
    told = service("remove")
    assert "its state is kept in" in told
    after = status()
    assert after["installed"] is False
    assert after["systemd"]["ActiveState"] == "inactive"
    assert after["state"]["counted"]["stopped"] >= 1  # type: ignore[index]
    assert not list((tmp_path / "config").rglob("*.service"))
