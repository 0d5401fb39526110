"""The expected time of an inference: published times are met without the model in question, and more work never takes less."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.edgetpu_architectures import ARCHITECTURES
from benchmarks.edgetpu_latency import fitted_processors, fitted_times, leave_one_out
from converters.targets.edgetpu.latency import estimate, times
from converters.targets.edgetpu.work import Load, Work
from edge_sdk.edgetpu.swap import swap_ms
from tests.edgetpu_plans import plan_of

NUMBERS = st.integers(0, 10**9)
WORK = Work("conv", True, 10**8, 10**6, 10**6)
LOAD = Load(3_000_000, 0, 150_528, 1_008)


def test_published_times_are_met_by_what_the_other_models_tell() -> None:
    rows = leave_one_out()
    assert len(rows) == 20
    assert statistics.median(abs(row.error) for row in rows) < 0.25
    within = [row for row in rows if times().spread[0] <= row.published_ms / row.predicted_ms <= times().spread[1]]
    assert len(within) >= 16, "the range that is printed holds eight of ten"


def test_the_table_holds_what_the_fit_gives() -> None:
    fitted = fitted_times()
    for host in ("usb3", "dev-board"):
        stored = times().hosts[host]
        assert stored.start == pytest.approx(fitted["start"], rel=0.01)
        assert stored.gmacs == pytest.approx(fitted["gmacs"], rel=0.01)
        assert stored.activations == pytest.approx(fitted["activations"], rel=0.01)
        assert stored.streamed == pytest.approx(fitted[f"{host}.streamed"], rel=0.01)
        assert stored.processor == pytest.approx(fitted[f"{host}.processor"], rel=0.01)
        assert times().processors[host].model_dump() == pytest.approx(fitted_processors()[host], rel=0.01)


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [("MobileNet v1 224", 0.57), ("MobileNet v2 224", 0.30), ("Inception v1 224", 1.5), ("VGG16 224", 15.5)],
)
def test_architectures_have_the_multiplications_of_their_papers(name: str, gmacs: float) -> None:
    assert sum(work.macs for work in ARCHITECTURES[name]().works) / 1e9 == pytest.approx(gmacs, rel=0.05)


@given(NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_more_work_never_takes_less(macs: int, elements: int, streamed: int, mapped: bool) -> None:
    before = estimate([WORK], LOAD)
    more = estimate([WORK, Work("conv", mapped, macs, elements, 0)], replace(LOAD, streamed=streamed))
    for less, most in zip(before, more, strict=True):
        assert all(most[host].ms >= less[host].ms for host in less)


def test_an_estimate_says_its_range_and_whether_it_was_measured_at_all() -> None:
    tpu, cpu = estimate([WORK], LOAD)
    assert {host for host, each in tpu.items() if each.extrapolated} == {"usb2", "pcie"}
    assert all(each.low_ms < each.ms < each.high_ms for each in (*tpu.values(), *cpu.values()))


def test_a_tiny_model_is_faster_on_the_processor() -> None:
    tpu, cpu = estimate([Work("dense", True, 100_000, 784, 128)], Load(100_000, 0, 784, 16))
    assert cpu["usb3"].ms < tpu["usb3"].ms


def test_two_models_in_turn_load_their_parameters_each_time() -> None:
    plan = plan_of(cached_bytes=5_000_000)
    assert 8 < swap_ms(plan, "usb3") < 13, (
        "2.3 ms became 13 where two models evict each other (google-coral/coralmicro#48)"
    )
    assert swap_ms(plan, "usb2") > 10 * swap_ms(plan, "usb3")
    assert swap_ms(plan_of(cached_bytes=0), "usb3") == 0


def test_a_model_that_maps_nowhere_has_no_time_on_the_edge_tpu() -> None:
    tpu, cpu = estimate([replace(WORK, mapped=False)], Load(0, 0, 0, 0))
    assert tpu == {}
    assert cpu["usb3"].ms > 0
