"""State across restarts and power cuts: whole at any moment, set aside when damaged, done without on a bad disk."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.watchdog.state import StateError, pack, read_state, unpack, write_whole
from tests.supervised import eventually, program, supervised

ALIVE = "joined = pulse.join(budget_s=0.5)\n"

WRITER = """
import sys
from pathlib import Path
from edge_sdk.watchdog.state import pack, write_whole
path, number = Path(sys.argv[1]), 0
while True:
    number += 1
    write_whole(path, pack({"number": number, "same": number, "long": "x" * 50_000}))
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    last = 0
    for _ in range(25):
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(random.uniform(0, 0.02))  # not to synchronise: the moment is to be any
            writer.kill()
            said = [int(line) for line in writer.stdout.read().splitlines()]
        state = unpack(path.read_bytes())
        assert state["number"] == state["same"]
        last = max([1, *said])
        assert state["number"] in {last, last + 1}, "what was said to be written is there"
    assert len(list(tmp_path.iterdir())) <= 2, "no rubbish that grows"


@given(st.binary(max_size=200), st.integers(0, 500), st.integers(1, 255))
def test_damage_is_noticed(junk: bytes, at: int, flip: int) -> None:
    whole = bytearray(pack({"counted": {"starts": 7}}))
    whole[at % len(whole)] ^= flip
    for content in (bytes(whole), junk, bytes(whole[: at % len(whole)])):
        with pytest.raises(StateError):
            unpack(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"junk", "no state of edge-sdk"),
        (pack({})[:-1], "damaged"),
        (b"edge-sdk-state 9 0\n{}", "of version 9"),
        (b"edge-sdk-state 1 0cc2327e\n" + b"[" * 100_000, "not JSON"),
        (b"edge-sdk-state 1 15d54739\n{", "not JSON"),
        (pack([]), "no table"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_used_is_set_aside(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    heard: list[str] = []
    assert read_state(path, heard.append) == {}
    assert said in heard[0]
    assert (tmp_path / "state.json.damaged").read_bytes() == content


def test_a_foreign_state_does_not_stop_the_supervisor(tmp_path: Path) -> None:
    app_toml = program(tmp_path / "app", f"{ALIVE}joined.beat()\njoined.end()")
    state = tmp_path / "app" / "state" / "state.json"
    state.parent.mkdir()
    write_whole(state, pack({"counted": ["x"], "loops": [{"rung": "high", "captured": -4}, 3], "lives": "none"}))
    with supervised(app_toml) as app:
        assert app.ends() == 0
        assert app.state()["counted"] == {"starts": 1, "done": 1}


def test_lives_of_another_form_do_not_stop_the_last_gasp(tmp_path: Path) -> None:
    app_toml = program(tmp_path / "app", f"{ALIVE}joined.beat()\ntime.sleep(0.1)\nsys.exit(7)", "crash_limit = 1")
    state = tmp_path / "app" / "state" / "state.json"
    state.parent.mkdir()
    write_whole(state, pack({"lives": [{"kind": "crash"}, {"kind": "done", "message": "m", "lived_s": 1, "new": 2}]}))
    with supervised(app_toml) as app:
        assert app.ends() == 7
        assert [life["kind"] for life in app.report()["lives"]] == ["done", "crash"]


SLOW_DISK = """
import fcntl, os, sys, time
from pathlib import Path
from edge_sdk.watchdog import ledger, processes, pulse
from edge_sdk.watchdog.events import Events
device, other_end = os.pipe2(os.O_CLOEXEC)
ledger.write_whole = lambda path, content: time.sleep(20)
ledger._SLOW_S = 0
events = Events([])
books = ledger.Ledger("x", Path(sys.argv[1]), pulse.Page(), events, print)
books.open()
books.save()
try:
    os.close(other_end)
    assert os.read(device, 1) == b"", "the writer has it open"
    books.save()
    again = os.open(sys.argv[1], os.O_RDONLY)
    os.close(books._lock)
    try:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("locked")
finally:
    ledger.write_whole = lambda path, content: None
    processes.kill(events.children)
    events.wait_while(lambda: books.writing, 5)
"""


def test_a_writer_that_waits_for_the_disk_holds_the_lock_and_nothing_else(tmp_path: Path) -> None:
    """Such as the hardware watchdog, which a clean stop disarms only when nobody has it open any more."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW_DISK, tmp_path], capture_output=True, text=True, check=False, timeout=10
    )
    assert done.returncode == 0, done.stderr
    assert "the disk does not answer" in done.stdout
    assert "locked" in done.stdout


def test_a_supervisor_waits_for_what_the_one_before_still_writes(tmp_path: Path) -> None:
    app_toml = program(tmp_path / "app", f"{ALIVE}joined.beat()\njoined.end()")
    state = tmp_path / "app" / "state"
    state.mkdir()
    lock = os.open(state, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with supervised(app_toml) as app:
            eventually(lambda: opens(app.process.pid, state))
            assert not (tmp_path / "app" / "lives").exists()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert app.ends() == 0
    finally:
        os.close(lock)


def opens(pid: int, path: Path) -> bool:
    return any(entry.is_symlink() and entry.readlink() == path for entry in Path(f"/proc/{pid}/fd").iterdir())


def test_counters_and_rung_outlive_the_supervisor(tmp_path: Path) -> None:
    code = f"""{ALIVE}
counted = Accounting(joined)
print("found", counted.totals(), joined.rung, flush=True)
for _ in range(5): counted.capture()
counted.settle("late")
joined.rung += 3
joined.beat()
if life == 2: os.kill(os.getppid(), signal.SIGKILL)
"""
    app_toml = program(tmp_path / "app", code)
    for expected in (0, 137, 0):
        with supervised(app_toml) as app:
            assert app.ends() == expected or expected == 137
            said = (tmp_path / "app" / "out.txt").read_text()
    assert "captured=5, on_time=0, late=1, dropped=0, skipped=0, lost=4, in_flight=0) 3" in said


def test_two_loops_that_counted_the_same_are_both_kept(tmp_path: Path) -> None:
    code = """
for joined in [pulse.join(), pulse.join()]:
    counted = Accounting(joined)
    for _ in range(5): counted.capture()
    joined.beat()
"""
    with supervised(program(tmp_path / "app", code)) as app:
        assert app.ends() == 0
        assert [loop["lost"] for loop in app.state()["loops"]] == [5, 5]


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_disk_that_cannot_be_written_is_said_once_and_the_loop_goes_on(how: str, tmp_path: Path) -> None:
    code = f"{ALIVE}joined.beat()\nPath(f'alive.{{life}}').touch()\nif life < 4: sys.exit('ended')\nalive_for_ever()"
    disk = tmp_path / "disk"
    disk.mkdir()
    app_toml = program(tmp_path / "app", code)
    app_toml.write_text(app_toml.read_text().replace("'state'", f"'{disk}/state'"))
    size = "size=64k" if how == "full" else "size=64k,ro"
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        if how == "full":
            (disk / "filler").write_bytes(bytes(64 << 10))
        with supervised(app_toml) as app:
            app.lives(4)
            app.signal(signal.SIGTERM)
            assert app.ends() == 143
            assert app.said().count("cannot be kept in") == 1
            assert {"full": "No space left", "read-only": "Read-only file system"}[how] in app.said()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_writing_that_fails_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_whole(path, old := pack({"number": 1}))
    code = """
import resource, sys
from pathlib import Path
from edge_sdk.watchdog.state import write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
write_whole(Path(sys.argv[1]), bytes(200))
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]
