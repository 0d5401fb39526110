"""Ring 3: whatever the application does, it runs again, or it is said loudly why not. Real processes throughout."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_sdk.app import read_app
from edge_sdk.cli.supervise import plan_of
from tests.processes import descendants, is_alive
from tests.supervised import eventually, program, supervised

ALIVE = "joined = pulse.join(budget_s=0.5)\n"
FOR_EVER = f"{ALIVE}alive_for_ever()\n"


def test_the_end_of_the_application_is_the_end(tmp_path: Path) -> None:
    with supervised(program(tmp_path / "app", ALIVE + "joined.beat()\njoined.end()\n")) as app:
        assert app.ends() == 0
        assert app.state()["counted"] == {"starts": 1, "done": 1}


@pytest.mark.parametrize("code", [2, 3])
def test_an_error_of_the_first_start_is_final(code: int, tmp_path: Path) -> None:
    with supervised(
        program(tmp_path / "app", f"print('the camera is missing', file=sys.stderr)\nsys.exit({code})")
    ) as app:
        assert app.ends() == code
        assert "the camera is missing" in app.said()
        assert app.state()["counted"]["starts"] == 1


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    app_toml = program(tmp_path / "app", "")
    app_toml.write_text(app_toml.read_text().replace("[app]\ncommand = ['", "[app]\ncommand = ['/nowhere"))
    with supervised(app_toml) as app:
        assert app.ends() == 1
        assert "the application: it cannot be started: /nowhere" in app.said()
        assert "No such file" in app.said()


def test_python_is_the_one_that_runs_edge_sdk(tmp_path: Path) -> None:
    """Also where its environment is not activated, as under systemd."""
    app_toml = program(tmp_path / "app", f"{ALIVE}Path('python').write_text(sys.prefix)\njoined.end()\n")
    app_toml.write_text(app_toml.read_text().replace(sys.executable, Path(sys.executable).name))
    with supervised(app_toml, env={"PATH": "/usr/bin:/bin"}) as app:
        assert app.ends() == 0, app.said()
    assert (tmp_path / "app" / "python").read_text() == sys.prefix


def test_a_killed_application_is_started_again_and_its_counts_go_on(tmp_path: Path) -> None:
    code = f"""{ALIVE}
counted = Accounting(joined)
for _ in range(10): counted.capture()
for _ in range(7): counted.settle("on_time")
joined.rung = life
Path(f"rung.{{life}}").write_text(str(counted.totals()))
alive_for_ever()
"""
    with supervised(program(tmp_path / "app", code)) as app:
        app.lives(1)
        os.kill(app.application(), signal.SIGKILL)
        assert app.lives(2) < 2
        app.says("samples in flight, lost: 3")
        app.says("died: killed by SIGKILL")
        totals = (tmp_path / "app" / "rung.2").read_text()
        assert totals == "Counts(captured=20, on_time=14, late=0, dropped=0, skipped=0, lost=3, in_flight=3)"
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
        [loop] = app.state()["loops"]
        assert loop == {
            "rung": 2, "captured": 20, "on_time": 14, "late": 0, "dropped": 0, "skipped": 0, "lost": 6, "in_flight": 0
        }  # fmt: skip
        assert app.state()["counted"] == {"starts": 2, "crash": 1, "stopped": 1}


def test_a_stopped_application_is_frozen_and_replaced_with_all_it_has_started(tmp_path: Path) -> None:
    code = f"""
import subprocess
children = [subprocess.Popen(["sleep", "1000"]), subprocess.Popen(["sleep", "1000"], start_new_session=True)]
subprocess.run(["sh", "-c", "sleep 1000 & sleep 1000 &"], start_new_session=True)
{FOR_EVER}"""
    with supervised(program(tmp_path / "app", code)) as app:
        app.lives(1)
        family = descendants(app.process.pid) - {app.application()}
        assert len(family) >= 5
        os.kill(app.application(), signal.SIGSTOP)
        assert app.lives(2) < 0.5 + 2
        app.says("frozen: the loop in process")
        left = {pid for pid in family if is_alive(pid)}
        assert len(left) == 1, "the guard alone"


def test_a_frozen_program_says_where_it_is(tmp_path: Path) -> None:
    code = f"""{ALIVE}
def the_place_where_it_hangs(): time.sleep(1000)
joined.beat()
if life == 1: the_place_where_it_hangs()
alive_for_ever()
"""
    with supervised(program(tmp_path / "app", code)) as app:
        app.lives(2)
        app.says("in the_place_where_it_hangs")


def test_time_that_was_asked_for_is_given(tmp_path: Path) -> None:
    code = f"{ALIVE}\njoined.allow(2)\ntime.sleep(1.5)\nalive_for_ever()"
    with supervised(program(tmp_path / "app", code, "start_s = 1")) as app:
        app.lives(1)
        assert "frozen" not in app.said()


@pytest.mark.parametrize(
    "code", ["time.sleep(1000)", "joined = pulse.join()\njoined.beat()\njoined.end()\ntime.sleep(1000)"]
)
def test_an_application_without_a_running_loop_is_frozen_after_start_s(code: str, tmp_path: Path) -> None:
    code = f"if life == 1:\n    {code.replace(chr(10), chr(10) + '    ')}\n{FOR_EVER}"
    with supervised(program(tmp_path / "app", code, "start_s = 0.5")) as app:
        app.lives(2)
        app.says("no loop was running for 0.5 s")


def test_crashes_in_a_row_are_given_up_loudly(tmp_path: Path) -> None:
    code = f"{ALIVE}\njoined.beat()\ntime.sleep(0.2)\nsys.exit(f'the sensor answered {{life}} times')"
    with supervised(program(tmp_path / "app", code, "crash_limit = 3")) as app:
        assert app.ends() == 1
        assert "giving up: 3 crashes in a row" in app.said()
        report = app.report()
        assert report["counted"] == {"starts": 3, "crash": 3}
        assert [life["kind"] for life in report["lives"]] == ["crash"] * 3
        assert report["last_lines"][-1] == "the sensor answered 3 times"


def test_a_crash_after_a_healthy_life_begins_a_new_row(tmp_path: Path) -> None:
    code = f"{ALIVE}\njoined.beat()\nPath(f'alive.{{life}}').touch()\ntime.sleep(0.3)\nsys.exit(1)"
    with supervised(program(tmp_path / "app", code, "crash_limit = 2\nhealthy_s = 0.2")) as app:
        app.lives(4)
        assert "giving up" not in app.said()


def test_the_wrong_settings_of_a_later_start_are_final_only_for_our_loop(tmp_path: Path) -> None:
    code = f"if life == 2: sys.exit(2)\n{ALIVE}\nif life == 1:\n    joined.beat()\n    time.sleep(0.2)\n    sys.exit(1)\nalive_for_ever()"
    with supervised(program(tmp_path / "app", code)) as app:
        app.lives(3)


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_takes_two_seconds_at_most(number: signal.Signals, stubborn: bool, tmp_path: Path) -> None:
    ignore = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        if stubborn
        else ""
    )
    with supervised(program(tmp_path / "app", ignore + FOR_EVER)) as app:
        app.lives(1)
        family = descendants(app.process.pid)
        started = time.monotonic()
        app.signal(number)
        assert app.ends() == 128 + number
        assert time.monotonic() - started < 2
        assert not any(map(is_alive, family))


def test_a_stop_between_two_lives_comes_at_once(tmp_path: Path) -> None:
    code = f"{ALIVE}\njoined.beat()\ntime.sleep(0.1)\nsys.exit(1)"
    with supervised(program(tmp_path / "app", code, "crash_limit = 100")) as app:
        eventually(lambda: app.said().count("started again") >= 6, 20)  # by now it waits for seconds
        started = time.monotonic()
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
        assert time.monotonic() - started < 1


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    code = f"""
import subprocess
subprocess.Popen(["sleep", "1000"], start_new_session=True)
subprocess.run(["sh", "-c", "trap '' HUP TERM; sleep 1000 & sleep 1000 &"], start_new_session=True)
{FOR_EVER}"""
    with supervised(program(tmp_path / "app", code)) as app:
        app.lives(1)
        family = descendants(app.process.pid)
        assert len(family) >= 5
        app.signal(signal.SIGKILL)
        app.ends()
        eventually(lambda: not any(map(is_alive, family)), 3)


def test_a_killed_guard_is_replaced(tmp_path: Path) -> None:
    with supervised(program(tmp_path / "app", FOR_EVER)) as app:
        app.lives(1)
        guard = descendants(app.process.pid) - {app.application()}
        assert len(guard) == 1
        os.kill(*guard, signal.SIGKILL)
        eventually(lambda: len(descendants(app.process.pid) - guard) == 2)


def test_a_launcher_in_between_does_no_harm(tmp_path: Path) -> None:
    app_toml = program(tmp_path / "app", FOR_EVER)
    text = app_toml.read_text()
    head, rest = text.split("\n[supervisor]")
    launched = head.removeprefix("[app]\ncommand = ").replace("'", '"')
    words = launched.strip("[]").replace('"', "").replace(",", "")
    app_toml.write_text(f"[app]\ncommand = ['sh', '-c', '{words}; true']\n[supervisor]{rest}")
    with supervised(app_toml) as app:
        app.lives(1)
        os.kill(app.application(), signal.SIGSTOP)
        app.lives(2)
        application = app.application()
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
        assert not is_alive(application)


@pytest.mark.slow  # it is weighed every ten seconds
def test_what_grows_is_started_anew_in_good_order(tmp_path: Path) -> None:
    code = f"""{ALIVE}
def ended(number, frame):
    Path("ended").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, ended)
held = b"x" * 150_000_000 if life == 1 else b""
alive_for_ever()
"""
    with supervised(program(tmp_path / "app", code, "memory_mb = 100")) as app:
        app.lives(2, within_s=25)
        assert (tmp_path / "app" / "ended").exists()
        app.signal(signal.SIGTERM)
        app.ends()
        assert app.state()["counted"] == {"starts": 2, "recycled": 1, "stopped": 1}
        assert "MB, above 100 MB; it is started anew" in app.said()


@pytest.mark.slow  # it waits for three seconds whether the other one is only at its end
def test_two_supervisors_of_one_application_are_one_too_many(tmp_path: Path) -> None:
    app_toml = program(tmp_path / "app", FOR_EVER)
    with supervised(app_toml) as first:
        first.lives(1)
        with supervised(app_toml) as second:
            assert second.ends() == 2
            assert "another supervisor" in second.said()


def test_the_supervisor_is_small(tmp_path: Path) -> None:
    with supervised(program(tmp_path / "app", FOR_EVER)) as app:
        app.lives(1)
        status = Path(f"/proc/{app.process.pid}/status").read_text()
        resident_kb = int(status.partition("VmRSS:")[2].split()[0])
        assert resident_kb < 18_000
        maps = Path(f"/proc/{app.process.pid}/maps").read_text()
        assert "numpy" not in maps
        assert "pydantic" not in maps


def test_what_sigkill_does_not_end_is_left_behind_and_counted(freezer: Path, tmp_path: Path) -> None:
    with supervised(program(tmp_path / "app", FOR_EVER)) as app:
        app.lives(1)
        stuck = app.application()
        (freezer / "tasks").write_text(str(stuck))
        (freezer / "freezer.state").write_text("FROZEN")
        app.lives(2)
        assert is_alive(stuck)
        app.says(f"SIGKILL does not end process {stuck}")
        assert app.application() != stuck
        (freezer / "freezer.state").write_text("THAWED")
        eventually(lambda: not is_alive(stuck))
        app.signal(signal.SIGTERM)
        assert app.ends() == 143
        assert app.state()["counted"]["abandoned"] == 1


def test_a_file_that_was_changed_while_it_was_checked_is_checked_again(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    app_toml = program(folder, f"{ALIVE}Path(sys.argv[1] if sys.argv[1:] else 'first').touch()\nalive_for_ever()")
    plan = dataclasses.replace(
        plan_of(app_toml, read_app(app_toml)), check=("sh", "-c", f"cd {folder}; cat next; echo >> read; sleep 0.5")
    )

    def next_one(word: str) -> None:
        (folder / "next").write_text(dataclasses.replace(plan, command=(*plan.command, word)).as_json())
        process.send_signal(signal.SIGHUP)

    (folder / "plan").write_text(plan.as_json())
    code = "import os, sys; from edge_sdk.watchdog.main import main; main(os.open(sys.argv[1], os.O_RDWR))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", code, folder / "plan"], env=environment) as process:
        try:
            eventually((folder / "first").exists)
            next_one("second")
            eventually((folder / "read").exists)
            next_one("third")
            eventually((folder / "third").exists)
            assert not (folder / "second").exists()
        finally:
            process.terminate()
