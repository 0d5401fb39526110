"""Whatever a server does that helps a loop, no result is wrong, late or lost by it; and it must prove itself before it is asked again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.engines.faulty import order_fault
from tests.faulty_server import FaultyServer
from tests.hybrid_bench import INPUT, NULL, OUTPUT, Bench, answer
from tests.processes import open_descriptors


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(answer, (INPUT,), (OUTPUT,)) as made:
        yield made


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
