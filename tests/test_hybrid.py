"""A server helps where it pays, by each policy, and whatever it does, no result is late or lost that the device could have made in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.accounting import Counts
from edge_sdk.bundle.golden import golden_inputs, golden_outputs
from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.engines.faulty import order_fault
from edge_sdk.errors import ConfigError, EdgeSdkError
from edge_sdk.hybrid.figures import RemoteFigures
from edge_sdk.loop import Loop
from edge_sdk.loop_report import LoopReport
from edge_sdk.result import Event, Result
from edge_sdk.tasks.settings import ClassifySettings, KeywordSettings, RawSettings, TaskSettings
from edge_sdk.tensors import Array, TensorSpec
from tests.faulty_server import FaultyServer
from tests.processes import open_descriptors
from tests.small_bundles import Numbers
from tests.test_loop_ladder import Ticking

INPUT, OUTPUT = TensorSpec("input", (1, 4), "float32"), TensorSpec("output", (1, 4), "float32")
NULL = {"input": "1,4 float32", "output": "1,4 float32"}
DEADLINE_MS, PERIOD_S = 60.0, 0.03
QUICK = {"first_wait_s": 0.02, "longest_wait_s": 0.05, "healthy_s": 0.0, "protocol": "v2-rest", "model": "model"}


def answer(tensor: Array) -> tuple[Array, ...]:
    """What the server's model makes of a tensor; the local engine gives zeros."""
    return (tensor * 0 + np.array([0.1, 0.9, 0.2, 0.3], np.float32),)


def make_bundle(path: Path, task: TaskSettings, *, golden: bool = True) -> Path:
    samples = [np.full(4, number, np.float32) for number in (1, 2)]
    files = {"model": b"nothing"}
    if golden:
        files["golden/inputs.npz"] = golden_inputs(samples)
        files["golden/null.npz"] = golden_outputs([answer(sample[None]) for sample in samples])
    variant = Variant(
        id="null", kind="null", file="model", inputs=(INPUT,), outputs=(OUTPUT,),
        golden="golden/null.npz" if golden else None, golden_tolerance=0.01,
    )  # fmt: skip
    manifest = Manifest(
        schema_version=3,
        name="null",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=task,
        variants=(variant,),
        golden_inputs="golden/inputs.npz" if golden else None,
        files=stored_files(files),
    )
    write_bundle(path, manifest, files)
    return path


class Bench:
    """A loop on a null engine with faults, helped by a server with faults; it runs in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        server: FaultyServer,
        *,
        task: TaskSettings | None = None,
        golden: bool = True,
        remote: dict[str, object] | None = None,
        period_s: float = PERIOD_S,
        **settings: object,
    ) -> None:
        self.orders, self.server = folder / "orders", server
        self.events: list[Event] = []
        self.results: list[Result] = []
        self.failure: EdgeSdkError | None = None
        self._told = threading.Condition()
        bundle = make_bundle(folder / "null.edge", task or ClassifySettings(kind="classify"), golden=golden)
        given = {"engine": "null", "engine_options": NULL, "isolation": "none", "deadline_ms": DEADLINE_MS}
        self.loop = Loop(
            bundle,
            Ticking(100_000, period_s),
            on_event=self._tell,
            remote={"url": server.url, **QUICK, **(remote or {})},
            **{**given, **settings},  # type: ignore[arg-type]
        )
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Bench:
        self.loop.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.loop.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert_accounts(self.loop.report())

    def until(self, condition: Callable[[], bool]) -> None:
        """Looked at with every event and result, and now and then, as what is lost tells nobody."""
        until = time.monotonic() + 20
        with self._told:
            while not (condition() or self.failure is not None):
                assert time.monotonic() < until, (self.events, self.loop.report().remote)
                self._told.wait(0.02)
        if self.failure:
            raise self.failure

    def until_event(self, kind: str, count: int = 1) -> Event:
        self.until(lambda: self.kinds().count(kind) >= count)
        return [event for event in self.events if event.kind == kind][count - 1]

    def more(self, count: int, by: str | None = None) -> list[Result]:
        """So many further results, by the server (``"remote"``) or not (``"null"``)."""
        seen = len(self.results)
        self.until(lambda: len([r for r in self.results[seen:] if by is None or r.by.endswith(by)]) >= count)
        return self.results[seen:]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def remote(self) -> RemoteFigures:
        figures = self.loop.report().remote
        assert figures is not None
        return figures

    def _run(self) -> None:
        try:
            for result in self.loop:
                with self._told:
                    self.results.append(result)
                    self._told.notify_all()
        except EdgeSdkError as exc:  # raised in the test's thread
            with self._told:
                self.failure = exc
                self._told.notify_all()

    def _tell(self, event: Event) -> None:
        with self._told:
            self.events.append(event)
            self._told.notify_all()


def assert_accounts(report: LoopReport) -> None:
    c, remote = report.counts, report.remote
    assert c.captured == c.on_time + c.late + c.dropped + c.skipped + c.lost + c.in_flight
    assert remote is not None
    assert remote.asked == remote.used + remote.late + sum(remote.failed.values()) + remote.in_flight


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(answer, (INPUT,), (OUTPUT,)) as made:
        yield made


def test_an_uncertain_local_value_is_replaced_by_the_servers(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server) as bench:
        results = bench.more(5, by="remote")
    best = results[-1].value[0]
    assert results[-1].by == "null on remote" and (best.index, best.score) == (1, pytest.approx(0.9))
    assert not any(result.late for result in results)
    report = bench.loop.report()
    assert report.served["null on remote"] >= 5 and set(report.served) <= {"null on remote", "null on null"}
    assert "remote_up" in bench.kinds() and bench.remote.state == "closed" and bench.remote.proofs["passed"] >= 1


def test_a_certain_local_value_is_not_asked_about(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server, task=KeywordSettings(kind="keyword")) as bench:  # zeros: nothing was said
        bench.until_event("remote_up")
        bench.more(10)
    assert bench.remote.asked == 0 and bench.remote.kept_back["certain"] >= 10


def test_the_local_value_stands_ready_while_the_server_stalls(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server, remote={"timeout_ms": 20_000}) as bench:
        bench.more(3, by="remote")
        asked = server.asked
        server.always = "stall 60"
        server.until_asked(asked + 1)
        stalled = bench.more(10, by="null")
        server.always = "ok"
        server.let_go()
        bench.more(3, by="remote")
    assert not any(result.late for result in stalled)
    assert bench.remote.late >= 1 and bench.remote.kept_back["busy"] >= 5
    counts = bench.loop.report().counts
    assert counts.lost == counts.late == 0


def test_the_server_is_preferred_and_the_local_engine_begins_in_time(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server, remote={"prefer": "remote", "timeout_ms": 20_000}) as bench:
        bench.more(10, by="remote")
        asked = server.asked
        server.faults.append("stall 60")
        server.until_asked(asked + 1)
        bench.until(lambda: bench.remote.rescued == 1)
        bench.more(5, by="null")
        server.let_go()
        bench.until(lambda: bench.remote.late == 1)
    assert not any(result.late for result in bench.results)
    assert bench.remote.kept_back["local"] >= 10, "first the local engine's times are learned"


BAD = [
    "error",
    "redirect",
    "garbage",
    "no json",
    "shape",
    "dtype",
    "nan",
    "empty",
    "cut head",
    "cut body",
    "close",
    "reset",
]
TIMES = {"close": 2, "reset": 2}  # the client itself tries a connection once more that was closed before an answer


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("prefer", ["local", "remote"])
def test_a_bad_answer_is_never_a_result_and_the_server_must_prove_itself(
    tmp_path: Path, server: FaultyServer, fault: str, prefer: str
) -> None:
    with Bench(tmp_path, server, remote={"prefer": prefer}) as bench:
        bench.more(3, by="remote")
        proofs = bench.remote.proofs["passed"]
        server.faults.extend([fault] * TIMES.get(fault, 1))
        event = bench.until_event("remote_down")
        bench.until(lambda: bench.remote.proofs["passed"] > proofs)
        bench.more(3, by="remote")
    reason = "wrong" if fault == "nan" else "error"
    assert bench.remote.failed == {reason: 1} and bench.remote.rescued >= 1
    assert all(r.value[0].score in (0, pytest.approx(0.9)) for r in bench.results)
    assert bench.loop.report().counts.lost == 0 and not any(result.late for result in bench.results)
    assert event.message


def test_no_answer_at_all_is_given_up_at_the_servers_own_time_limit(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server, remote={"timeout_ms": 100}) as bench:
        bench.more(3, by="remote")
        server.faults.append("never")
        bench.until_event("remote_down")
        bench.more(3, by="remote")
    assert bench.remote.failed == {"timeout": 1} and not any(result.late for result in bench.results)


@pytest.mark.parametrize("prefer", ["local", "remote"])
def test_a_server_with_another_model_is_fast_and_wrong_and_stays_out(
    tmp_path: Path, server: FaultyServer, prefer: str
) -> None:
    server.always = "wrong"
    with Bench(tmp_path, server, remote={"prefer": prefer}) as bench:
        event = bench.until_event("remote_down")
        bench.until(lambda: bench.remote.proofs["failed"] >= 3)
        assert {result.by for result in bench.results} == {"null on null"} and bench.remote.asked == 0
        server.always = "ok"
        bench.more(1, by="remote")
    assert "as if it had another model" in event.message
    assert bench.kinds().count("remote_down") == 1, "said once"


def test_a_model_that_changes_while_it_is_asked_is_seen_by_the_next_proof(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server, remote={"prove_s": 0.2}) as bench:
        bench.more(3, by="remote")
        server.always = "wrong"
        bench.until_event("remote_down")
        seen = len(bench.results)
        bench.more(5)
    assert {result.by for result in bench.results[seen:]} == {"null on null"}


def test_without_golden_vectors_it_is_said_and_a_change_is_seen(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server, golden=False, remote={"prove_s": 0.2}) as bench:
        bench.more(3, by="remote")
        server.always = "wrong"
        event = bench.until_event("remote_down")
    assert "remote_unproven" in bench.kinds() and "its own first answer" in event.message


def test_a_server_that_is_away_at_the_start_or_goes_away_is_had_back(tmp_path: Path, server: FaultyServer) -> None:
    server.down()
    with Bench(tmp_path, server) as bench:
        assert "nothing listens there" in bench.until_event("remote_down").message
        bench.more(3, by="null")
        server.up()
        bench.more(3, by="remote")
        server.down()
        bench.until(lambda: bench.remote.state != "closed")
        bench.more(3, by="null")
        server.up()
        bench.more(3, by="remote")
    assert bench.loop.report().counts.lost == 0 and bench.loop.report().counts.late == 0


@pytest.mark.parametrize("prefer", ["local", "remote"])
def test_a_slow_server_is_not_asked_until_it_is_fast_again(tmp_path: Path, server: FaultyServer, prefer: str) -> None:
    server.always = "stall 0.2"
    with Bench(tmp_path, server, remote={"prefer": prefer}) as bench:
        event = bench.until_event("remote_slow")
        bench.until(lambda: bench.remote.proofs["passed"] >= 3)
        assert bench.remote.used == 0
        server.always = "ok"
        bench.more(3, by="remote")
    assert "is too long for" in event.message
    assert not any(result.late for result in bench.results) and bench.remote.turns["open"] >= 1


def test_a_server_is_not_waited_for_until_the_next_frame_is_dropped(tmp_path: Path, server: FaultyServer) -> None:
    server.always = "stall 0.05"  # would be in time for the deadline
    with Bench(tmp_path, server, deadline_ms=500, remote={"prefer": "remote"}) as bench:
        bench.until(lambda: bench.remote.proofs["passed"] >= 2)
        bench.more(10)
    assert bench.remote.used == 0 and bench.loop.report().counts.dropped <= 3


def test_a_server_may_cost_frames_where_that_is_wanted(tmp_path: Path, server: FaultyServer) -> None:
    server.always = "stall 0.05"
    with Bench(tmp_path, server, deadline_ms=500, remote={"prefer": "remote", "keep_up": False}) as bench:
        bench.more(10, by="remote")
    assert bench.loop.report().counts.late == 0


@pytest.mark.parametrize("prefer", ["local", "remote"])
def test_the_server_serves_for_a_local_engine_that_crashed(tmp_path: Path, server: FaultyServer, prefer: str) -> None:
    options = {"orders": str(tmp_path / "orders"), "inner": "null", **NULL}
    given: dict[str, object] = {
        "engine": "faulty",
        "engine_options": options,
        "isolation": "process",
        "deadline_ms": 900,
    }
    with Bench(tmp_path, server, period_s=0.1, remote={"prefer": prefer, "margin_ms": 5}, **given) as bench:
        bench.more(3, by="remote")
        if prefer == "remote":
            server.faults.append("stall 0.12")  # the local engine begins before, and dies
        order_fault(bench.orders, "crash")
        bench.until(lambda: "recovered" in bench.kinds())
        bench.more(3, by="remote")
    assert bench.loop.report().counts.lost == 0
    assert [recovery.kind for recovery in bench.loop.report().recoveries] == ["crash"]


def test_the_policy_remote_runs_nothing_here_and_counts_what_is_late_and_lost(
    tmp_path: Path, server: FaultyServer
) -> None:
    with Bench(tmp_path, server, remote={"policy": "remote", "timeout_ms": 300}) as bench:
        bench.more(3, by="remote")
        server.faults.append("stall 0.1")
        bench.until(lambda: any(result.late for result in bench.results))
        server.faults.append("never")
        bench.until(lambda: bench.remote.failed == {"timeout": 1} and bench.remote.state == "closed")
        server.faults.append("error")
        bench.until(lambda: bench.remote.failed == {"timeout": 1, "error": 1} and bench.remote.state == "closed")
        assert bench.loop.report().counts.lost == 2
        server.down()
        bench.until(lambda: bench.loop.report().counts.lost >= 10)
        server.up()
        bench.more(3)
    assert bench.remote.failed["timeout"] == 1
    assert "server v2-rest" in bench.loop.report().engine and set(bench.loop.report().served) == {"null on remote"}


def test_the_policy_remote_takes_nothing_from_another_model(tmp_path: Path, server: FaultyServer) -> None:
    server.always = "wrong"
    with Bench(tmp_path, server, remote={"policy": "remote"}) as bench:
        bench.until_event("remote_down")
        bench.until(lambda: bench.loop.report().counts.lost >= 3)
        assert not bench.results
        server.always = "ok"
        bench.more(3)


def test_no_more_bytes_than_allowed_go_over_the_network(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server, remote={"bytes_per_day": 12_000}) as bench:
        bench.more(2, by="remote")
        bench.until_event("remote_bytes")
        bench.more(10, by="null")
    assert 4_000 < bench.remote.transferred_bytes <= 12_000 and bench.remote.kept_back["bytes"] > 5
    assert bench.kinds().count("remote_bytes") == 1


def test_nothing_is_left_behind_also_where_a_request_is_under_way(tmp_path: Path, server: FaultyServer) -> None:
    before, threads = open_descriptors(), threading.active_count()
    with Bench(tmp_path, server, remote={"timeout_ms": 60_000}) as bench:
        bench.more(3, by="remote")
        asked = server.asked
        server.always = "never"
        server.until_asked(asked + 1)
        began = time.monotonic()
    assert time.monotonic() - began < 2 and bench.remote.failed["given up"] == 1
    server.down()
    assert threading.active_count() <= threads and open_descriptors() <= before


def test_a_stateful_model_and_a_task_without_score_are_refused(tmp_path: Path, server: FaultyServer) -> None:
    with pytest.raises(ConfigError, match=r"no score of one sample\. Use prefer = remote"):
        Bench(tmp_path, server, task=RawSettings()).loop.__enter__()


def test_a_wrong_setting_is_named(tmp_path: Path, server: FaultyServer) -> None:
    for wrong, said in (
        ({"colour": "red"}, "colour: no such key"),
        ({"policy": "cloud"}, "policy"),
        ({"variant": "x"}, "'x'"),
    ):
        folder = tmp_path / said.partition(":")[0].strip("'")
        folder.mkdir()
        with pytest.raises(EdgeSdkError, match=said):
            Bench(folder, server, remote=wrong).loop.__enter__()


def test_the_policy_local_asks_nobody(tmp_path: Path, server: FaultyServer) -> None:
    given = {"engine": "null", "engine_options": NULL, "deadline_ms": 50}
    bundle = make_bundle(tmp_path / "a.edge", RawSettings())
    with Loop(bundle, Numbers(3), remote={"url": server.url, **QUICK, "policy": "local"}, **given) as loop:  # type: ignore[arg-type]
        assert [result.by for result in loop] == ["null on null"] * 3
    assert loop.report().remote is None and loop.report().counts == Counts(3, 3)


def test_what_a_report_says_of_a_server(tmp_path: Path, server: FaultyServer) -> None:
    with Bench(tmp_path, server) as bench:
        bench.more(3, by="remote")
    text = "\n".join(bench.loop.report().lines())
    assert f"remote (hybrid, prefer local): v2-rest http://127.0.0.1:{server.port}" in text and "used" in text
    assert bench.loop.report().as_dict()["remote"]["proofs"]["passed"] >= 1  # type: ignore[index]


@pytest.mark.parametrize("prefer", ["local", "remote"])
def test_nothing_is_taken_over_a_new_connection_from_another_model(
    tmp_path: Path, server: FaultyServer, prefer: str
) -> None:
    """Such as a server that was restarted between two requests: the client connects again, and nothing fails."""
    with Bench(tmp_path, server, remote={"prefer": prefer}) as bench:
        bench.more(5, by="remote")
        server.down()
        server.always = "wrong"
        server.up()
        bench.until_event("remote_down")
        bench.more(5)
    values = {round(result.value[0].score, 3) for result in bench.results}
    assert values <= {0.0, 0.9}, "the wrong model's are others"


def test_a_server_that_closes_every_connection_is_asked_all_the_same(tmp_path: Path, server: FaultyServer) -> None:
    server.keeps = False
    with Bench(tmp_path, server) as bench:
        bench.more(5, by="remote")
    assert bench.remote.used >= 5 and not bench.remote.failed
