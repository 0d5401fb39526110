"""What goes wrong in the field, through the whole loop: every item is survived, or ends it with one message.

A part's own tests prove more of that part; here is where each item is proven, first through the whole loop.

    camera unplugged and back        here: test_a_camera_that_goes_and_comes_back
                                     emulation/test_virtual_camera: test_an_unplugged_camera_goes_on_when_it_is_back,
                                     test_a_camera_that_stays_away_ends_the_command
                                     test_frame_sources: test_a_camera_that_stalls_or_dies_is_lost_and_comes_back (RTSP)
    wrong format                     here: test_samples_of_another_form_end_it_with_both_forms
                                     emulation/test_virtual_camera: test_what_cannot_be_had_says_why
    0 frames a second                here: test_a_camera_that_goes_and_comes_back, test_a_sensor_that_falls_silent_is_opened_anew
                                     emulation/test_virtual_camera: test_a_camera_that_hangs_is_left_behind_and_opened_anew
                                     test_source_health: test_the_rate_is_measured_and_falls_to_0_in_silence
    black frames                     here: test_a_black_picture_is_told_and_the_loop_goes_on
    frames of another size           here: test_frames_of_another_size_in_the_middle
    gaps, stuck value, NaN,          here: test_a_sensor_with_everything_wrong_loses_only_the_windows_it_spoils
      time running backwards         test_windows: each of them, and any mixture of them
    audio device taken               here: test_an_audio_device_that_is_taken
                                     test_audio: test_a_card_that_is_pulled_is_lost_and_comes_back
    MQTT broker down for an hour     here: test_a_broker_away_for_an_hour_leaves_nothing_behind
                                     test_mqtt_source: test_a_broker_that_is_killed_and_comes_back_is_survived
    engine hang, crash               test_loop: test_one_fault_costs_one_sample_and_is_reported,
                                     test_a_fault_that_stays_ends_the_loop_loudly
                                     test_hang_recovery, test_faults_of_the_machine: test_each_process_may_be_killed
    engine memory growth             test_faults_of_the_machine: test_an_engine_that_grows_is_started_anew
    wrong output shape               here: test_outputs_of_another_shape_than_the_bundle_states
                                     test_engine_refusals: test_an_output_of_another_shape_than_stated_is_an_error
    source hang inside read()        test_loop: test_a_source_that_hangs_is_left_behind_and_opened_anew
                                     emulation/test_virtual_camera: test_a_camera_that_hangs_is_left_behind_and_opened_anew
    unknown keys, wrong units        test_app_file: test_what_is_wrong_is_named_in_plain_words
                                     test_loop: test_wrong_settings_are_named, test_supervisor_loop: test_a_wrong_setting_is_named
                                     here: test_the_check_of_an_app_toml_looks_at_source_and_sinks
    a deadline that cannot be met    here: test_a_deadline_shorter_than_the_engine_is_said_with_the_figure
    SIGKILL, disk, /dev/shm,         test_faults_of_the_machine
      descriptors, clock, processor, watchdog, a child in the kernel, secrets
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import edge_sdk.backoff
from edge_sdk import Event, Loop, source_from
from edge_sdk.accounting import Counts
from edge_sdk.errors import ContractError, EngineError, SourceError
from edge_sdk.result import Result
from tests.faulty_apps import frames_bundle, one_run
from tests.mqtt_broker import Mosquitto
from tests.processes import descendants, open_descriptors
from tests.small_bundles import null_bundle
from tests.supervised import eventually
from tests.test_audio import REFUSES
from tests.test_mqtt_source import publisher
from tests.test_serial_source import Device
from tests.test_windows_in_the_loop import ENGINE, WINDOW
from tests.test_windows_in_the_loop import bundle as windows_bundle

GST = "gstreamer:videotestsrc is-live=true {pattern}?width=64&height=48&fps=30&timeout_s=1"
needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None,
    reason="no GStreamer: apt install gstreamer1.0-tools gstreamer1.0-plugins-base",
)


def identity(counts: Counts) -> bool:
    return (
        counts.captured
        == counts.on_time + counts.late + counts.dropped + counts.skipped + counts.lost + counts.in_flight
    )


def kinds(loop: Loop) -> list[str]:
    return [event.kind for event in loop.report().events]


@contextmanager
def running(bundle: Path, source: object, **settings: object) -> Iterator[tuple[Loop, Iterator[Result]]]:
    """A loop on the null engine; afterwards every sample is accounted for, and no thread, descriptor or process is left."""
    before = open_descriptors(), len(descendants()), threading.active_count()
    filled = {"deadline_ms": 1_000, "engine": "null", "isolation": "none", **settings}
    with Loop(bundle, source, **filled) as loop:  # type: ignore[arg-type]
        yield loop, iter(loop)
    assert identity(loop.report().counts)
    assert loop.report().counts.in_flight == 0
    eventually(lambda: (open_descriptors(), len(descendants()), threading.active_count()) == before, 5)


def gst_launch() -> int:
    [pid] = [pid for pid in descendants() if Path(f"/proc/{pid}/comm").read_text().startswith("gst-launch")]
    return pid


@needs_gstreamer
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["unplugged", "0 frames a second"])
def test_a_camera_that_goes_and_comes_back(number: signal.Signals, tmp_path: Path) -> None:
    bundle = frames_bundle(tmp_path / "frames.edge")
    settings = {"engine_options": {"input": "1,24,32,3 float32"}}
    with running(bundle, GST.format(pattern="pattern=ball"), **settings) as (loop, results):
        first = next(results)
        os.kill(gst_launch(), number)
        until = next(result for result in results if "source_back" in kinds(loop))
        after = next(results)
    assert kinds(loop) == ["source_lost", "source_back"]
    assert first.sequence < until.sequence < after.sequence
    assert until.age_ms < 1_000, "no old frame is taken for a new one"


@needs_gstreamer
def test_a_black_picture_is_told_and_the_loop_goes_on(tmp_path: Path) -> None:
    bundle = frames_bundle(tmp_path / "frames.edge")
    settings = {"engine_options": {"input": "1,24,32,3 float32"}}
    with running(bundle, GST.format(pattern="pattern=black"), **settings) as (loop, results):
        next(result for result in results if "source_dark" in kinds(loop))
        next(results)
        assert loop.report().source.now == ("dark",)
    assert kinds(loop) == ["source_dark"]


def test_frames_of_another_size_in_the_middle(tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (height, width) in enumerate([(48, 64), (48, 64), (480, 640), (480, 640), (1, 1)]):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((height, width, 3), 100, np.uint8))
    bundle = frames_bundle(tmp_path / "frames.edge")
    with running(bundle, f"images:{folder}", engine_options={"input": "1,24,32,3 float32"}) as (loop, results):
        assert [result.sequence for result in results] == [0, 1, 2, 3, 4]
    assert "source_changed" in kinds(loop)
    assert loop.report().source.faults["changed"] == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("synthetic:shapes?pace=fast", r"input 'input' takes shape \(1, 4\); found \(240, 320, 3\)"),
        ("synthetic:sine?pace=fast&rate_hz=1000&channels=3", r"input 'input' takes shape \(1, 4\); found \(\d+, 3\)"),
    ],
    ids=["frames for numbers", "readings for numbers"],
)
def test_samples_of_another_form_end_it_with_both_forms(source: str, said: str, tmp_path: Path) -> None:
    with (
        running(null_bundle(tmp_path / "null.edge"), source) as (loop, results),
        pytest.raises(ContractError, match=said),
    ):
        next(results)
    assert kinds(loop) == ["bad_sample"] * 5
    assert loop.report().counts == Counts(captured=5, lost=5)


def log(path: Path) -> None:
    """8 s of six channels at 1 kHz, with a fault in the middle of each second from the second one on."""
    at_ms, data = np.arange(8_000.0), np.random.default_rng(0).normal(size=(8_000, 6))
    data[2_500, 3] = np.nan
    data[4_300:4_700, 5] = 0.25  # stands still
    at_ms[5_500:] -= 700  # the clock runs backwards
    rows = np.column_stack([at_ms, data])
    rows = np.delete(rows, np.s_[1_500:1_550], axis=0)  # a gap
    np.savetxt(path, rows, fmt="%.6f", delimiter=",", header="t,a,b,c,d,e,f", comments="")


def test_a_sensor_with_everything_wrong_loses_only_the_windows_it_spoils(tmp_path: Path) -> None:
    log(tmp_path / "log.csv")
    source = f"replay:{tmp_path}/log.csv?time=t&time_unit=ms&pace=fast"
    with running(windows_bundle(tmp_path / "w.edge"), source, **ENGINE) as (loop, results):
        values = list(results)
    counts = loop.report().counts
    every = (8_000 - WINDOW.length) // (WINDOW.hop or 1) + 1
    spoilt = 4 * (WINDOW.length // (WINDOW.hop or 1) + 3)
    assert every - spoilt - 700 // (WINDOW.hop or 1) <= len(values) < every
    assert counts.lost >= 3, "of the gap, of the number that is none, and of the time that ran backwards"
    said = "\n".join(event.message for event in loop.report().events)
    for words in ("50 readings are missing", "backwards by 699 ms", "d are NaN", "channel f stands still"):
        assert words in said, said
    assert all(np.isfinite(result.sample.data).all() for result in values)
    assert any(result.sample.after_gap for result in values)


def test_a_sensor_that_falls_silent_is_opened_anew(tmp_path: Path) -> None:
    device = Device(tmp_path / "ttyUSB0")
    try:
        source = f"serial:{device.path}?baud=115200"
        with running(null_bundle(tmp_path / "null.edge"), source, silence_ms=300) as (loop, results):
            device.send(b"\n1,2,3,4\n")  # what stands before the first end of a line may be half a line
            assert next(results).sample.data.tolist() == [[1, 2, 3, 4]]
            threading.Timer(0.8, device.send, [b"\n5,6,7,8\n5,6,7"]).start()
            assert next(results).sample.data.tolist() == [[5, 6, 7, 8]]
        assert kinds(loop)[:2] == ["source_hung", "source_back"]
        assert loop.report().sources_left_behind >= 1
    finally:
        device.unplug()


def test_an_audio_device_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start. A module stands in sounddevice's place, with PortAudio's error: no device here can be taken."""
    (tmp_path / "sounddevice.py").write_text(REFUSES % -9985)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    loop = Loop(null_bundle(tmp_path / "null.edge"), "audio:mic", deadline_ms=100, engine="null", isolation="none")
    with pytest.raises(SourceError, match=r"in use by another program .fuser -v /dev/snd/. shows by which"), loop:
        pass


def test_a_broker_away_for_an_hour_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The back-off's clock runs ten thousand times faster; the broker, the sockets and the refused connections are real."""
    monkeypatch.setattr(edge_sdk.backoff, "FIRST_WAIT_S", edge_sdk.backoff.FIRST_WAIT_S / 10_000)
    monkeypatch.setattr(edge_sdk.backoff, "LONGEST_WAIT_S", edge_sdk.backoff.LONGEST_WAIT_S / 10_000)
    in_an_hour = int(3_600 / 5)
    broker = Mosquitto(tmp_path)
    source = source_from(f"mqtt://127.0.0.1:{broker.port}/open/x?payload=json&qos=1")
    tried, enough = itertools.count(1), threading.Event()
    opens = source.open

    def counted() -> None:
        if next(tried) > in_an_hour:
            enough.set()
        opens()

    monkeypatch.setattr(source, "open", counted)
    away, back = threading.Event(), threading.Event()

    def on_event(event: Event) -> None:
        {"source_lost": away, "source_back": back}.get(event.kind, threading.Event()).set()

    bundle = null_bundle(tmp_path / "null.edge")
    try:
        with running(bundle, source, reopen_s=3_600, on_event=on_event) as (loop, results):
            with publisher(broker) as publish:
                publish("[1, 2, 3, 4]")
                next(results)
            broker.stop()
            assert away.wait(10)
            descriptors, threads = open_descriptors(), threading.active_count()
            assert enough.wait(60)
            assert abs(open_descriptors() - descriptors) <= 2, "as many as one try has"
            assert threading.active_count() == threads
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", broker.port)), "it was away all the time"
            broker.start()
            assert back.wait(10)
            with publisher(broker) as publish:
                publish("[5, 6, 7, 8]")
                assert next(results).sample.data.tolist() == [[5, 6, 7, 8]]
    finally:
        broker.stop()
    assert kinds(loop)[:2] == ["source_lost", "source_back"]


def test_outputs_of_another_shape_than_the_bundle_states(tmp_path: Path) -> None:
    loop = Loop(
        null_bundle(tmp_path / "null.edge"),
        "synthetic:sine",
        deadline_ms=100,
        engine="null",
        engine_options={"output": "1,5 int8"},
    )
    with pytest.raises(EngineError, match="found 'output' int8 1x5; stated 'output' int8 1x4"), loop:
        pass


def test_the_check_of_an_app_toml_looks_at_source_and_sinks(tmp_path: Path) -> None:
    done = one_run(tmp_path, "--check", source="kind = 'synthetic'\nwhat = 'sine'\nrate_hz = '20 Hz'")
    assert (done.returncode, done.stdout) == (2, "")
    assert "source synthetic: rate_hz: Input should be a valid number without a unit; found '20 Hz'" in done.stderr
    assert "source synthetic takes what, rate_hz" in done.stderr


@pytest.mark.parametrize("sink", ["console", "jsonl"])
def test_a_deadline_shorter_than_the_engine_is_said_with_the_figure(sink: str, tmp_path: Path) -> None:
    """By the command line, whatever the sinks."""
    path = "" if sink == "console" else "\npath = 'out.jsonl'"
    done = one_run(
        tmp_path,
        "--results",
        "2",
        deadline_ms=5,
        model="options = { wait_ms = 20 }",
        sink=f"[[sink]]\nkind = '{sink}'{path}",
    )
    assert done.returncode == 0, done.stderr
    said = (done.stdout if sink == "console" else done.stderr).splitlines()[0]
    assert "the deadline of 5 ms is shorter than the engine alone ever took here: 2" in said
    assert "raise deadline_ms, or use a smaller or faster variant" in said
