"""Frames that come through another program or the network: each is a real process, killed, stopped and broken."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.accounting import Accounting
from edge_sdk.bad_samples import BadSamples
from edge_sdk.errors import ConfigError, SourceError, SourceLostError
from edge_sdk.reader import Reader
from edge_sdk.redact import redacted
from edge_sdk.result import Event
from edge_sdk.sources import Source, source_from
from edge_sdk.sources.libcamera import captured_ns
from tests.test_sources import SourceContract, open_files

HERE = Path(__file__).parent
needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None,
    reason="no gst-launch-1.0: apt install gstreamer1.0-tools gstreamer1.0-plugins-base",
)


def reads_in_a_thread(source: Source) -> tuple[threading.Thread, list[object]]:
    """Reads until the end or an error, which are then in the list."""
    ended: list[object] = []

    def read() -> None:
        try:
            while source.read() is not None:
                pass
            ended.append(None)
        except SourceError as exc:
            ended.append(exc)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, ended


def ends(pid: int) -> bool:
    """Whether the process is gone, or gone within 3 s."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        threading.Event().wait(0.01)
    return False


def join_ends() -> None:
    for thread in threading.enumerate():
        if thread.name == "edge-sdk-pipe-end":
            thread.join(3)


def pid_of(source: Source) -> int:
    way = getattr(source, "_way", None) or source
    return int(way._opened[0]._process.pid)


@needs_gstreamer
class TestGStreamer(SourceContract):
    count = None

    @pytest.fixture
    def make(self) -> Callable[[], Source]:
        return lambda: source_from("gstreamer:videotestsrc is-live=true pattern=snow?width=320&height=240&fps=60")

    def test_frames_come_at_their_rate(self, make: Callable[[], Source]) -> None:
        with make() as source:
            stamps = [source.read().captured_ns for _ in range(31)]
        assert source.live and source.period_s == pytest.approx(1 / 60)
        assert (stamps[-1] - stamps[0]) / 30 == pytest.approx(1e9 / 60, rel=0.2)


@needs_gstreamer
@pytest.mark.parametrize("width", [322, 321, 320])
@pytest.mark.parametrize("format", ["BGR", "GRAY8"])
def test_rows_are_cut_where_gstreamer_pads_them(width: int, format: str) -> None:
    """Bars from left to right: every row is the same, unless rows are cut at wrong places."""
    with source_from(f"gstreamer:videotestsrc pattern=smpte75?width={width}&height=40&format={format}") as source:
        image = source.read().data
    assert image.shape == ((40, width, 3) if format == "BGR" else (40, width))
    assert (image[:20] == image[0]).all() and image.flags.c_contiguous
    if format == "BGR":
        assert image[0, 60].tolist() == pytest.approx([0, 190, 190], abs=3)  # the second bar is yellow


@needs_gstreamer
@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("videotestsrc ! nosuch", 'erroneous pipeline: no element "nosuch"'),
        ("videotestsrc ! ! identity", "erroneous pipeline: syntax error"),
        ("videotestsrc pattern=5 nonsense=1", "erroneous pipeline: no property .nonsense."),
        ("videotestsrc ! video/x-raw,width=32,height=32", "width=64|not-negotiated|could not link|64x64"),
        ("v4l2src device=/dev/video77", "Cannot identify device '/dev/video77'"),
        ("videotestsrc num-buffers=0", r"exit code 0.*must give raw video of 64x64"),
        (
            "rtspsrc location=rtsp://me:secret1@127.0.0.1:1/x user-pw=secret2 ! decodebin",
            r"me:\*\*\*@127.0.0.1:1/x user-pw=\*\*\*",
        ),
    ],
)
def test_a_pipeline_that_gives_nothing_says_why(pipeline: str, message: str) -> None:
    source = source_from(f"gstreamer:{pipeline}?width=64&height=64")
    with pytest.raises(SourceError, match=message) as raised:
        source.open()
    assert "try it: gst-launch-1.0 -v" in str(raised.value) and "secret" not in str(raised.value)
    assert not isinstance(raised.value, SourceLostError)


@needs_gstreamer
def test_a_pipeline_that_ends_or_dies_is_lost_and_comes_back() -> None:
    source = source_from("gstreamer:videotestsrc num-buffers=5?width=64&height=64")
    with source, pytest.raises(SourceLostError, match=r"ended \(exit code 0\)"):
        for _ in range(6):
            source.read()
    with source_from("gstreamer:videotestsrc is-live=true?width=64&height=64") as source:
        os.kill(pid_of(source), signal.SIGKILL)
        with pytest.raises(SourceLostError, match=r"ended .*SIGKILL"):
            for _ in range(100):
                source.read()
        source.open()
        assert source.read().data.shape == (64, 64, 3)


@needs_gstreamer
def test_a_pipeline_that_hangs_is_lost_and_its_process_killed() -> None:
    source = source_from("gstreamer:videotestsrc is-live=true?width=64&height=64&timeout_s=0.3")
    source.open()
    pid = pid_of(source)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(SourceLostError, match=r"gst-launch-1.0 gave .* in 0.3 s: it hangs"):
        for _ in range(100):
            source.read()
    source.open()  # the stopped one does not take an interrupt: it is killed first
    assert ends(pid) and source.read() is not None
    source.close()


@needs_gstreamer
def test_the_reader_brings_back_a_pipeline_that_dies_or_hangs_and_nothing_is_left() -> None:
    events: list[Event] = []
    sources: list[Source] = []

    def make() -> Source:
        sources.append(source_from("gstreamer:videotestsrc is-live=true pattern=snow?width=64&height=64"))
        return sources[-1]

    def take() -> None:
        for _ in range(5):
            assert reader.take(1.0).data.shape == (64, 64, 3)

    join_ends()
    files = open_files()
    reader = Reader(make, Accounting(), events.append, BadSamples(events.append), reopen_s=10)
    pids = []
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        take()
        pids.append(pid_of(sources[-1]))
        os.kill(pids[-1], number)
        said = len(events)
        while len(events) < said + 2:
            reader.take(1.0)
    take()
    pids.append(pid_of(sources[-1]))
    health = reader.health.snapshot(time.monotonic_ns())
    reader.close()
    kinds = [event.kind for event in events]
    assert kinds == ["source_lost", "source_back", "source_hung", "source_back", "source_lost", "source_back"]
    assert "SIGKILL" in events[0].message and health.state == "open" and health.reopenings == 3
    assert all(ends(pid) for pid in pids)
    join_ends()
    assert open_files() == files


def test_a_machine_without_gstreamer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match=r"gst-launch-1.0 is not installed. Run: sudo apt install gstreamer1.0-tools"):
        source_from("gstreamer:videotestsrc?width=64&height=64").open()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gstreamer:videotestsrc", "width: is missing"),
        ('gstreamer:videotestsrc name="a?width=4&height=4', "No closing quotation"),
        ("gstreamer:  ?width=4&height=4", "is empty"),
        ("libcamera:0?width=641", "multiple of 2"),
        ("libcamera:first", "camera: Input should be a valid integer"),
        ("rtsp:somewhere", r"'somewhere' is not of the form rtsp://user:password@host"),
        ("rtsp://", "is not of the form"),
        ("rtsp://me:sec@ret@host:x/cam", r"'rtsp://me:\*\*\*@host:x/cam' is not of the form"),
        ("rtsp://me:sec/ret@ host/cam", r"'rtsp://me:\*\*\*@ host/cam' is not of the form"),
        ("rtsp://me:secret@host/cam?transport", r"'rtsp://me:\*\*\*@host/cam\?transport'"),
        ("rtsps://me:secret@host/cam", r"'rtsps://me:\*\*\*@host/cam' does not begin with a kind"),
        ("rtsp://host/cam?transport=carrier-pigeon", "transport: Input should be 'tcp' or 'udp'"),
        ({"kind": "rtsp", "url": 5}, "url: is not text"),
    ],
)
def test_wrong_settings_name_what_is_allowed_and_no_password(text: str | dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        source_from(text)
    assert "secret" not in str(raised.value) and "sec@ret" not in str(raised.value)


def test_a_password_in_place_of_a_file_is_not_shown() -> None:
    with pytest.raises(
        SourceError, match=r"http:/me:\*\*\*@host/x.mp4 is a URL, not a file. A network camera is rtsp://"
    ):
        source_from("file:http://me:secret@host/x.mp4").open()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://me:pw@host/x", "rtsp://me:***@host/x"),
        ("mqtt://me:p@w/x:y@host:1883/topic and file:x", "mqtt://me:***@host:1883/topic and file:x"),
        ("http://host:8080/path", "http://host:8080/path"),
        ("http://me@host/path", "http://me@host/path"),
        ('souphttpsrc user-id=me user-pw="a b" ! x', "souphttpsrc user-id=me user-pw=*** ! x"),
        ("mqtt:topic?password=pw&qos=1", "mqtt:topic?password=***&qos=1"),
        ("file:pass.mp4?pace=fast", "file:pass.mp4?pace=fast"),
        ('rtsp://me:it\'s "mine"@host/x', "rtsp://me:***@host/x"),
        ("rtspsrc user-pw='a b' ! x", "rtspsrc user-pw=*** ! x"),
        ("srtsrc passphrase=pw ! x", "srtsrc passphrase=*** ! x"),
        ("http://host/x?access_token=pw", "http://host/x?access_token=***"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A program named rpicam-vid, with this fault, on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def put(fault: str) -> None:
        program = tmp_path / "rpicam-vid"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {HERE}/rpicam_stand_in.py --fault "{fault}" "$@"\n')
        program.chmod(0o755)

    put("")
    return put


class TestRpicam(SourceContract):
    """rpicam-vid itself has not run here: a process that writes the same."""

    count = None

    @pytest.fixture
    def make(self, stand_in: Callable[[str], None]) -> Callable[[], Source]:
        return lambda: source_from("libcamera:0?width=128&height=64&fps=60")

    def test_frames_have_the_sensor_s_time(self, make: Callable[[], Source]) -> None:
        with make() as source:
            read = [(source.read(), time.monotonic_ns()) for _ in range(20)]
        assert source.description.startswith("camera 0 of libcamera through rpicam-vid, as picamera2 is not installed")
        ages_ms = [(now - sample.captured_ns) / 1e6 for sample, now in read]
        assert min(ages_ms) >= 7 and float(np.median(ages_ms)) < 14  # stamped 7 ms before they are written
        assert [sample.data[0, 0, 0] for sample, _ in read] == list(range(20))
        assert all(a[0].captured_ns < b[0].captured_ns for a, b in pairwise(read))

    def test_colours_are_those_of_full_range_yuv(
        self, make: Callable[[], Source], stand_in: Callable[[str], None]
    ) -> None:
        stand_in("red")
        with make() as source:
            image = source.read().data
        assert image.shape == (64, 128, 3) and image[30, 60].tolist() == pytest.approx([0, 0, 254], abs=2)

    @pytest.mark.parametrize("fault", ["chatty"])
    def test_lines_on_standard_output_do_no_harm(
        self, make: Callable[[], Source], stand_in: Callable[[str], None], fault: str
    ) -> None:
        stand_in(fault)
        with make() as source:
            assert [source.read().data[0, 0, 0] for _ in range(5)] == list(range(5))

    def test_one_that_finds_no_camera_says_so(
        self, make: Callable[[], Source], stand_in: Callable[[str], None]
    ) -> None:
        stand_in("none")
        with pytest.raises(
            SourceError,
            match=r"rpicam-vid ended \(exit code 1\). It said: ERROR: \*\*\* no cameras available .*--list-cameras",
        ):
            make().open()

    def test_half_a_frame_and_its_end_are_a_loss(
        self, make: Callable[[], Source], stand_in: Callable[[str], None]
    ) -> None:
        stand_in("half")
        with (
            make() as source,
            pytest.raises(
                SourceLostError,
                match=r"in the middle of a frame \(1000 of 12288 bytes\) \(exit code 1\). It said: .*failed to queue buffer",
            ),
        ):
            for _ in range(4):
                source.read()

    @pytest.mark.parametrize("fault", ["padded", "narrow", "unstamped"])
    def test_frames_of_another_size_are_noticed(self, stand_in: Callable[[str], None], fault: str) -> None:
        stand_in(fault)
        with (
            source_from("libcamera:0?width=128&height=64&fps=500") as source,
            pytest.raises(SourceLostError, match="frames of another size than 128x64, or no metadata"),
        ):
            for _ in range(300):
                source.read()

    def test_one_that_hangs_in_a_frame_is_killed(self, stand_in: Callable[[str], None]) -> None:
        stand_in("stuck")  # and takes no interrupt
        source = source_from("libcamera:0?width=128&height=64&fps=60&timeout_s=0.3")
        source.open()
        pid = pid_of(source)
        with pytest.raises(SourceLostError, match=r"gave 1000 of the 12288 bytes of a frame in 0.3 s: it hangs"):
            for _ in range(4):
                source.read()
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 0.2 and ends(pid)
        stand_in("")
        source.open()
        assert source.read() is not None
        source.close()

    def test_closing_ends_a_read_and_an_opening(
        self, make: Callable[[], Source], stand_in: Callable[[str], None]
    ) -> None:
        join_ends()
        files, threads = open_files(), threading.active_count()
        source = make()
        source.open()
        pid = pid_of(source)
        os.kill(pid, signal.SIGSTOP)
        thread, ended = reads_in_a_thread(source)
        source.close()
        thread.join(2)
        assert ended == [None] and ends(pid)
        stand_in("silent")
        failed: list[SourceError] = []

        def opens() -> None:
            try:
                source.open()
            except SourceError as exc:
                failed.append(exc)

        thread = threading.Thread(target=opens)
        thread.start()
        while getattr(source._way, "_opened", None) is None or source._way._opened[0]._process is None:
            threading.Event().wait(0.01)
        pid = pid_of(source)
        source.close()
        thread.join(2)
        assert "was closed while it was being opened" in str(failed[0]) and ends(pid)
        join_ends()
        assert open_files() == files and threading.active_count() == threads

    def test_rows_that_would_be_padded_are_refused(self, stand_in: Callable[[str], None]) -> None:
        with pytest.raises(
            SourceError, match=r"pads rows to 64 pixels, so width=1296 cannot be read; .* such as 1344, or picamera2"
        ):
            source_from("libcamera:0?width=1296&height=972").open()


def test_a_machine_without_libcamera_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        SourceError,
        match=r"picamera2 is not installed, and there is no rpicam-vid on PATH. Run: sudo apt .*--system",
    ):
        source_from("libcamera:0").open()
    with pytest.raises(SourceError, match="libcamera cannot be used: there is no rpicam-vid on PATH"):
        source_from("libcamera:0?through=rpicam").open()
    with pytest.raises(SourceError, match=r"picamera2 is not installed. Run: sudo apt install python3-picamera2"):
        source_from("libcamera:0?through=picamera2").open()


def test_a_virtual_environment_that_does_not_see_picamera2_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_sdk.sources.libcamera._SYSTEM_PICAMERA2", tmp_path)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    with pytest.raises(
        SourceError, match=r"picamera2 is not seen in the virtual environment .*without --system-site-packages"
    ):
        source_from("libcamera:0?through=picamera2").open()


def test_a_sensor_s_stamp_may_be_of_either_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic_ns()
    assert captured_ns(now - 5_000_000, now) == now - 5_000_000
    hour = 3600 * 10**9  # asleep since the start
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: time.monotonic_ns() + hour)
    assert captured_ns(now + hour - 5_000_000, now) == pytest.approx(now - 5_000_000, abs=1_000_000)
    assert captured_ns(now + 1000, now) <= now


PICAMERA2 = """
import time
import numpy as np
class Request:
    def __init__(self, size): self.size = size
    def make_array(self, name): return np.full((self.size[1], self.size[0], 3), (1, 2, 3), np.uint8)
    def get_metadata(self): return {"SensorTimestamp": time.monotonic_ns() - 3_000_000}
    def release(self): events.append("released")
events = []
cameras = [{"Num": 0, "Model": "imx708"}]
fault = ""
class Picamera2:
    @staticmethod
    def global_camera_info(): return cameras
    def __init__(self, number):
        if fault == "busy": raise RuntimeError("Failed to acquire camera: Device or resource busy")
    def create_video_configuration(self, main, controls): return {"main": main, "controls": controls}
    def configure(self, config): self.config = config
    def camera_configuration(self): return self.config
    def start(self): events.append("started")
    def capture_request(self, wait):
        if fault == "hang": raise TimeoutError()
        return Request(self.config["main"]["size"])
    def close(self): events.append("closed")
"""


def test_picamera2_is_used_as_its_manual_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with picamera2's names in its place: the camera itself has not run here."""
    (tmp_path / "picamera2.py").write_text(PICAMERA2)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "picamera2", None)  # so that it is what it was in the end
    del sys.modules["picamera2"]
    source = source_from("libcamera:0?width=320&height=240&fps=15")
    with source:
        sample = source.read()
    import picamera2

    assert source.description == "camera 0 of libcamera through picamera2"
    assert sample.data.shape == (240, 320, 3) and sample.data[0, 0].tolist() == [1, 2, 3] and sample.colour == "bgr"
    assert 3e6 <= time.monotonic_ns() - sample.captured_ns < 2e9
    assert picamera2.events == ["started", "released", "closed"]
    with pytest.raises(SourceError, match=r"libcamera has no camera 3; it has 0 \(imx708\)"):
        source_from("libcamera:3").open()
    monkeypatch.setattr(picamera2, "fault", "busy")
    with pytest.raises(SourceError, match=r"camera 0 cannot be opened: Failed to acquire .* fuser -v"):
        source.open()
    monkeypatch.setattr(picamera2, "fault", "hang")
    with source, pytest.raises(SourceLostError, match=r"camera 0 gave no frame in 5 s"):
        source.read()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class RtspCamera:
    """A real camera on loopback, that can be started again."""

    def __init__(self, *credentials: str) -> None:
        self.port = free_port()
        self._credentials = credentials
        self.start()

    def start(self) -> None:
        command = ["/usr/bin/python3", str(HERE / "rtsp_camera.py"), str(self.port), *self._credentials]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            said = self.process.stderr.read()
            self.stop()
            pytest.skip(
                "no RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly; "
                + said.strip().rpartition("\n")[2]
            )

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspCamera]:
    camera = RtspCamera()
    yield camera
    camera.stop()


@pytest.fixture
def guarded() -> Iterator[RtspCamera]:
    camera = RtspCamera("me", "sec%ret")
    yield camera
    camera.stop()


class TestRtsp(SourceContract):
    count = None

    @pytest.fixture
    def make(self, rtsp: RtspCamera) -> Callable[[], Source]:
        return lambda: source_from(f"rtsp://127.0.0.1:{rtsp.port}/cam?transport=tcp&timeout_s=5")

    def test_frames_come_at_their_rate(self, make: Callable[[], Source]) -> None:
        with make() as source:
            for _ in range(10):  # what the camera sent while it was opened
                source.read()
            samples = [source.read() for _ in range(31)]
        assert source.live and samples[0].data.shape == (240, 320, 3)
        assert (samples[-1].captured_ns - samples[0].captured_ns) / 30 == pytest.approx(1e9 / 30, rel=0.1)

    def test_a_latency_that_is_stated_counts(self, rtsp: RtspCamera) -> None:
        with source_from(f"rtsp://127.0.0.1:{rtsp.port}/cam?latency_ms=250") as source:
            sample = source.read()
        assert time.monotonic_ns() - sample.captured_ns >= 250_000_000


def test_the_right_password_opens_and_no_message_shows_it(
    guarded: RtspCamera, capfd: pytest.CaptureFixture[str]
) -> None:
    with source_from(f"rtsp://me:sec%25ret@127.0.0.1:{guarded.port}/cam") as source:
        assert source.read() is not None
        assert source.description == f"rtsp://me:***@127.0.0.1:{guarded.port}/cam"
        assert "sec%" not in repr(source.settings) and "sec%" not in str(source.settings)
    for url, message in (
        (
            f"rtsp://me:sec%25ret2@127.0.0.1:{guarded.port}/cam",
            r"me:\*\*\*@.* the camera refuses user 'me' with this password",
        ),
        (
            f"rtsp://127.0.0.1:{guarded.port}/cam",
            "the camera wants user and password; write rtsp://user:password@127.0.0.1/cam",
        ),
        (f"rtsp://me:sec%25ret@127.0.0.1:{guarded.port}/none", "the camera has no stream '/none'"),
        (f"rtsp://me:sec%25ret@127.0.0.1:{free_port()}/cam", "cannot be reached: Connection refused"),
        ("rtsp://me:sec%25ret@no-such-host.invalid/cam", "there is no host 'no-such-host.invalid'"),
    ):
        began = time.monotonic()
        with pytest.raises(SourceError, match=message) as raised:
            source_from(url).open()
        assert "sec%" not in str(raised.value) and time.monotonic() - began < 6
    out, err = capfd.readouterr()
    assert "sec%" not in out + err  # of FFmpeg


def test_a_host_that_says_nothing_or_is_no_camera(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"does not answer within 0.5 s"):
            source_from(f"rtsp://127.0.0.1:{deaf.getsockname()[1]}/cam?timeout_s=0.5").open()
        assert time.monotonic() - began < 3


def test_a_camera_that_stalls_or_dies_is_lost_and_comes_back(guarded: RtspCamera) -> None:
    source = source_from(
        f"rtsp://me:sec%25ret@127.0.0.1:{guarded.port}/cam?timeout_s=1&threads=3"
    )  # which hold back frames
    source.open()
    source.read()
    os.kill(guarded.process.pid, signal.SIGSTOP)
    read = [time.monotonic()]
    with pytest.raises(SourceLostError, match=r"rtsp://me:\*\*\*@.*sends no more frames, or none for 1 s"):
        while source.read() is not None:
            read.append(time.monotonic())
    assert time.monotonic() - read[-1] < 1.5
    assert max(np.diff(read), default=0) < 0.9  # no frame that was held back
    guarded.stop()
    source.close()
    with pytest.raises(SourceError, match="cannot be reached: Connection refused"):
        source.open()
    guarded.start()
    source.open()
    assert source.read().data.shape == (240, 320, 3)
    guarded.stop()
    with pytest.raises(SourceLostError, match="sends no more frames"):
        while source.read() is not None:
            pass
    source.close()


def test_closing_returns_at_once_and_ends_a_read_in_time(guarded: RtspCamera) -> None:
    source = source_from(f"rtsp://me:sec%25ret@127.0.0.1:{guarded.port}/cam?timeout_s=1")
    source.open()
    os.kill(guarded.process.pid, signal.SIGSTOP)
    thread, ended = reads_in_a_thread(source)
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 0.2
    thread.join(3)
    assert ended == [None]


def test_the_url_of_a_table_may_hold_a_query() -> None:
    text = source_from("rtsp://me:pw@host:8554/cam?transport=udp&timeout_s=3")
    table = source_from({"kind": "rtsp", "url": "rtsp://me:pw@host:8554/cam", "transport": "udp", "timeout_s": 3})
    assert text.settings == table.settings
    hikvision = source_from({"kind": "rtsp", "url": "rtsps://host/Streaming/Channels/101?profile=Profile_1"})
    assert hikvision.description == "rtsps://host/Streaming/Channels/101?profile=Profile_1"


DEAF = """import os, signal, sys
for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
fd = int(next(each for each in sys.argv if each.startswith("fd=")).removeprefix("fd="))
os.write(fd, bytes(64 * 64 * 3))
while True:
    signal.pause()
"""


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gst-launch-1.0 that gives one frame, then hangs and takes no interrupt."""
    (tmp_path / "deaf.py").write_text(DEAF)
    (tmp_path / "gst-launch-1.0").write_text(f'#!/bin/sh\nexec {sys.executable} -S {tmp_path}/deaf.py "$@"\n')
    (tmp_path / "gst-launch-1.0").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.usefixtures("deaf")
def test_a_program_that_takes_no_interrupt_does_not_outlive_this_one() -> None:
    """Closed, and this Python at its end at once."""
    script = (
        "from edge_sdk.sources import source_from\n"
        "with source_from('gstreamer:x?width=64&height=64') as source:\n"
        "    source.read()\n"
        "    print(source._opened[0]._process.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    pid = int(done.stdout)
    gone = ends(pid)
    if not gone:
        os.kill(pid, signal.SIGKILL)
    assert gone


@needs_gstreamer
def test_one_that_may_open_no_more_files_says_so_and_leaks_none() -> None:
    script = """
import os, resource
from pathlib import Path
from edge_sdk.errors import SourceError
from edge_sdk.sources import source_from
def count():
    return len(os.listdir("/proc/self/fd"))
source = source_from("gstreamer:videotestsrc num-buffers=3?width=64&height=64")
try:
    source.open()
    source.close()
except SourceError:
    pass
before, said = count(), set()
for more in range(0, 14):
    resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1 + more, 4096))
    try:
        source.open()
        source.close()
    except SourceError as exc:
        said.add("files" in str(exc))
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
    assert count() == before, (more, count(), before)
assert said == {True}, said
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
