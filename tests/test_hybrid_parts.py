"""The parts of hybrid inference, each with a clock that the test turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_sdk.app import App, read_app
from edge_sdk.errors import ConfigError, RemoteAnswerError, RemoteError, RemoteTimeoutError
from edge_sdk.hybrid.asking import RemoteRequest
from edge_sdk.hybrid.bandwidth import Bandwidth
from edge_sdk.hybrid.breaker import Breaker
from edge_sdk.hybrid.certainty import certainty_of
from edge_sdk.hybrid.clock import WaitClock
from edge_sdk.hybrid.figures import RemoteFigures
from edge_sdk.hybrid.proof import check_finite
from edge_sdk.hybrid.recent import Recent
from edge_sdk.hybrid.settings import RemoteSettings, help_from, remote_settings_from
from edge_sdk.hybrid.teller import Teller
from edge_sdk.hybrid.trust import Trust
from edge_sdk.result import Event
from edge_sdk.sources import Sample
from edge_sdk.tasks.anomaly import Anomaly
from edge_sdk.tasks.classify import ClassScore
from edge_sdk.tasks.detect import Detection
from edge_sdk.tasks.keyword import Spotting
from edge_sdk.tasks.pose import Pose
from edge_sdk.tasks.settings import (
    AnomalySettings,
    ClassifySettings,
    DetectSettings,
    KeywordSettings,
    PoseSettings,
    RawSettings,
)
from edge_sdk.tensors import TensorSpec

S = 10**9
SERVER = {"url": "https://host:8443", "protocol": "v2-rest", "model": "face"}
ACTIVE = RemoteSettings(**SERVER)  # type: ignore[arg-type]


def breaker(**changes: float) -> Breaker:
    return Breaker(**{"first_wait_s": 1.0, "longest_wait_s": 8.0, "healthy_s": 30.0, **changes})


def test_a_breaker_begins_open_with_a_proof_due() -> None:
    made = breaker()
    assert made.state == "open" and made.due(0)
    made.prove()
    assert made.state == "half_open" and not made.due(S)
    made.passed(S)
    assert made.state == "closed" and not made.due(100 * S)


def test_what_fails_for_the_first_time_in_long_is_proven_at_once() -> None:
    made = breaker()
    made.passed(0)
    made.failed("error", 40 * S)
    assert made.state == "open" and made.due(40 * S) and made.reason == "error"


def test_what_fails_again_and_again_waits_ever_longer() -> None:
    made, now, waits = breaker(), 0, []
    for _ in range(12):
        made.failed("error", now)
        began = now
        while not made.due(now):
            now += S // 100
        waits.append((now - began) / S)
        made.prove()
    for wait, longest in zip(waits, (1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8), strict=True):
        assert longest / 2 - 0.01 <= wait <= longest + 0.01


def test_a_server_that_comes_and_goes_is_not_forgiven_until_it_was_healthy() -> None:
    made, now = breaker(), 0
    for _ in range(5):
        made.passed(now)
        now += 2 * S
        made.failed("error", now)
    assert not made.due(now + 3 * S), "the waits have grown beyond 4 s"
    made.passed(now)
    made.failed("error", now + 31 * S)
    assert made.due(now + 31 * S)
    assert made.turns["open"] == made.turns["closed"] == 6


def test_a_seconds_bytes_hold_on_average_and_a_days_absolutely() -> None:
    made = Bandwidth(1_000, 10_000, 0)
    assert made.allows(3_000, 0)
    made.spend(3_000)
    assert not made.allows(1, 2 * S) and made.allows(1, 3 * S)
    made.spend(6_500)
    assert not made.allows(600, 3_600 * S) and made.allows(500, 3_600 * S)
    assert made.allows(600, 24 * 3_600 * S), "a new day"
    assert made.used == 9_500
    assert Bandwidth(None, None, 0).allows(10**12, 0)


def test_a_sliding_window_forgets_by_count_and_by_age() -> None:
    made = Recent(20, age_s=10)
    assert made.quantile(0.95) == np.inf
    for number in range(40):
        made.add(number, 0)
    assert made.count(0) == 20 and made.quantile(0.95) == 38 and made.quantile(0.5) == 29 and made.quantile(1) == 39
    assert made.count(11 * S) == 0


def sample(number: int, period_ms: float) -> Sample:
    return Sample(np.zeros(1), number, round(number * period_ms * 1e6))


def clock(deadline_ms: float = 100.0, period_ms: float = 50.0, local_ms: float = 10.0, **changes: bool) -> WaitClock:
    made = WaitClock(deadline_ms, 5.0, keep_up=changes.get("keep_up", True), fastest_ms=0.0,
                     live=lambda: changes.get("live", True))  # fmt: skip
    for number in range(20):
        made.see(sample(number, period_ms))
        made.ran(local_ms, number * S)
    return made


def test_the_local_engine_begins_in_time_for_the_deadline_and_for_the_next_sample() -> None:
    assert clock().before_local_ms(0) == 35, "period 50 - local 10 - margin 5"
    assert clock(keep_up=False).before_local_ms(0) == clock(live=False).before_local_ms(0) == 85
    assert clock(keep_up=False).before_local_ms(30) == 55, "30 ms were lost in the queue"
    assert clock().after_local_ms(0) == 45 and clock(keep_up=False).after_local_ms(0) == 95


def test_what_the_local_engine_cannot_keep_anyway_binds_nobody() -> None:
    assert clock(local_ms=200).before_local_ms(0) == 95, "late anyway: the server has the time"
    assert clock(local_ms=60).before_local_ms(0) == 35, "frames are dropped anyway, but it can be on time"
    assert clock(local_ms=97, period_ms=500).before_local_ms(0) == 0, "it can just be on time: it begins at once"


def test_the_local_engines_times_are_known_for_a_while() -> None:
    made = clock()
    assert made.knows_local(20 * S) and not made.knows_local(30 * S)
    assert not WaitClock(100, 5, keep_up=True, fastest_ms=0, live=lambda: True).knows_local(0)


def request(*took_ms: float, failure: RemoteError | None = None) -> RemoteRequest:
    return RemoteRequest((), lambda number, outputs: None, proof=True, took_ms=list(took_ms), failure=failure)


def trusted(said: list[str], *took_ms: float, **settings: float) -> Trust:
    made = Trust(ACTIVE.model_copy(update=settings), 0, lambda kind, message: said.append(kind))
    made.proof_began()
    made.proof_ended(request(999, *took_ms), 0)
    return made


def test_a_server_is_asked_where_its_p95_fits() -> None:
    said: list[str] = []
    made = trusted(said, 20, 30)
    assert said == ["remote_up"]
    assert made.why_not(31, 0) == "" and made.why_not(29, 0) == "slow" and made.why_not(0, 0) == "no_time"
    assert not made.proof_is_due(59 * S)
    assert made.why_not(100, 61 * S) == "unknown" and made.proof_is_due(61 * S), "what was measured is old"


def test_a_server_too_slow_for_most_samples_is_out_until_it_fits_with_room() -> None:
    said: list[str] = []
    made = trusted(said, 20, 40)
    reasons = [made.why_not(30, 0) for _ in range(11)]
    assert reasons == ["slow"] * 10 + ["out"] and said == ["remote_up", "remote_slow"]
    for took_ms, state in ((29, "open"), (20, "closed")):
        made.proof_began()
        made.proof_ended(request(1, took_ms), 100 * S)
        assert made.breaker.state == state
    assert said == ["remote_up", "remote_slow", "remote_up"], "what stays so is said once"


def test_failures_and_stalls_put_a_server_out_and_near_misses_do_not() -> None:
    for fail in (
        lambda t: t.failed(RemoteTimeoutError("no answer"), S),
        lambda t: t.failed(RemoteAnswerError("wrong"), S),
        lambda t: t.late(1_000, 20, S),
    ):
        made = trusted([], 20, 30)
        fail(made)
        assert made.why_not(100, S) == "out"
    made = trusted([], 20, 30)
    made.late(39, 20, S)
    assert made.why_not(100, S) == ""


def test_an_answer_is_worth_twice_the_p95() -> None:
    assert trusted([], 20, 30).patience_ms(0) == 60 and trusted([], 0.1, 0.1).patience_ms(0) == 5


def test_events_of_a_kind_are_told_once_in_ten_seconds_with_their_number() -> None:
    told: list[Event] = []
    now = [0]
    teller = Teller(told.append, lambda: now[0])
    for second in range(25):
        now[0] = second * S
        teller.say("remote_down", "gone")
    teller.say("remote_up", "back")
    assert [e.message for e in told] == [
        "gone",
        "gone (9 more like it since the last)",
        "gone (9 more like it since the last)",
        "back",
    ]


def test_how_the_server_is_at_last_is_told_once_the_ten_seconds_are_over() -> None:
    told: list[Event] = []
    now = [0]
    teller = Teller(told.append, lambda: now[0])
    for second, kind in enumerate(("remote_down", "remote_up", "remote_down", "remote_up")):
        now[0] = second * S
        teller.say(kind, kind)
        teller.tend()
    assert [e.kind for e in told] == ["remote_down", "remote_up"]
    now[0] = 11 * S - 1
    teller.tend()
    teller.say("remote_down", "remote_down")  # it is out again, and that is news once more
    now[0] = 60 * S
    teller.tend()
    assert [e.kind for e in told] == ["remote_down", "remote_up", "remote_down"]
    for second, kind in enumerate(("remote_up", "remote_down", "remote_up"), 61):
        now[0] = second * S
        teller.say(kind, kind)
    now[0] = 71 * S
    teller.tend()
    assert [e.kind for e in told][-1] == "remote_up"
    teller.tend()
    assert len(told) == 6


CLASS, BOX = ClassScore(0, "cat", 0.7), Detection((0, 0, 1, 1), "cat", 0, 0.7)
CERTAIN = [
    (ClassifySettings(kind="classify"), (CLASS,), 0.7, True),
    (ClassifySettings(kind="classify"), (CLASS,), 0.71, False),
    (ClassifySettings(kind="classify"), (), 0.7, False),
    (DetectSettings(kind="detect", boxes="b", anchors="none"), (BOX,), 0.7, True),
    (DetectSettings(kind="detect", boxes="b", anchors="none"), (BOX,), 0.8, False),
    (DetectSettings(kind="detect", boxes="b", anchors="none"), (), 0.8, True),
    (KeywordSettings(kind="keyword"), Spotting(None, {"yes": 0.1, "no": 0.9}), 0.8, True),
    (KeywordSettings(kind="keyword"), Spotting(None, {"yes": 0.1}), 0.8, True),
    (KeywordSettings(kind="keyword"), Spotting(None, {"yes": 0.3, "no": 0.7}), 0.8, False),
    (AnomalySettings(kind="anomaly", score="output"), Anomaly(1.5, 1.0, anomalous=True), 0.8, True),
    (AnomalySettings(kind="anomaly", score="output"), Anomaly(0.9, 1.0, anomalous=False), 0.8, False),
    (AnomalySettings(kind="anomaly", score="output"), Anomaly(float("nan"), 1.0, anomalous=True), 0.8, False),
    (PoseSettings(kind="pose", form="heatmaps"), Pose(((0, 0), (1, 1)), (0.6, 1.0)), 0.8, True),
    (PoseSettings(kind="pose", form="heatmaps"), Pose(((0, 0), (1, 1)), (0.6, 0.9)), 0.8, False),
    (PoseSettings(kind="pose", form="heatmaps"), None, 0.8, True),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "value", "certain", "expected"), CERTAIN)
def test_when_a_value_is_certain(settings: object, value: object, certain: float, expected: bool) -> None:
    assert certainty_of(settings, certain)(value) is expected  # type: ignore[arg-type]


def test_values_without_a_score_of_one_sample_are_refused() -> None:
    for settings in (RawSettings(), AnomalySettings(kind="anomaly", score="output", smoothing_results=3)):
        with pytest.raises(ConfigError, match="Use prefer = remote"):
            certainty_of(settings, 0.8)


def test_what_is_no_number_is_no_answer() -> None:
    spec = (TensorSpec("scores", (2,), "float32"),)
    check_finite((np.ones(2, np.float32),), spec)
    for bad in (np.nan, np.inf):
        with pytest.raises(RemoteAnswerError, match="NaN or infinity in output 'scores'"):
            check_finite((np.array([0, bad], np.float32),), spec)


def test_the_table_of_an_app_toml(tmp_path: Path) -> None:
    text = """
        [model]
        bundle = "face.edge"
        [source]
        kind = "camera"
        device = "0"
        [loop]
        deadline_ms = 50
        [remote]
        url = "https://host:8443"
        protocol = "v2-rest"
        model = "face"
        prefer = "remote"
        ca_file = "ca.pem"
        token_file = "/run/token"
    """
    (tmp_path / "app.toml").write_text(text)
    app = read_app(tmp_path / "app.toml")
    assert isinstance(app, App) and app.remote is not None
    assert (app.remote.prefer, app.remote.policy) == ("remote", "hybrid")
    assert app.remote.ca_file == tmp_path / "ca.pem" and app.remote.token_file == Path("/run/token")
    (tmp_path / "app.toml").write_text(text.replace("prefer", "prefers"))
    with pytest.raises(ConfigError, match=r"remote\.prefers: no such key"):
        read_app(tmp_path / "app.toml")


def test_flags_change_the_table_and_are_enough_by_themselves() -> None:
    assert help_from(None, None, None, None, None) is None
    assert help_from(ACTIVE, None, None, None, None) is ACTIVE
    changed = help_from(ACTIVE, None, None, None, "remote")
    assert changed is not None and (changed.policy, changed.url) == ("remote", ACTIVE.url)
    with pytest.raises(ConfigError, match="--remote: protocol: is missing"):
        help_from(None, "http://host", None, "face", None)
    assert remote_settings_from(ACTIVE.model_copy(update={"policy": "local"})) is None


def test_the_margin_is_a_tenth_of_the_deadline_within_limits() -> None:
    assert [ACTIVE.margin_of(ms) for ms in (10, 30, 1_000)] == [2, 3, 5]
    assert ACTIVE.model_copy(update={"margin_ms": 7.0}).margin_of(10) == 7


def test_a_dead_server_without_a_device_behind_it_is_told_as_such() -> None:
    figures = RemoteFigures(
        server="v2-rest http://host, model m",
        variant="v",
        policy="remote",
        state="open",
        asked=5,
        used=0,
        late=0,
        failed={"error": 5},
        in_flight=0,
        rescued=0,
        kept_back={},
        proofs={"passed": 0, "failed": 2},
        p50_ms=0.0,
        p95_ms=0.0,
        transferred_bytes=0,
        turns={},
    )
    assert figures.lines() == [
        "remote (remote): v2-rest http://host, model m, out",
        "  5 asked: 0 used, 0 late, 5 failed (5 error), 0 in flight",
        "  no answer of late, 0.0 MB; proofs: 0 passed, 2 failed",
    ]
