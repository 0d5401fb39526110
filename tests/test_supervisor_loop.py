"""The loop of ``edge-sdk run APP.toml`` under its supervisor: ends, kills, reloads, and what a script sees of it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.processes import descendants, is_alive
from tests.small_bundles import null_bundle
from tests.supervised import Supervised, eventually, supervised

TOML = """
[model]
bundle = "null.edge"
engine = "null"
[source]
kind = "replay"
path = "{numbers}"
rate_hz = {rate_hz}
[loop]
deadline_ms = {deadline_ms}
[[sink]]
kind = "console"
every_s = 0
[supervisor]
state_dir = "state"
{supervisor}
"""


def app_toml(folder: Path, *, samples: int = 1_000_000, rate_hz: int = 20, **settings: object) -> Path:
    folder.mkdir(exist_ok=True)
    if not (folder / "null.edge").exists():
        null_bundle(folder / "null.edge")
    np.save(folder / "numbers.npy", np.zeros((samples, 4), np.int8))
    path = folder / "app.toml"
    filled = {"numbers": "numbers.npy", "deadline_ms": 100, "supervisor": "", **settings}
    path.write_text(TOML.format(rate_hz=rate_hz, **filled))
    return path


def loop_and_engine(app: Supervised) -> tuple[int, set[int]]:
    """The pid of the loop, and those of its fork server and the engine's child."""
    [loop] = [pid for pid in descendants(app.process.pid) if descendants(pid) and parent(pid) == app.process.pid]
    return loop, descendants(loop)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("flags", [(), ("--supervise",)])
def test_a_run_to_the_end_prints_its_report_alone(flags: tuple[str, ...], tmp_path: Path) -> None:
    path = app_toml(tmp_path / "app", samples=20, rate_hz=200)
    with supervised(path, "--json", *flags, stdout=subprocess.PIPE) as app:
        out, _ = app.process.communicate(timeout=20)
        assert app.process.returncode == 0
        counts = json.loads(out)["counts"]
        assert counts["captured"] == 20
        assert app.said().count(" output [0, 0") == counts["on_time"] + counts["late"]
        assert app.state()["loops"][0]["captured"] == 20


def test_a_killed_loop_a_killed_engine_and_a_frozen_loop_are_survived(tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app", supervisor="frozen_s = 2")) as app:
        app.results(2)
        loop, engine = loop_and_engine(app)
        os.kill(max(engine), signal.SIGKILL)  # ring 2: the loop goes on

        app.results(app.shown() + 5)
        assert is_alive(loop)
        os.kill(loop, signal.SIGKILL)
        app.says("the application is alive")
        assert not any(map(is_alive, engine))
        loop, engine = loop_and_engine(app)
        os.kill(loop, signal.SIGSTOP)
        assert app.says("is frozen") < 2 + 1.5
        eventually(lambda: app.said().count("the application is alive") == 2)
        assert not any(map(is_alive, engine))
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
        [counts] = app.state()["loops"]
        outcomes = ("on_time", "late", "dropped", "skipped", "lost")
        assert counts["captured"] == sum(counts[name] for name in outcomes)
        assert counts["in_flight"] == 0


def test_nothing_outlives_a_killed_supervisor_of_the_loop(tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app")) as app:
        app.results(1)
        family = descendants(app.process.pid)
        assert len(family) == 4, "guard, loop, fork server, engine"
        app.signal(signal.SIGKILL)
        eventually(lambda: not any(map(is_alive, family)), 4)


def test_a_good_new_app_toml_is_taken_on_sighup(tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app")) as app:
        app.results(2)
        app_toml(tmp_path / "app", deadline_ms=77)
        app.signal(signal.SIGHUP)
        app.says("app.toml is good")
        app.says("the application is alive")
        app.signal(signal.SIGINT)
        assert app.ends() == 130
        assert "deadline 77 ms" in (tmp_path / "app" / "out.txt").read_text()
        assert app.state()["counted"] == {"starts": 2, "reloaded": 1, "stopped": 1}


def test_a_bad_new_app_toml_is_refused_and_the_old_one_outlives_even_a_crash(tmp_path: Path) -> None:
    with supervised(path := app_toml(tmp_path / "app")) as app:
        app.results(2)
        path.write_text(path.read_text().replace("deadline_ms", "deadline_s"))
        app.signal(signal.SIGHUP)
        app.says("loop.deadline_s: no such key")
        app.says("the application goes on with the one before")
        loop, _ = loop_and_engine(app)
        os.kill(loop, signal.SIGKILL)
        app.says("the application is alive")
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
        assert app.state()["counted"]["reload_refused"] == 1


def test_a_new_app_toml_that_does_not_start_is_taken_back(tmp_path: Path) -> None:
    with supervised(path := app_toml(tmp_path / "app")) as app:
        app.results(2)
        path.write_text(path.read_text().replace("numbers.npy", "gone.npy"))
        app.signal(signal.SIGHUP)
        app.says("the new app.toml does not start")
        app.says("the application is alive")
        app.signal(signal.SIGTERM)
        assert app.ends() == 143


def test_check_says_whether_the_file_is_good_and_starts_nothing(tmp_path: Path) -> None:
    path = app_toml(tmp_path / "app")
    with supervised(path, "--check", stdout=subprocess.PIPE) as app:
        out, _ = app.process.communicate(timeout=20)
        assert (app.process.returncode, out) == (0, f"{path} is good\n")
    path.write_text(path.read_text() + "\nmemory = 3")
    with supervised(path, "--check") as app:
        assert app.ends() == 2
        assert "supervisor.memory: no such key" in app.said()
    assert not (tmp_path / "app" / "state").exists()


def test_without_a_supervisor_it_is_one_process_with_its_engine(tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app"), "--no-supervise") as app:
        app.results(1)
        assert len(descendants(app.process.pid)) == 2, "fork server, engine"
        app.signal(signal.SIGTERM)
        assert app.ends() == 143


def test_a_terminal_that_closes_ends_it(tmp_path: Path) -> None:
    path = app_toml(
        tmp_path / "app",
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "edge_sdk.cli", "run", str(path)])
    eventually(lambda: (tmp_path / "app" / "state").exists() and len(descendants(pid)) == 4)
    family = descendants(pid)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    eventually(lambda: not any(map(is_alive, family)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("frozen_s = 0.5", "supervisor.frozen_s is longer than the engine's hang budget of 1000 ms"),
        ("frozen_s = '5'", "supervisor.frozen_s"),
        ("crash_limit = 0", "supervisor.crash_limit"),
        ("memory_mb = -1", "supervisor.memory_mb"),
        ("[watchdog]\ntimeout = 15", "watchdog.timeout: no such key"),
        ("[watchdog]\ntimeout_s = 1.5", "watchdog.timeout_s"),
        ("[watchdog]\ntimeout_s = 86_401", "watchdog.timeout_s"),
        ("[app]\ncommand = []", "app.command"),
        ("[app]\nname = '../x'", "app.name"),
        ("[app]\ncommand = ['x']", "with [app] command the tables are [app], [supervisor], [watchdog]"),
    ],
)
def test_a_wrong_setting_is_named(settings: str, said: str, tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app", supervisor=settings)) as app:
        assert app.ends() == 2
        assert said in app.said()
        assert "Traceback" not in app.said()


def test_flags_of_the_loop_mean_nothing_to_a_command(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_text("[app]\ncommand = ['true']")
    with supervised(path, "--deadline", "50", "--no-supervise") as app:
        assert app.ends() == 2
        assert "flags of the loop have no effect: deadline_ms" in app.said()
    with supervised(path, "--no-supervise") as app:
        assert app.ends() == 2
        assert "under a supervisor only" in app.said()


def test_outputs_go_on_in_the_next_life_and_nothing_is_lost(tmp_path: Path) -> None:
    path = app_toml(tmp_path / "app")
    path.write_text(
        path.read_text().replace("[supervisor]", "[[sink]]\nkind = 'jsonl'\npath = 'out.jsonl'\n[supervisor]")
    )
    with supervised(path) as app:
        app.results(3)
        loop, _ = loop_and_engine(app)
        os.kill(loop, signal.SIGKILL)
        with (tmp_path / "app" / "out.jsonl").open("a") as file:
            file.write('{"type":"resu')  # as a kill in the middle of a write leaves it
        app.says("the application is alive")
        app.results(app.shown() + 3)
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
    records = [json.loads(line) for line in (tmp_path / "app" / "out.jsonl").read_text().splitlines()]
    numbers = [record["sequence"] for record in records if record["type"] == "result"]
    assert numbers.count(0) == 2
    assert len(numbers) >= 6


def test_a_second_run_replaces_what_may_be_overwritten(tmp_path: Path) -> None:
    path = app_toml(tmp_path / "app", samples=5, rate_hz=200)
    sink = "[[sink]]\nkind = 'jsonl'\npath = 'out.jsonl'\noverwrite = true\n[supervisor]"
    path.write_text(path.read_text().replace("[supervisor]", sink))
    for _ in range(2):
        with supervised(path) as app:
            assert app.ends() == 0, app.said()
    records = [json.loads(line) for line in (tmp_path / "app" / "out.jsonl").read_text().splitlines()]
    assert [record["sequence"] for record in records if record["type"] == "result"] == [0, 1, 2, 3, 4]
