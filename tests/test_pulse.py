"""Signs of life and counters in shared memory: found through the environment, one slot a loop, whole whoever dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns

import pytest

from edge_sdk.accounting import Accounting, Counts
from edge_sdk.errors import ConfigError
from edge_sdk.watchdog import pulse
from edge_sdk.watchdog.pulse import CAPTURED, DUE_NS, ENDED_NS, LATE, LOST, OWNER, SLOTS, Page


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    page = Page()
    monkeypatch.setenv(pulse.VARIABLE, page.path)
    return page


def test_without_a_supervisor_nobody_looks() -> None:
    alone = pulse.join(budget_s=3)
    alone.beat()
    alone.rung = 2
    assert (alone.supervised, alone.budget_s, alone.rung) == (False, 3, 2)


def test_a_beat_is_due_again_within_the_budget_and_an_end_never(page: Page) -> None:
    joined = pulse.join(budget_s=2)
    slot = page.slots[0]
    assert joined.supervised
    assert (slot[OWNER], slot[DUE_NS]) == (os.getpid(), 0)
    joined.allow(60)
    assert 59e9 < slot[DUE_NS] - monotonic_ns() <= 60e9
    assert not pulse.has_beaten(slot), "it asks for time"
    joined.beat()
    assert 1.9e9 < slot[DUE_NS] - monotonic_ns() <= 2e9
    joined.allow(0.1)
    assert pulse.has_beaten(slot), "also while it asks for time again"
    assert slot[DUE_NS] - monotonic_ns() > 1e9, "never shorter than the budget"
    joined.beat()
    joined.end()
    assert (slot[DUE_NS], slot[OWNER]) == (ENDED_NS, 0)


def test_a_loop_that_ends_before_it_runs_was_never_alive(page: Page) -> None:
    joined = pulse.join()
    joined.allow(60)
    joined.end()
    assert page.slots[0][DUE_NS] == ENDED_NS - 1
    assert not pulse.has_beaten(page.slots[0])


def test_the_supervisors_budget_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(budget_s=7.5)
    monkeypatch.setenv(pulse.VARIABLE, page.path)
    assert pulse.join(budget_s=2).budget_s == 7.5


def test_each_loop_has_its_own_slot_until_there_are_no_more(page: Page) -> None:
    all_of_them = [pulse.join() for _ in range(SLOTS)]
    with pytest.raises(ConfigError, match=f"at most {SLOTS} loops"):
        pulse.join()
    all_of_them[5].end()
    pulse.join()
    assert all(slot[OWNER] for slot in page.slots)


def test_processes_that_join_at_once_never_share_a_slot(page: Page) -> None:
    code = "from edge_sdk.watchdog import pulse; p = pulse.join(); input(); p.cells[pulse.CAPTURED] += 1"
    children = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(6)]
    for child in children:
        child.communicate(b"\n")
    assert [slot[CAPTURED] for slot in page.slots[:7]] == [1] * 6 + [0]
    assert {slot[OWNER] for slot in page.slots[:6]} == {child.pid for child in children}


def test_it_is_found_through_a_launcher_that_closes_descriptors(page: Page) -> None:
    code = "from edge_sdk.watchdog import pulse; pulse.join().beat()"
    launcher = f"import os, subprocess, sys; os.closerange(3, 256); subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    subprocess.run([sys.executable, "-c", launcher], check=True)
    assert page.slots[0][DUE_NS] > 0


@pytest.mark.parametrize("kind", ["gone", "foreign"])
def test_a_page_that_cannot_be_had_is_said(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page"
    if kind == "foreign":
        path.write_bytes(bytes(100))
    monkeypatch.setenv(pulse.VARIABLE, str(path))
    said = {"gone": "cannot be opened: No such file", "foreign": "no page of this edge-sdk"}[kind]
    with pytest.raises(ConfigError, match=said):
        pulse.join()


def test_counts_outlive_a_kill_and_each_life_counts_its_own(page: Page) -> None:
    code = """
import os, signal
from edge_sdk.accounting import Accounting
from edge_sdk.watchdog import pulse
accounting = Accounting(pulse.join())
for n in range(1000):
    accounting.capture()
    if n < 990:
        accounting.settle("on_time")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    slot = page.slots[0]
    assert pulse.in_flight(slot) == 10
    slot[OWNER] = 0
    accounting = Accounting(pulse.join())
    accounting.capture()
    accounting.settle("late")
    assert accounting.counts() == Counts(captured=1, late=1)
    assert accounting.totals() == Counts(captured=1001, on_time=990, late=1, in_flight=10)
    assert slot[LATE] == 1


def test_a_loop_that_has_ended_leaves_the_slot_to_the_next_one(page: Page) -> None:
    first = pulse.join()
    accounting = Accounting(first)
    accounting.capture()
    first.end()
    second = pulse.join()
    second.allow(60)
    due_ns = page.slots[0][DUE_NS]
    Accounting(second).capture()
    first.beat()
    accounting.settle("lost")
    assert page.slots[0][DUE_NS] == due_ns
    assert page.slots[0][LOST] == 0
    assert accounting.counts() == Counts(captured=1, lost=1)
