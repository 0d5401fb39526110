"""Measuring beside a loop: the loop goes on at once and on time, the choice serves its next start, and nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sdk.edgetpu.devices import list_devices
from edge_sdk.loop import Loop
from edge_sdk.result import Event
from edge_sdk.tune import background as background_module
from edge_sdk.tune.background import Background
from edge_sdk.tune.pace import BackgroundPace, LoopGone, MissPage
from edge_sdk.tune.store import file_of
from edge_sdk.watchdog.plan import STATE_VARIABLE
from tests.edgetpu_delegate import Device
from tests.edgetpu_models import both_bundle
from tests.processes import descendants, is_alive, open_descriptors
from tests.small_bundles import Numbers
from tests.supervised import eventually
from tests.test_tune_store import CHAINS, Tensors
from tests.tune_bundles import chain_bundle


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))
    return tmp_path / "state"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return chain_bundle(tmp_path / "a.edge", CHAINS)


def tuned_messages(told: list[Event]) -> list[str]:
    return [each.message for each in told if each.kind == "tuned"]


@pytest.mark.slow
def test_the_loop_goes_on_with_the_default_and_its_next_start_takes_the_choice(
    bundle: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = descendants()  # of tests before
    monkeypatch.setattr(background_module, "DUTY", 0.5)
    monkeypatch.setattr(background_module, "BUDGET_S", 60.0)
    told: list[Event] = []
    source = Paced(0.05)
    settings: dict[str, object] = {"tuned": "background", "engine_options": {"threads": "1"}, "on_event": told.append}
    with Loop(bundle, source, deadline_ms=1_000, **settings) as loop:  # type: ignore[arg-type]
        variants = {result.variant for result in loop if not source.stop_if(bool(tuned_messages(told)))}
    assert variants == {"slow"}
    (said,) = tuned_messages(told)
    assert said.startswith("fast on litert") and "is taken at the next start" in said
    assert file_of(state, bundle).is_file()
    told.clear()
    with Loop(bundle, Tensors(2), deadline_ms=1_000, tuned="background", on_event=told.append) as loop:
        assert {result.variant for result in loop} == {"fast"}
    assert "runs, as measured here" in tuned_messages(told)[0]
    assert descendants() <= others


class Paced(Tensors):
    """Gives a sample every so many seconds, until it is told to stop."""

    live = True

    def __init__(self, period_s: float) -> None:
        super().__init__(1_000_000)
        self._period_s = period_s

    def stop_if(self, ended: bool) -> bool:
        if ended:
            self.left = 0
        return ended

    def _read(self):  # type: ignore[no-untyped-def]
        import time

        time.sleep(self._period_s)  # the pace of a camera
        return super()._read()


def test_a_loop_that_ends_takes_it_along_at_once(bundle: Path) -> None:
    others = descendants()  # of tests before
    before = open_descriptors()
    with Loop(bundle, Tensors(3), deadline_ms=1_000, tuned="background") as loop:
        assert loop._tuning._background is not None
        pid = loop._tuning._background.pid
        assert is_alive(pid)
        assert len(list(loop)) == 3
    assert not is_alive(pid)
    assert descendants() <= others and open_descriptors() == before


@pytest.mark.slow
def test_a_loop_that_is_killed_takes_it_along(bundle: Path, tmp_path: Path) -> None:
    program = f"""
from edge_sdk.loop import Loop
from tests.test_tune_background import Paced
with Loop({str(bundle)!r}, Paced(0.02), deadline_ms=1_000, tuned="background") as loop:
    for result in loop:
        print(loop._tuning._background.pid, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as loop:
        assert loop.stdout is not None
        pid = int(loop.stdout.readline())
        eventually(lambda: len(descendants(pid)) >= 1, within_s=30)  # a fork server: it measures
        family = {pid, *descendants(pid)}
        loop.send_signal(signal.SIGKILL)
        loop.wait()
        eventually(lambda: not any(map(is_alive, family)), within_s=30)


def test_it_gives_way(bundle: Path) -> None:
    others = descendants()  # of tests before
    background = Background(bundle, None, {})
    try:
        eventually(lambda: niceness(background.pid) == 19, within_s=30)
        (server,) = eventually_some(lambda: descendants(background.pid))
        assert niceness(server) == 19
        for pid in (background.pid, server):
            group = Path(f"/proc/{pid}/autogroup")
            if group.exists():
                eventually(lambda group=group: group.read_text().endswith("nice 19\n"))  # type: ignore[misc]
    finally:
        background.close()
    assert descendants() <= others


def eventually_some(find):  # type: ignore[no-untyped-def]
    eventually(find, within_s=30)
    return find()


def niceness(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


def test_it_waits_while_the_loop_misses_and_ends_with_it() -> None:
    import os
    import time

    page, (read, write) = MissPage(), os.pipe()
    try:
        pace = BackgroundPace(MissPage(os.dup(page.fd)), read, duty=0.999)
        began = time.monotonic()
        pace.wait()
        assert time.monotonic() - began < 1
        page.missed()
        began = time.monotonic()
        pace.wait()
        assert 1.5 < time.monotonic() - began < 5 and pace.idle_s > 1.5
        page.missed()
        os.close(write)
        with pytest.raises(LoopGone):
            pace.wait()
    finally:
        os.close(read)
        page.close()


def test_it_takes_its_share_of_the_time_only() -> None:
    import os
    import time

    page, (read, write) = MissPage(), os.pipe()
    pace = BackgroundPace(page, read, duty=0.1)
    end = time.monotonic() + 0.02
    while time.monotonic() < end:  # a step
        pass
    pace.wait()
    assert pace.idle_s >= 0.17
    for fd in (read, write):
        os.close(fd)
    page.close()


def test_what_goes_wrong_is_said_once(bundle: Path, tmp_path: Path) -> None:
    background = Background(tmp_path / "gone.edge", None, {})
    try:
        background._process.wait(30)
        assert "measuring beside the loop came to no choice" in str(background.news())
    finally:
        background.close()
    background = Background(bundle, None, {})
    try:
        background._process.kill()
        background._process.wait()
        assert "ended without a choice (exit code -9)" in str(background.news())
    finally:
        background.close()


def test_a_loop_runs_where_no_process_can_be_started_beside_it(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Event] = []
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Loop(
        bundle, Tensors(3), deadline_ms=1_000, isolation="none", tuned="background", on_event=told.append
    ) as loop:
        assert len(list(loop)) == 3
    assert "a process cannot be started: /no/such/python: No such file" in tuned_messages(told)[0]
    before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        Background(bundle, None, {})
    assert open_descriptors() == before


def test_an_accelerator_is_not_taken_from_the_loop(edgetpu_library: Path, edgetpu: Device, tmp_path: Path) -> None:
    assert list_devices()
    told: list[Event] = []
    path = both_bundle(tmp_path / "both.edge", kinds=("edgetpu", "tflite-int8"))
    options = {"library": str(edgetpu_library)}
    with Loop(
        path, Numbers(3), deadline_ms=1_000, engine_options=options, tuned="background", on_event=told.append
    ) as loop:
        assert loop._tuning._background is None
        assert len(list(loop)) == 3  # the first ones by what stands by, perhaps
    (said,) = tuned_messages(told)
    assert "as it holds the Edge TPU; stop it, and run: edge-sdk tune" in said
