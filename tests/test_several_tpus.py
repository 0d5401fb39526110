"""Pool, segments and scheduler on simulated Edge TPUs in the real interpreter: faults of the device, and closing in the middle of one."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.edgetpu_port import UsbPort
from edge_sdk.edgetpu.scheduler import Scheduler
from edge_sdk.edgetpu.segments import Segments
from edge_sdk.edgetpu.usb import UsbReset
from edge_sdk.engines.process import ProcessEngine
from edge_sdk.engines.several import open_together
from edge_sdk.errors import DeviceError, EngineError
from edge_sdk.sharing.pool import Pool, on_devices
from tests.device_engines import STEP_S
from tests.edgetpu_delegate import Bench, Device, checksum
from tests.edgetpu_models import compiled_model, custom
from tests.examples_run import ROOT, run
from tests.processes import descendants, open_descriptors
from tests.supervised import eventually
from tests.tiny_models import TinyModel

ONES = np.ones((1, 4), np.int8)


def segment(number: int) -> bytes:
    net = TinyModel()
    first, last = (net.tensor(f"t{number + end}", (1, 4), dtype="INT8") for end in range(2))
    custom(net, [first], [last], b"segment %d" % number)
    return net.build([first], [last])


@pytest.fixture
def library(edgetpu_library: Path) -> dict[str, str]:
    return {"library": str(edgetpu_library)}


@pytest.mark.parametrize("kind", ["hang", "crash", "error"])
def test_a_pool_goes_on_with_one_tpu_while_the_other_needs_a_usb_reset(
    kind: Any, edgetpu_bench: Bench, library: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [edgetpu_bench.add(name) for name in ("usb0", "usb1")]
    port = UsbPort(edgetpu_bench, devices[0])
    reset = UsbReset("usb:0", ioctl=port.ioctl)
    monkeypatch.setattr("edge_sdk.engines.edgetpu.usb_reset", lambda wanted: reset if wanted == "usb:0" else None)
    before = open_descriptors(), descendants(), threading.active_count()
    openers = on_devices("edgetpu", compiled_model(), ["usb:0", "usb:1"], hang_ms=150, options=library)
    with Pool(openers, retries=1) as pool:
        devices[0].order(kind, cure="reset", after=2)
        expected = (ONES.view(np.uint8) + np.uint8(checksum(b"package") % 256)).view(np.int8)

        def recovered() -> bool:
            for request in pool.map([[ONES]] * 8):
                assert (request.result(STEP_S)[0] == expected).all()
            return bool(pool.report().devices[0].recoveries)

        eventually(recovered, 20)
        report = pool.report()
    assert devices[0].resets >= 1
    assert report.counts.done == report.counts.submitted
    assert report.event_counts["device_reset"] == devices[0].resets
    assert (open_descriptors(), descendants(), threading.active_count()) == before


def test_a_tpu_that_is_pulled_out_joins_again_when_it_comes_back(edgetpu_bench: Bench, library: dict[str, str]) -> None:
    devices = [edgetpu_bench.add(name) for name in ("usb0", "pci0")]
    openers = on_devices("edgetpu", compiled_model(), ["usb:0", "pci:0"], hang_ms=150, options=library)
    with Pool(openers, retries=1) as pool:
        devices[0].vanish()
        while pool.report().devices[0].state == "in":
            assert pool.run([ONES])
        devices[0].come_back()
        eventually(lambda: pool.run([ONES]) and pool.report().devices[0].state == "in", 20)
        assert pool.report().counts.failed == 0


def test_two_processes_for_one_tpu_are_refused_and_one_for_both_models_is_not(
    edgetpu: Device, library: dict[str, str]
) -> None:
    with ProcessEngine("edgetpu", segment(0), library, hang_ms=1_000), pytest.raises(DeviceError):
        ProcessEngine("edgetpu", segment(1), library, hang_ms=1_000)
    engines = open_together("edgetpu", {"0": segment(0), "1": segment(1)}, hang_ms=1_000, options=library)
    with Segments(list(engines.values())) as segments:  # both on one device, one after the other
        segments.push({"t0": ONES})
        assert segments.pop() is not None


Opened = tuple[Any, Callable[[], object]]


def pooled(library: dict[str, str]) -> Opened:
    pool = Pool(on_devices("edgetpu", compiled_model(), ["usb:0"], hang_ms=600_000, options=library))
    return pool, lambda: pool.submit([ONES])


def cut(library: dict[str, str]) -> Opened:
    segments = Segments([ProcessEngine("edgetpu", segment(0), library, hang_ms=600_000)])
    return segments, lambda: segments.push({"t0": ONES})


def scheduled(library: dict[str, str]) -> Opened:
    models = {"one": compiled_model(b"one"), "other": compiled_model(b"other")}
    tpu = Scheduler(open_together("edgetpu", models, hang_ms=600_000, options=library))
    return tpu, lambda: tpu.submit("one", [ONES])


@pytest.mark.parametrize("opened", [pooled, cut, scheduled])
def test_closing_during_a_hang_takes_seconds_not_the_hang_budget(
    opened: Callable[[dict[str, str]], Opened], edgetpu: Device, library: dict[str, str]
) -> None:
    before = descendants(), threading.active_count()
    runs, ask = opened(library)
    with runs:
        edgetpu.order("hang")
        for _ in range(2):
            ask()
        eventually(lambda: edgetpu.strikes("hang"))
        began = time.monotonic()
    assert time.monotonic() - began < 6
    counts = runs.report().counts
    assert (counts.failed, counts.in_flight) == (2, 0)
    assert (descendants(), threading.active_count()) == before
    with pytest.raises(EngineError, match="closed"):
        ask()


EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/several-tpus.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "by usb:"), (1, "{'t2': (1, 4)}"), (2, "pose: 10 runs")],
    ids=["pool", "segments", "scheduler"],
)
def test_the_examples_of_the_documentation_run_as_written(
    number: int,
    said: str,
    edgetpu_bench: Bench,
    edgetpu_library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("usb0", "usb1"):
        edgetpu_bench.add(name)
    for name, content in (
        ("detector", compiled_model()),
        ("face", compiled_model(b"face")),
        ("pose", compiled_model(b"pose", shape=(1, 8))),
        ("large_segment_0_of_2", segment(0)),
        ("large_segment_1_of_2", segment(1)),
    ):
        (tmp_path / f"{name}_edgetpu.tflite").write_bytes(content)
    (tmp_path / "example.py").write_text(EXAMPLES[number])
    monkeypatch.setenv("LD_LIBRARY_PATH", str(edgetpu_library.parent))
    assert said in run(tmp_path, "example.py")


def test_every_example_is_run() -> None:
    assert len(EXAMPLES) == 3
