"""Which request runs next, in simulated time: what can be on time by deadlines is, with far fewer swaps, and nobody starves."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.edgetpu.costs import Cost
from edge_sdk.edgetpu.policy import Job, Policy, choose
from edge_sdk.edgetpu.swap_watch import SwapWatch

MS_NS = 1_000_000
COSTS = {"a": Cost(2.0, 5.0), "b": Cost(3.0, 7.0), "c": Cost(1.0, 2.0)}
Next = Callable[[list[Job], str | None, int], Job]


def by_deadline(waiting: list[Job], loaded: str | None, now_ns: int) -> Job:
    return waiting[0]


def by_arrival(waiting: list[Job], loaded: str | None, now_ns: int) -> Job:
    return min(waiting, key=lambda job: job.number)


def in_turn(waiting: list[Job], loaded: str | None, now_ns: int) -> Job:
    """Round-robin over the models that wait."""
    models = sorted({job.model for job in waiting})
    following = next((model for model in models if loaded is None or model > loaded), models[0])
    return next(job for job in waiting if job.model == following)


def ours(waiting: list[Job], loaded: str | None, now_ns: int) -> Job:
    return choose(waiting, loaded, now_ns, COSTS)


def cost_ns(job: Job, loaded: str | None) -> int:
    cost = COSTS[job.model]
    return round((cost.run_ms + cost.swap_ms * (job.model != loaded)) * MS_NS)


@dataclass
class Outcome:
    on_time: int = 0
    missed: int = 0
    swaps: int = 0
    ran: list[str] = field(default_factory=list)


def simulate(jobs: Sequence[Job], pick: Next) -> Outcome:
    """Run jobs by their ``since_ns``; what cannot be on time any more is left out, by all alike."""
    outcome = Outcome()
    coming = sorted(jobs, key=lambda job: (job.since_ns, job.number))
    waiting: list[Job] = []
    now_ns, loaded = 0, None
    while coming or waiting:
        while coming and coming[0].since_ns <= now_ns:
            waiting.append(coming.pop(0))
        alive = [job for job in waiting if now_ns + cost_ns(job, loaded) <= job.deadline_ns]
        outcome.missed += len(waiting) - len(alive)
        waiting = sorted(alive)
        if not waiting:
            if coming:
                now_ns = max(now_ns, coming[0].since_ns)
            continue
        job = pick(waiting, loaded, now_ns)
        waiting.remove(job)
        now_ns += cost_ns(job, loaded)
        outcome.swaps += job.model != loaded
        loaded = job.model
        outcome.on_time += 1
        outcome.ran.append(job.model)
    return outcome


def arrivals(seed: int, seconds: float, rates: dict[str, float], deadline_ms: tuple[float, float]) -> list[Job]:
    """Requests of each model at random moments, with deadlines in this range."""
    rng = random.Random(seed)
    times: list[tuple[int, str]] = []
    for model, rate in rates.items():
        at_s = rng.expovariate(rate)
        while at_s < seconds:
            heapq.heappush(times, (round(at_s * 1e9), model))
            at_s += rng.expovariate(rate)
    ordered = [heapq.heappop(times) for _ in range(len(times))]
    return [
        Job(at_ns + round(rng.uniform(*deadline_ms) * MS_NS), number, model, since_ns=at_ns)
        for number, (at_ns, model) in enumerate(ordered)
    ]


BATCH = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 120)), min_size=1, max_size=14)


@settings(max_examples=500)
@given(batch=BATCH)
def test_of_what_waits_as_many_are_on_time_as_by_deadline_alone(batch: list[tuple[str, int]]) -> None:
    jobs = [Job(deadline_ms * MS_NS, number, model) for number, (model, deadline_ms) in enumerate(batch)]
    assert simulate(jobs, ours).on_time >= simulate(jobs, by_deadline).on_time


@settings(max_examples=200)
@given(batch=st.lists(st.sampled_from("abc"), min_size=1, max_size=20))
def test_with_time_enough_there_is_one_swap_a_model(batch: list[str]) -> None:
    jobs = [Job(10_000 * MS_NS + number, number, model) for number, model in enumerate(batch)]
    outcome = simulate(jobs, ours)
    assert outcome.missed == 0
    assert outcome.swaps == len(set(batch))


@settings(max_examples=200)
@given(batch=BATCH)
def test_what_is_on_time_by_deadlines_is_so_with_no_more_swaps(batch: list[tuple[str, int]]) -> None:
    jobs = [Job(deadline_ms * MS_NS, number, model) for number, (model, deadline_ms) in enumerate(batch)]
    other = simulate(jobs, by_deadline)
    if not other.missed:
        outcome = simulate(jobs, ours)
        assert outcome.missed == 0
        assert outcome.swaps <= other.swaps


@pytest.mark.parametrize("load", [0.5, 0.8, 1.0, 1.3], ids=lambda load: f"load-{load}")
def test_arrivals_at_random_miss_less_and_swap_far_less_than_in_turn(load: float) -> None:
    """Load is runs alone over time: with a swap for each, the device would be overloaded by three and more."""
    rates = {model: load * 1_000 / 3 / cost.run_ms for model, cost in COSTS.items()}
    missed, swaps = dict.fromkeys("odt", 0), dict.fromkeys("odt", 0)
    for seed in range(3):
        jobs = arrivals(seed, 4.0, rates, (60, 200))
        for name, pick in (("o", ours), ("d", by_deadline), ("t", in_turn)):
            outcome = simulate(jobs, pick)
            missed[name] += outcome.missed
            swaps[name] += outcome.swaps
    assert swaps["o"] < (0.7 if load == 0.5 else 0.4) * swaps["t"]  # where little waits there is little to choose from
    assert missed["o"] <= missed["d"]
    assert missed["o"] < 0.5 * missed["t"]
    if load <= 0.8:
        assert missed["o"] < 0.01 * 4 * 3 * sum(rates.values())


def test_the_loaded_model_goes_on_only_while_nobody_misses_by_it() -> None:
    a, b = Job(1_000 * MS_NS, 0, "a"), Job(12 * MS_NS, 1, "b")
    assert choose([b, a], "a", 0, COSTS) is a  # 2 + 3 + 7 = 12: b is just on time behind it
    assert choose([b, a], "a", 1, COSTS) is b
    assert choose([b, a], "c", 0, COSTS) is b


def run_policy(policy: Policy, jobs: list[Job], until_ns: int) -> list[tuple[int, Job]]:
    """Which ran when."""
    ran: list[tuple[int, Job]] = []
    now_ns = 0
    coming = list(jobs)
    while now_ns < until_ns:
        while coming and coming[0].since_ns <= now_ns:
            policy.add(coming.pop(0))
        loaded = policy.loaded
        job, _ = policy.next(now_ns)
        if job is None:
            if not coming:
                break
            now_ns = max(now_ns + 1, coming[0].since_ns)
            continue
        ran.append((now_ns, job))
        now_ns += cost_ns(job, loaded)
    return ran


def test_no_model_starves_under_the_others_deadlines() -> None:
    """Each b, with the swaps to it and back, costs the time of seven a, so counting alone would never run one."""
    hurried = [Job((2 * n + 9) * MS_NS, n, "a", since_ns=2 * n * MS_NS) for n in range(2_000)]
    rare = [Job((40 * n + 30) * MS_NS, 10_000 + n, "b", since_ns=40 * n * MS_NS) for n in range(100)]
    jobs = sorted([*hurried, *rare], key=lambda job: job.since_ns)
    policy = Policy(COSTS, patience_ms=200)
    ran = run_policy(policy, jobs, 4_000 * MS_NS)
    at_ms = [at_ns / MS_NS for at_ns, job in ran if job.model == "b"]
    assert max(b - a for a, b in zip([0.0, *at_ms], [*at_ms, 4_000.0], strict=True)) < 2 * 200 + 100
    assert sum(job.model == "a" for _, job in ran) > 0.9 * len(hurried)  # and the others pay little for it


def test_a_late_one_is_run_although_others_that_can_be_on_time_keep_coming() -> None:
    late = Job(0, 999_999, "a", may_be_late=True)
    others = [Job((2 * n + 6) * MS_NS, n, "a", since_ns=2 * n * MS_NS) for n in range(1, 1_000)]
    ran = run_policy(Policy(COSTS, patience_ms=100), [late, *others], 2_000 * MS_NS)
    (at_ns,) = [at_ns for at_ns, job in ran if job.number == late.number]
    assert at_ns < 2 * 100 * MS_NS


def test_what_cannot_be_on_time_is_handed_back_or_run_behind_the_others() -> None:
    policy = Policy(COSTS, patience_ms=1_000)
    policy.add(Job(1 * MS_NS, 0, "a"))
    policy.add(Job(1 * MS_NS, 1, "a", may_be_late=True))
    policy.add(Job(100 * MS_NS, 2, "b"))
    job, hopeless = policy.next(0)
    assert job is not None
    assert (job.number, [each.number for each in hopeless]) == (2, [0])
    job, hopeless = policy.next(10 * MS_NS)
    assert job is not None
    assert (job.number, hopeless, len(policy)) == (1, [], 0)
    assert policy.next(20 * MS_NS) == (None, [])


def test_under_overload_what_is_late_anyway_does_not_swap_all_the_time() -> None:
    jobs = [Job(0, n, "ab"[n % 2], may_be_late=True) for n in range(200)]
    ran = run_policy(Policy(COSTS, patience_ms=50), jobs, 10_000 * MS_NS)
    swaps = sum(one.model != other.model for (_, one), (_, other) in pairwise(ran))
    assert len(ran) == 200
    assert swaps <= 2 * ran[-1][0] / MS_NS / 50 + 2


def test_what_swaps_cost_is_said_once_with_figures_and_what_to_do() -> None:
    watch = SwapWatch(0.1)
    said = [watch.ran("ab"[n % 2], "ba"[n % 2] if n else None, 8.0, n * 10 * MS_NS) for n in range(2_000)]
    (found,) = [each for each in said if each is not None]
    assert found.models == ("a", "b")
    assert found.share == pytest.approx(0.8, abs=0.01)
    told = found.advice({"a": 3_000_000, "b": 4_000_000})
    assert "a and b put each other off the device: 800 ms of each second (80%)" in told
    assert "3.0 + 4.0 MB fit the chip's 8" in told
    assert "too large for the chip's 8 MB (3.0 + 6.0 MB)" in found.advice({"a": 3_000_000, "b": 6_000_000})
    assert "their plans say" in found.advice({"a": 3_000_000})
    quiet = SwapWatch(0.1)
    assert not any(quiet.ran("ab"[n % 2], "ba"[n % 2], 0.5, n * 10 * MS_NS) for n in range(2_000))
