"""What the machine does to a running application: each is survived, or ends it with one message; and nothing tells a password.

Here is where each item is proven; those of sources, engine and settings are in test_faults_of_the_loop.

    SIGKILL of any process           here: test_each_process_may_be_killed
                                     test_supervisor_loop: test_nothing_outlives_a_killed_supervisor_of_the_loop
    disk full                        here: test_a_full_disk_ends_nothing
                                     test_state_file: test_a_disk_that_cannot_be_written_is_said_once_and_the_loop_goes_on
                                     test_sinks: ..._on_a_full_disk
    /dev/shm full                    here: test_a_full_dev_shm_does_not_matter
    descriptor limit                 here: test_too_few_descriptors_are_one_message, test_descriptors_that_run_out_and_come_back
                                     test_supervisor_limits: test_few_descriptors_are_enough
    too few processes or threads     here: test_too_few_processes_are_one_message
    clock set back a day             here: test_a_clock_set_back_a_day_changes_nothing,
                                     test_no_duration_is_taken_from_a_clock_that_can_be_set
                                     emulation/test_hard_conditions: test_a_clock_set_back_a_day_changes_nothing
    processor taken away             here: test_with_a_tenth_of_a_processor_results_are_late_and_nobody_is_taken_for_frozen
                                     emulation/test_hard_conditions: test_without_processor_time_it_loses_frames_not_count_nor_life
    engine memory growth             here: test_an_engine_that_grows_is_started_anew
    /dev/watchdog busy, without      here: test_a_watchdog_that_may_not_be_opened_is_one_message
      permission                     emulation/test_hardware_watchdog: test_without_permission_it_says_what_to_do,
                                     test_one_that_is_busy_says_who_may_have_it
    a child that SIGKILL does        here: test_an_engine_stuck_in_the_kernel_is_left_behind_and_the_loop_goes_on
      not end                        test_supervisor: test_what_sigkill_does_not_end_is_left_behind_and_counted
    passwords                        here: test_a_password_is_told_nowhere, test_a_password_is_in_no_unit
"""

from __future__ import annotations

import ast
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_sdk
from tests.faulty_apps import app_toml, events, exact, more_results, one_run, records
from tests.mqtt_broker import Mosquitto
from tests.processes import descendants, is_alive
from tests.supervised import Supervised, eventually, supervised
from tests.test_frame_sources import free_port

HOME = Path(edge_sdk.__file__).parent
CLOCK = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift_s(void) {
    char text[32] = {0};
    int fd = open(getenv("CLOCK_SHIFT"), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    long got = read(fd, text, 31);
    close(fd);
    return got > 0 ? atol(text) : 0;
}
int clock_gettime(clockid_t id, struct timespec *t) {
    int failed = syscall(SYS_clock_gettime, id, t);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += shift_s();
    return failed;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""
root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")


def family(app: Supervised) -> dict[str, int]:
    """The pids of the loop, its fork server and the engine's child, and of the supervisor's guard."""
    below = descendants(app.process.pid)
    loops = [pid for pid in below if descendants(pid)]
    [loop] = [pid for pid in loops if len(descendants(pid)) == 2]
    [server] = [pid for pid in loops if len(descendants(pid)) == 1]
    [engine] = descendants(server)
    [guard] = below - {loop, server, engine}
    return {"loop": loop, "server": server, "engine": engine, "guard": guard}


def ends_well(app: Supervised) -> None:
    app.signal(signal.SIGTERM)
    assert app.ends() == 143, app.said()
    assert "Traceback" not in app.said()
    assert exact(app)


@pytest.mark.slow
def test_each_process_may_be_killed(tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app")) as app:
        more_results(app)
        for victim in ("engine", "guard", "server", "loop", "engine"):
            os.kill(family(app)[victim], signal.SIGKILL)
            more_results(app, 5)
            eventually(lambda: len(descendants(app.process.pid)) == 4)
        ends_well(app)
        assert [kind for kind in events(app) if kind != "crash"] == ["recovered"] * 3
        assert app.state()["counted"] == {"starts": 2, "crash": 1, "stopped": 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a disk takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_nothing(small_disk: Path, tmp_path: Path) -> None:
    """Both the results and the state are on it."""
    sink = f"[[sink]]\nkind = 'jsonl'\npath = '{small_disk}/out.jsonl'"
    path = app_toml(tmp_path / "app", sink=sink)
    path.write_text(path.read_text().replace("'state'", f"'{small_disk}/state'"))
    with supervised(path) as app:
        disk = Supervised(small_disk, app.process, path.parent / "err.txt")
        more_results(disk)
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(1 << 20))
        eventually(lambda: "sink_failed: cannot write" in app.said() or app.process.poll() is not None)
        time.sleep(0.3)
        ballast.unlink()
        more_results(disk)
        eventually(lambda: "sink_back" in app.said())
        results = records(disk, "result")
        assert results[-1]["sequence"] > len(results), "it went on without those in between"
        ends_well(disk)
        assert app.said().count("sink_failed") == app.said().count("sink_back") == 1
        assert disk.state()["counted"] == {"starts": 1, "stopped": 1}


@root
def test_a_full_dev_shm_does_not_matter(tmp_path: Path) -> None:
    """Shared memory is anonymous: nothing of it has a name there."""
    full = 'mount -t tmpfs -o size=4k tmpfs /dev/shm && ! cat /dev/zero > /dev/shm/full 2>/dev/null; exec "$@"'
    done = one_run(tmp_path, "--results", "3", prefix=("unshare", "-m", "sh", "-c", full, "sh"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "3 results" in done.stdout


@pytest.mark.parametrize("supervise", ["--supervise", "--no-supervise"])
@pytest.mark.parametrize("limit", [7, 9])
def test_too_few_descriptors_are_one_message(limit: int, supervise: str, tmp_path: Path) -> None:
    done = one_run(tmp_path, "--results", "1", supervise, prefix=("prlimit", f"--nofile={limit}"))
    assert done.returncode == 1
    assert "Too many open files; raise the limit: ulimit -n" in done.stderr
    assert "Traceback" not in done.stderr


def test_descriptors_that_run_out_and_come_back(tmp_path: Path) -> None:
    """The engine dies while no file can be opened: it is tried again, leaving none behind, until one can."""
    with supervised(app_toml(tmp_path / "app")) as app:
        more_results(app)
        who = family(app)
        opened = Path(f"/proc/{who['loop']}/fd")
        before = len(list(opened.iterdir()))
        resource.prlimit(who["loop"], resource.RLIMIT_NOFILE, (before, 4096))
        os.kill(who["engine"], signal.SIGKILL)
        eventually(lambda: events(app).count("restart_failed") >= 4)
        assert len(list(opened.iterdir())) < before
        resource.prlimit(who["loop"], resource.RLIMIT_NOFILE, (4096, 4096))
        eventually(lambda: events(app)[-1] == "recovered")
        more_results(app)
        assert len(list(opened.iterdir())) == before
        [failed] = {record["message"] for record in records(app, "event") if record["kind"] == "restart_failed"}
        assert failed.startswith("the engine cannot be started: Too many open files; raise the limit")
        ends_well(app)


@pytest.fixture
def few_processes() -> Iterator[Path]:
    """A control group that may have so many processes and threads as is written into its ``pids.max``."""
    group = Path("/sys/fs/cgroup/pids") / f"edge-sdk-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("counting processes takes root and control groups of version 1")
    yield group
    eventually(lambda: not (group / "tasks").read_text())
    group.rmdir()


@pytest.mark.parametrize(
    ("limit", "supervise", "said"),
    [
        (2, "--supervise", "edge-sdk: the application: it cannot be started: Resource temporarily unavailable"),
        (2, "--no-supervise", "error: the engine cannot be started: Resource temporarily unavailable"),
        (3, "--no-supervise", "error: no thread can be started for the source"),
    ],
)
def test_too_few_processes_are_one_message(
    limit: int, supervise: str, said: str, few_processes: Path, tmp_path: Path
) -> None:
    (few_processes / "pids.max").write_text(str(limit))
    prefix = ("sh", "-c", f'echo $$ > {few_processes}/cgroup.procs; exec "$@"', "sh")
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = one_run(
        tmp_path, "--results", "1", supervise, prefix=("env", *(f"{k}={v}" for k, v in one_thread.items()), *prefix)
    )
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert "raise the limit: ulimit -u, or TasksMax= in a systemd unit" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """The time of day of programs that have this environment. The machine's own is everybody's: it is set in the virtual machine only."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: apt install gcc libc6-dev")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c"], check=True)
    return Clock(tmp_path)


class Clock:
    """The time of day, which can be set."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "shift"
        self.environment = {"LD_PRELOAD": str(folder / "clock.so"), "CLOCK_SHIFT": str(self._file)}

    def shift(self, days: int) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(str(days * 86_400))
        beside.replace(self._file)


def test_a_clock_set_back_a_day_changes_nothing(clock: Clock, tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app"), env=clock.environment) as app:
        more_results(app)
        clock.shift(-1)
        more_results(app, 10)
        clock.shift(1)
        more_results(app, 10)
        results = records(app, "result")
        assert len({result["utc"][:10] for result in results}) >= 3, "it was set back, and forward"
        assert all(0 < result["age_ms"] < 5_000 for result in results)
        assert events(app) == []
        ends_well(app)
        assert app.state()["counted"] == {"starts": 1, "stopped": 1}


def test_no_duration_is_taken_from_a_clock_that_can_be_set() -> None:
    """Only what is shown to people, or sent in a protocol, has the time of day."""
    allowed = {"sinks/jsonl.py", "remote/faults.py"}  # of a record; told where a certificate is not valid yet
    clocks = {"time", "time_ns", "now", "utcnow", "today", "gmtime", "localtime", "CLOCK_REALTIME"}
    found = set()
    for file in HOME.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                {alias.name for alias in node.names}
                if isinstance(node, ast.ImportFrom) and node.module == "time"
                else set()
            )
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in {"time", "datetime", "date"}
            ):
                names = {node.attr}
            if names & clocks:
                found.add(file.relative_to(HOME).as_posix())
    assert found == allowed


@pytest.fixture
def tenth_of_a_processor() -> Iterator[Path]:
    """A control group whose processes get 10 ms of every 100 ms, together."""
    group = Path("/sys/fs/cgroup/cpu") / f"edge-sdk-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text("100000")
        (group / "cpu.cfs_quota_us").write_text("10000")
    except OSError:
        pytest.skip("taking the processor away takes root and control groups of version 1")
    yield group
    eventually(lambda: not (group / "tasks").read_text())
    group.rmdir()


@pytest.mark.slow
def test_with_a_tenth_of_a_processor_results_are_late_and_nobody_is_taken_for_frozen(
    tenth_of_a_processor: Path, tmp_path: Path
) -> None:
    path = app_toml(
        tmp_path / "app", deadline_ms=20, source="kind = 'replay'\npath = 'numbers.npy'\nrate_hz = 2000\nloop = true"
    )
    with supervised(path) as app:
        more_results(app, 50)
        starved = {app.process.pid, *descendants(app.process.pid)}
        for pid in starved:
            (tenth_of_a_processor / "cgroup.procs").write_text(str(pid))
        begin = len(records(app, "result"))
        more_results(app, 100, within_s=60)
        time.sleep(8)  # longer than the loop's budget
        results = records(app, "result")[begin:]
        late = [result for result in results if result["age_ms"] > 20]
        assert late, "it was starved"
        assert all(result["late"] == (result["age_ms"] > 20) for result in results)
        assert {app.process.pid, *descendants(app.process.pid)} == starved, "nothing was started again"
        app.signal(signal.SIGTERM)
        assert app.ends(20) == 143, app.said()
        assert app.state()["counted"] == {"starts": 1, "stopped": 1}
        assert exact(app)


@pytest.mark.slow  # it is weighed every ten seconds
def test_an_engine_that_grows_is_started_anew(tmp_path: Path) -> None:
    """Everything that the application has started is weighed: here the engine's process alone is too large."""
    with supervised(app_toml(tmp_path / "app", supervisor="memory_mb = 5\nrecycle_s = 3600")) as app:
        more_results(app)
        before = family(app)
        app.says("MB, above 5 MB; it is started anew", within_s=25)
        eventually(lambda: not any(is_alive(pid) for name, pid in before.items() if name != "guard"))
        more_results(app)
        app.says("it goes on, as it was started anew within the last 3600 s", within_s=25)
        ends_well(app)
        assert app.state()["counted"] == {"starts": 2, "recycled": 1, "stopped": 1}


@root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="giving rights away takes setpriv")
@pytest.mark.parametrize(("how", "said"), [("forbidden", "may not be opened by this user"), ("busy", "is in use")])
def test_a_watchdog_that_may_not_be_opened_is_one_message(how: str, said: str, tmp_path: Path) -> None:
    """Root without its capabilities meets another user's device, and a terminal whose owner wants it alone (EBUSY)."""
    ours, terminal = os.openpty()
    device = Path(os.ttyname(terminal))
    if how == "forbidden":
        device = tmp_path / "watchdog"
        os.mknod(device, 0o600 | 0o020000, os.makedev(10, 130))
        os.chown(device, 65534, 65534)
    fcntl.ioctl(terminal, termios.TIOCEXCL)
    settings = f"[watchdog]\ndevice = '{device}'"
    done = one_run(
        tmp_path, "--results", "1", supervisor=settings, prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    )
    os.close(ours)
    os.close(terminal)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"edge-sdk: {device} {said}" in done.stderr


@pytest.mark.slow
def test_an_engine_stuck_in_the_kernel_is_left_behind_and_the_loop_goes_on(freezer: Path, tmp_path: Path) -> None:
    with supervised(app_toml(tmp_path / "app", loop="hang_ms = 200")) as app:
        more_results(app)
        who = family(app)
        (freezer / "tasks").write_text(str(who["engine"]))
        (freezer / "freezer.state").write_text("FROZEN")
        eventually(lambda: "recovered" in events(app))
        more_results(app)
        assert events(app) == ["hang", "abandoned", "recovered"]
        assert is_alive(who["engine"])
        assert is_alive(who["loop"])
        (freezer / "freezer.state").write_text("THAWED")
        eventually(lambda: not is_alive(who["engine"]))
        ends_well(app)
        assert app.state()["counted"] == {"starts": 1, "stopped": 1}


SECRET = "hunter-2-hunter"


def told(folder: Path, *streams: str) -> str:
    """All that a run has written, its settings left out."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name not in {"app.toml", "secret"}]
    return "\n".join([*streams, *(file.read_text(errors="replace") for file in files)])


def titles(pids: set[int]) -> str:
    """What ``ps`` shows of processes."""
    return "\n".join(Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ") for pid in pids)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("kind = 'rtsp'\nurl = 'rtsp://me:{secret}@127.0.0.1:{port}/cam'\ntimeout_s = 1", "rtsp://me:***@127.0.0.1"),
        ("kind = 'mqtt'\naddress = '//127.0.0.1:{port}/open/x'\nuser = 'me'\npassword_file = 'secret'", "127.0.0.1"),
        ("kind = 'mqtt'\naddress = '//me:{secret}@127.0.0.1:{port}/open/x'", "do not belong into an address"),
        ("kind = 'rtsp'\nurl = 'http://me:{secret}@127.0.0.1:{port}/cam'", "rtsp://user:password@host"),
        ("kind = 'mqtt'\naddress = '//127.0.0.1:{port}/open/x'\npassword = '{secret}'", "password: no such key"),
    ],
)
def test_a_password_is_told_nowhere(source: str, shown: str, tmp_path: Path) -> None:
    """A source that cannot be had says all that it ever says of its settings."""
    if "mqtt" in source:
        pytest.importorskip("paho", reason="the extra mqtt")
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    done = one_run(folder, source=source.format(secret=SECRET, port=free_port()))
    assert done.returncode in (1, 2)
    assert shown in done.stdout + done.stderr
    assert SECRET not in told(folder, done.stdout, done.stderr)
    assert done.stderr.startswith(("error: ", "deadline_too_short")), "and no library says anything in between"
    assert "Traceback" not in done.stderr


def connected(port: int) -> bool:
    """Whether somebody is connected to this port of ours."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(local.endswith(f":{port:04X}") and state == "01" for _, local, _, state, *_ in lines)


def test_a_password_is_told_nowhere_while_it_runs(tmp_path: Path) -> None:
    """A broker that knows the password, goes away and stays so, until the application is given up."""
    pytest.importorskip("paho", reason="the extra mqtt")
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker")
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    source = f"kind = 'mqtt'\naddress = '//127.0.0.1:{broker.port}/open/x'\nuser = 'me'\npassword_file = 'secret'"
    try:
        with supervised(app_toml(folder, source=source, loop="reopen_s = 0.3", supervisor="crash_limit = 1")) as app:
            eventually(lambda: connected(broker.port))
            shown = titles({app.process.pid, *descendants(app.process.pid)})
            broker.stop()
            assert app.ends(20) == 1
    finally:
        broker.stop()
    assert "edge_sdk" in shown
    assert SECRET not in shown
    everything = told(folder)
    assert "the broker went away" in everything
    assert "giving up" in everything
    assert SECRET not in everything


def test_a_password_is_in_no_unit(tmp_path: Path) -> None:
    path = app_toml(tmp_path / "app", source=f"kind = 'rtsp'\nurl = 'rtsp://me:{SECRET}@127.0.0.1/cam'")
    command = [sys.executable, "-m", "edge_sdk.cli", "service", "install", str(path), "--print"]
    environment = {**os.environ, "PYTHONPATH": str(HOME.parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert "ExecStart=" in done.stdout, done.stderr
    assert SECRET not in done.stdout + done.stderr
