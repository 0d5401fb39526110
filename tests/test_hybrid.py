"""A server helps where it pays, by each policy, and no result is late or lost that the device could have made in time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.accounting import Counts
from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.write import stored_files, write_bundle
from edge_sdk.contract import Contract
from edge_sdk.engines.isolation import open_engine
from edge_sdk.errors import ConfigError, EdgeSdkError
from edge_sdk.loop import Loop
from edge_sdk.tasks.settings import KeywordSettings, RawSettings
from tests.faulty_server import FaultyServer
from tests.hybrid_bench import INPUT, NULL, OUTPUT, QUICK, Bench, answer, make_bundle
from tests.small_bundles import Numbers
from tests.streaming_model import sum_model


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
        bench.until(lambda: bench.remote.rescued >= 1)
        bench.more(5, by="null")
        server.let_go()
        bench.until(lambda: bench.remote.late >= 1)
    assert not any(result.late for result in bench.results)
    assert bench.remote.kept_back["local"] >= 10, "first the local engine's times are learned"


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


def test_the_policy_remote_runs_nothing_here_and_counts_what_is_late_and_lost(
    tmp_path: Path, server: FaultyServer
) -> None:
    with Bench(tmp_path, server, remote={"policy": "remote", "timeout_ms": 600}) as bench:
        bench.more(3, by="remote")
        server.faults.append("stall 0.3")
        bench.until(lambda: any(result.late for result in bench.results))
        server.faults.append("never")
        bench.until(lambda: bench.remote.failed == {"timeout": 1} and bench.remote.state == "closed")
        server.faults.append("error")
        bench.until(lambda: bench.remote.failed == {"timeout": 1, "error": 1} and bench.remote.state == "closed")
        assert bench.loop.report().counts.lost == 2 and bench.remote.rescued == 0
        server.down()
        bench.until(lambda: bench.loop.report().counts.lost >= 10)
        server.up()
        bench.more(3)
    assert bench.remote.failed["timeout"] == 1
    assert "server v2-rest" in bench.loop.report().engine and set(bench.loop.report().served) == {"null on remote"}


def test_a_connection_that_hangs_leaves_the_others_to_the_policy_remote(tmp_path: Path, server: FaultyServer) -> None:
    remote = {"policy": "remote", "in_flight": 2, "timeout_ms": 60_000}
    with Bench(tmp_path, server, remote=remote, hang_ms=300) as bench:
        bench.more(3)
        server.faults.append("never")
        bench.until(lambda: server.done["never"] == 1)
        bench.more(10, by="remote")
        assert bench.remote.in_flight >= 1, "the one that hangs is under way yet"
    assert bench.loop.report().counts.lost == 1


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


def test_a_task_without_score_is_refused(tmp_path: Path, server: FaultyServer) -> None:
    with pytest.raises(ConfigError, match=r"no score of one sample\. Use prefer = remote"):
        Bench(tmp_path, server, task=RawSettings()).loop.__enter__()


@pytest.mark.parametrize(("policy", "operators"), [("hybrid", {}), ("remote", {"VAR_HANDLE": 1})])
def test_a_model_that_remembers_is_refused(
    tmp_path: Path, server: FaultyServer, policy: str, operators: dict[str, int]
) -> None:
    model = sum_model()
    engine = open_engine("litert", model, isolation="none")
    files = {"model": model}
    variant = Variant(
        id="tflite-int8",
        kind="tflite-int8",
        file="model",
        inputs=engine.inputs,
        outputs=engine.outputs,
        operators=operators,
    )
    manifest = Manifest(
        name="sum",
        created_by="a test",
        contract=Contract(input="tensor"),
        task=RawSettings(),
        variants=(variant,),
        files=stored_files(files),
    )
    write_bundle(tmp_path / "sum.edge", manifest, files)
    remote = {"url": server.url, **QUICK, "policy": policy, "prefer": "remote"}
    with pytest.raises(ConfigError, match="remembers what it saw"):
        Loop(tmp_path / "sum.edge", Numbers(3), deadline_ms=50, remote=remote).__enter__()
    assert not [thread for thread in threading.enumerate() if thread.name == "remote"]


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


@pytest.mark.parametrize("refractory_ms", [0.0, 60_000.0])
@pytest.mark.parametrize("prefer", ["local", "remote"])
def test_both_sides_go_on_from_the_same_memory(
    tmp_path: Path, server: FaultyServer, prefer: str, refractory_ms: float
) -> None:
    """A word that only the server hears, in every window: new to it wherever the local engine has served before, but for the time for which
    nothing is to be reported, whoever reported last."""
    task = KeywordSettings(kind="keyword", activation="softmax", threshold=0.35, refractory_ms=refractory_ms)
    with Bench(tmp_path, server, task=task, remote={"prefer": prefer}) as bench:
        for _ in range(3):
            bench.more(3, by="remote")
            server.faults.append("error")
            bench.more(1, by="null")
    heard = [(False, False)] + [(r.by.endswith("remote"), r.value.keyword is not None) for r in bench.results]
    began = [after[1] for before, after in itertools.pairwise(heard) if after[0] and not before[0]]
    went_on = [after[1] for before, after in itertools.pairwise(heard) if after[0] and before[0]]
    assert began[0] and len(began) >= 3 and not any(went_on)
    assert all(began) if not refractory_ms else not any(began[1:])
