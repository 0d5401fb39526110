"""The expected time of an inference: published times are met without the model in question, and more work never takes less."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.edgetpu_architectures import ARCHITECTURES
from benchmarks.edgetpu_latency import PUBLISHED, fitted_processors, fitted_times, leave_one_out, on_usb2
from converters.targets.edgetpu.latency import estimate, times
from converters.targets.edgetpu.memory import Memory
from converters.targets.edgetpu.work import Work
from edge_sdk.edgetpu.plan import Host
from edge_sdk.edgetpu.swap import MS_A_MEGABYTE, START_MS, swap_ms
from tests.edgetpu_plans import plan_of

NUMBERS = st.integers(0, 10**9)
WORK = Work("conv", True, 10**8, 10**6, 10**6)
MEMORY = Memory(3_000_000, 3_000_000, 0, 150_528, 1_008)


def test_published_times_are_met_by_what_the_other_models_tell() -> None:
    rows = leave_one_out()
    assert len(rows) == 21
    median = statistics.median(abs(row.error) for row in rows)
    assert median < 0.25
    assert median == pytest.approx(times().median_error, abs=0.001)
    within = [row for row in rows if times().spread[0] <= row.published_ms / row.predicted_ms <= times().spread[1]]
    assert len(within) >= 0.8 * len(rows), "the range that is printed holds eight of ten"


def test_the_table_holds_what_the_fit_gives() -> None:
    fitted = fitted_times()
    for host in ("usb3", "dev-board"):
        stored = times().hosts[host]
        assert stored.start == pytest.approx(fitted["start"], rel=0.01)
        assert stored.gmacs == pytest.approx(fitted["gmacs"], rel=0.01)
        assert stored.activations == pytest.approx(fitted["activations"], rel=0.01)
        assert stored.streamed == pytest.approx(fitted[f"{host}.streamed"], rel=0.01)
        assert stored.processor == pytest.approx(fitted[f"{host}.processor"], rel=0.01)
        assert times().processors[host].model_dump() == pytest.approx(fitted_processors()[host].model_dump(), rel=0.01)


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        ("MobileNet v1 224", 0.57),
        ("DenseNet 224", 2.83),
        ("ResNet-50 V1 299", 7.21),
        ("MobileNet v2 224", 0.30),
        ("Inception v1 224", 1.5),
        ("VGG16 224", 15.5),
    ],
)
def test_architectures_have_the_multiplications_of_their_papers(name: str, gmacs: float) -> None:
    assert sum(work.macs for work in ARCHITECTURES[name]().works) / 1e9 == pytest.approx(gmacs, rel=0.05)


@given(NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_more_work_never_takes_less(macs: int, elements: int, streamed: int, mapped: bool) -> None:
    before = estimate([WORK], MEMORY)
    more = estimate([WORK, Work("conv", mapped, macs, elements, 0)], replace(MEMORY, streamed=streamed))
    for less, most in zip(before, more, strict=True):
        assert all(most[host].ms >= less[host].ms for host in less)


def test_an_estimate_says_its_range_and_whether_it_was_measured_at_all() -> None:
    tpu, cpu = estimate([WORK], MEMORY)
    assert {host for host, each in tpu.items() if each.extrapolated} == {"usb2", "pcie"}
    assert all(each.low_ms < each.ms < each.high_ms for each in (*tpu.values(), *cpu.values()))


def test_a_tiny_model_is_faster_on_the_processor() -> None:
    tpu, cpu = estimate([Work("dense", True, 100_000, 784, 128)], Memory(100_000, 100_000, 0, 784, 16))
    assert cpu["usb3"].ms < tpu["usb3"].ms


def test_usb_2_is_met_within_its_wider_range() -> None:
    rows = on_usb2()
    tpu, _ = estimate([WORK], MEMORY)
    low, high = tpu["usb2"].low_ms / tpu["usb2"].ms, tpu["usb2"].high_ms / tpu["usb2"].ms
    assert low < times().spread[0] < times().spread[1] < high
    assert statistics.median(abs(row.error) for row in rows) < 0.25
    assert all(low <= row.published_ms / row.predicted_ms <= high for row in rows)


def test_a_host_never_knows_the_times_of_the_model_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "DeepLab V3 513x513"
    before = [row.predicted_ms for row in leave_one_out() if row.model == name]
    monkeypatch.setitem(PUBLISHED, name, (9.0, 9.0, 9.0, 9.0))
    assert [row.predicted_ms for row in leave_one_out() if row.model == name] == before


# Of MobileNetV2: google-coral/edgetpu#497 and #793 on USB 2; github.com/ksivamuthu/cloud-edge-tpu-demo on USB 3.
@pytest.mark.parametrize(
    ("host", "first_ms", "next_ms"), [("usb3", 11.8, 3.0), ("usb2", 159.9, 18.6), ("usb2", 164.7, 19.3)]
)
def test_a_first_inference_takes_the_swap_longer(host: Host, first_ms: float, next_ms: float) -> None:
    assert swap_ms(plan_of(cached_bytes=4_100_000), host) == pytest.approx(first_ms - next_ms, rel=0.25)


def test_a_model_without_cached_parameters_swaps_for_nothing() -> None:
    assert swap_ms(plan_of(cached_bytes=0), "usb3") == 0


def test_the_device_and_the_workstation_know_the_same_links() -> None:
    for host, of in times().hosts.items():
        assert START_MS[host] == pytest.approx(of.start, rel=0.01)
        assert MS_A_MEGABYTE[host] == pytest.approx(of.streamed, rel=0.01)


def test_a_model_that_maps_nowhere_has_no_time_on_the_edge_tpu() -> None:
    tpu, cpu = estimate([replace(WORK, mapped=False)], Memory(0, 0, 0, 0, 0))
    assert tpu == {}
    assert cpu["usb3"].ms > 0
