"""Every source keeps the same promises: one template, a short subclass each; then what is particular to each."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import ConfigError, SourceError, SourceLostError
from edge_sdk.sources import KINDS, Sample, Source, source_from
from edge_sdk.sources.camera import CameraSettings, CameraSource, DriverClock
from edge_sdk.sources.pace import Pace
from edge_sdk.sources.replay import ReplaySettings, ReplaySource
from tests.source_contract import SourceContract, open_files, read_all


class TestFastVideo(SourceContract):
    count = 6

    @pytest.fixture
    def make(self, carphone: Path) -> Callable[[], Source]:
        return lambda: source_from(f"file:{carphone}?pace=fast&start=10&stop=21&step=2")

    def test_gives_the_frames_of_the_slice(self, make: Callable[[], Source], carphone: Path) -> None:
        with source_from(f"file:{carphone}?pace=fast") as whole, make() as part:
            every, chosen = read_all(whole), read_all(part)
        assert len(every) == 120 and not part.live
        assert [s.name for s in chosen] == [f"{carphone.name}#{n}" for n in range(10, 21, 2)]
        for got, expected in zip(chosen, every[10:21:2], strict=True):
            np.testing.assert_array_equal(got.data, expected.data)


class TestRealtimeVideo(SourceContract):
    count = 5

    @pytest.fixture
    def make(self, carphone: Path) -> Callable[[], Source]:
        return lambda: source_from({"kind": "file", "path": carphone, "stop": 5})

    def test_frames_come_when_they_are_due(self, make: Callable[[], Source]) -> None:
        with make() as source:
            read = [(source.read(), time.monotonic_ns()) for _ in range(5)]
        assert source.live
        assert all(now >= sample.captured_ns for sample, now in read)  # never early
        steps = [b[0].captured_ns - a[0].captured_ns for a, b in pairwise(read)]
        assert steps == pytest.approx([1e9 * 1001 / 30000] * 4, rel=1e-4)  # 29.97 frames/s

    def test_closing_ends_a_wait(self, carphone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = source_from(f"file:{carphone}?step=100")  # the second frame is due after 3.3 s
        source.open()
        source.read()
        waits = threading.Event()
        wait = Pace.wait
        monkeypatch.setattr(Pace, "wait", lambda pace, position_ns: waits.set() or wait(pace, position_ns))
        got: list[Sample | None] = []
        waiting = threading.Thread(target=lambda: got.append(source.read()))
        began = time.monotonic()
        waiting.start()
        waits.wait()
        source.close()
        waiting.join()
        assert got == [None] and time.monotonic() - began < 2

    def test_closing_lets_go_of_the_file(self, carphone: Path) -> None:
        source = source_from(f"file:{carphone}")
        source.open()
        assert carphone.resolve() in open_files()
        source.close()
        assert carphone.resolve() not in open_files()


class TestLoopingVideo(SourceContract):
    count = None

    @pytest.fixture
    def make(self, carphone: Path) -> Callable[[], Source]:
        return lambda: source_from(f"file:{carphone}?start=1&stop=3&loop=1")

    def test_begins_again_at_an_even_pace(self, make: Callable[[], Source], carphone: Path) -> None:
        with make() as source:
            samples = [source.read() for _ in range(5)]
        assert [s.name.partition("#")[2] for s in samples] == ["1", "2", "1", "2", "1"]
        np.testing.assert_array_equal(samples[0].data, samples[2].data)
        steps = [b.captured_ns - a.captured_ns for a, b in pairwise(samples)]
        assert steps == pytest.approx([1e9 * 1001 / 30000] * 4, rel=1e-4)


class TestImages(SourceContract):
    count = 5

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Source]:
        for name in ("c.png", "a.JPG", "b.bmp", "d.png", "e.webp"):
            cv2.imwrite(str(tmp_path / name), np.full((4, 6, 3), ord(name[0]), np.uint8))
        (tmp_path / "labels.txt").write_text("no image")
        (tmp_path / "f.png").mkdir()
        return lambda: source_from(f"images:{tmp_path}")

    def test_come_in_the_order_of_their_names(self, make: Callable[[], Source]) -> None:
        with make() as source:
            assert [s.name for s in read_all(source)] == ["a.JPG", "b.bmp", "c.png", "d.png", "e.webp"]

    def test_a_broken_one_is_named_and_the_next_ones_are_read(self, make: Callable[[], Source], tmp_path: Path) -> None:
        (tmp_path / "b.bmp").write_bytes(b"no image")
        (tmp_path / "c.png").write_bytes(b"")
        with make() as source:
            assert source.read().name == "a.JPG"
            for name in ("b.bmp", "c.png"):
                with pytest.raises(SourceError, match=f"{name} is no image that OpenCV can decode"):
                    source.read()
            assert source.read().name == "d.png"


class TestReplay(SourceContract):
    count = 5

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Source]:
        np.save(tmp_path / "windows.npy", np.arange(30, dtype=np.float32).reshape(5, 3, 2))
        return lambda: source_from(f"replay:{tmp_path / 'windows.npy'}")

    def test_gives_the_first_axis(self, make: Callable[[], Source]) -> None:
        with make() as source:
            samples = read_all(source)
        np.testing.assert_array_equal(samples[4].data, np.arange(24, 30).reshape(3, 2))
        assert samples[4].name == "windows.npy#4" and not source.live
        assert samples[4].data.flags.owndata and samples[4].data.flags.writeable  # not a window on the file


class TestPacedReplay(SourceContract):
    count = None

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Source]:
        np.savez(tmp_path / "windows.npz", x=np.arange(6).reshape(3, 2), y=np.zeros(4))
        return lambda: source_from(f"replay:{tmp_path / 'windows.npz'}?key=x&rate_hz=200&loop=1")

    def test_comes_at_its_rate(self, make: Callable[[], Source]) -> None:
        with make() as source:
            samples = [source.read() for _ in range(7)]
        assert source.live and samples[3].name == "windows.npz#0"
        assert [b.captured_ns - a.captured_ns for a, b in pairwise(samples)] == [5_000_000] * 6


class TestCamera(SourceContract):
    """A real capture of a video file in place of the device."""

    count = 120

    @pytest.fixture
    def make(self, carphone: Path) -> Callable[[], Source]:
        return lambda: CameraSource(CameraSettings(device="0"), capture=lambda path: cv2.VideoCapture(str(carphone)))

    def test_none_at_the_end_and_ever_after(self, make: Callable[[], Source]) -> None:
        with make() as source:
            for _ in range(self.count):
                source.read()
            for _ in range(2):  # a camera has no end: what gives no more frames is lost
                with pytest.raises(SourceLostError, match="/dev/video0 gives no frame any more"):
                    source.read()

    def test_a_wish_that_the_camera_does_not_grant_is_an_error(self, carphone: Path) -> None:
        released: list[bool] = []
        for wish, found in (
            ({"width": 640, "height": 480}, "width=176, not width=640"),
            ({"fps": 60}, "fps=29.97, not fps=60"),
        ):
            source = CameraSource(
                CameraSettings(device="0", **wish), capture=lambda path: Recording(str(carphone), released)
            )
            with pytest.raises(SourceError, match=found):
                source.open()
        assert released == [True, True]
        granted = CameraSettings(device="0", width=176, height=144, fps=30)
        with CameraSource(granted, capture=lambda path: cv2.VideoCapture(str(carphone))) as source:
            assert source.read().data.shape == (144, 176, 3)

    def test_one_buffer_is_filled_while_the_other_is_read(self, carphone: Path) -> None:
        recording = Recording(str(carphone), [])
        with CameraSource(CameraSettings(device="0"), capture=lambda path: recording):
            assert recording.wishes == [(cv2.CAP_PROP_BUFFERSIZE, 2)]

    @pytest.mark.parametrize("hangs_in", ["open", "read"])
    def test_a_hung_driver_does_not_hold_up_close_nor_the_next_opening(self, carphone: Path, hangs_in: str) -> None:
        released: list[bool] = []
        hung, free = threading.Event(), threading.Event()
        faults = [hangs_in]

        def capture(path: str) -> Recording:
            recording = Recording(str(carphone), released)
            fault = faults.pop() if faults else None
            if fault == "open":
                hung.set()
                free.wait()
            elif fault == "read":
                recording.before_read = lambda: (hung.set(), free.wait())
            return recording

        source = CameraSource(CameraSettings(device="0"), capture=capture)
        ended: list[object] = []

        def abandoned() -> None:
            try:
                source.open()
                ended.append(source.read())
            except SourceError as exc:
                ended.append(exc)

        thread = threading.Thread(target=abandoned)
        thread.start()
        hung.wait()
        source.close()
        source.open()
        assert source.read().sequence == 0
        assert released == []  # the hung call still uses the first one
        free.set()
        thread.join()
        assert released == [True]  # by the thread that hung, and the second one still works
        assert source.read().sequence == 1
        assert len(ended) == 1 and (ended[0] is None or "was closed while it was being opened" in str(ended[0]))
        source.close()
        assert released == [True, True]


class Recording:
    """A real capture that counts its releases, keeps what it is asked for, and can be made to hang before a read."""

    def __init__(self, path: str, released: list[bool]) -> None:
        self._capture = cv2.VideoCapture(path)
        self._released = released
        self.before_read: Callable[[], object] = lambda: None
        self.wishes: list[tuple[int, float]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._capture, name)

    def set(self, prop: int, value: float) -> bool:
        self.wishes.append((prop, value))
        return self._capture.set(prop, value)

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.before_read()
        return self._capture.read()

    def release(self) -> None:
        self._released.append(True)
        self._capture.release()


def test_the_driver_s_clock_is_used_where_it_is_ours() -> None:
    second = 1_000_000_000
    ours = DriverClock()
    assert ours.captured_ns(99_990.0, 100 * second) == 99_990_000_000
    assert ours.captured_ns(100_000.0, 103 * second) == 100 * second  # an old frame keeps its age
    assert ours.captured_ns(105_000.0, 104 * second) == 104 * second  # never in the future
    for stamp_ms in (0.0, -1.0, 98_000.0, 200_000.0):
        other = DriverClock()
        assert other.captured_ns(stamp_ms, 100 * second) == 100 * second
        assert other.captured_ns(100_900.0, 101 * second) == 101 * second  # decided by the first frame


def test_a_video_that_was_cut_off_ends_at_its_last_frame(carphone: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter_fourcc(*"MJPG"), 30, (176, 144))
    with source_from(f"file:{carphone}?pace=fast") as source:
        for sample in read_all(source):
            writer.write(sample.data)
    writer.release()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with source_from(f"file:{cut}?pace=fast") as source:
        assert 50 <= len(read_all(source)) <= 60
    header = whole.read_bytes()
    cut.write_bytes(header[: header.index(b"movi") + 26])  # it opens, and holds no frame
    with pytest.raises(SourceError, match=r"cut\.avi holds no frame that can be decoded"):
        source_from(f"file:{cut}").open()


def _files(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video" * 100)
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.save(tmp_path / "number.npy", np.float32(1))
    np.save(tmp_path / "nothing.npy", np.zeros((0, 4)))
    np.save(tmp_path / "images.npy", np.zeros((2, 4, 4, 3), np.uint8))
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:100])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file:{}/none.mp4", "none.mp4 does not exist; give the path of a video file"),
        ("file:{}", "is not a file; give the path of a video file"),
        ("file:{}/text.mp4", "text.mp4 is not a video that OpenCV can read"),
        ("images:{}/none", "none does not exist; give a folder of images"),
        ("images:{}/text.mp4", "text.mp4 is not a folder"),
        ("images:{}/empty", "empty holds no image: none of its 0 entries"),
        ("replay:{}/none.npy", "none.npy does not exist; give a .npy or .npz file"),
        ("replay:{}/text.mp4", "text.mp4 is not a whole .npy or .npz file of plain numbers"),
        ("replay:{}/objects.npy", r"objects.npy .*pickled objects are never loaded"),
        ("replay:{}/cut.npz", "cut.npz is not a whole .npy or .npz"),
        ("replay:{}/number.npy", r"number.npy holds float32 of shape \(\)"),
        ("replay:{}/nothing.npy", r"nothing.npy holds float64 of shape \(0, 4\)"),
        ("replay:{}/images.npy", "say their channel order: colour=rgb or colour=bgr"),
        ("replay:{}/two.npz", "say which array by key=NAME; found no key, there are a, b"),
        ("replay:{}/two.npz?key=c", "found c, there are a, b"),
        ("camera:/dev/video-none", r"no camera at /dev/video-none\. There (is no|are) /dev/video.*edge-sdk doctor"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, text: str, message: str) -> None:
    _files(tmp_path)
    source = source_from(text.format(tmp_path))
    with pytest.raises(SourceError, match=message):
        source.open()
    with pytest.raises(SourceError, match="is not open"):
        source.read()


def test_a_video_that_ends_before_its_start_says_where(carphone: Path) -> None:
    with pytest.raises(SourceError, match="ends after 120 frames, before start=500"):
        source_from(f"file:{carphone}?start=500&loop=1").open()


def test_the_colour_of_replayed_images_is_stated(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((2, 4, 4, 3), np.uint8))
    with ReplaySource(ReplaySettings(path=tmp_path / "images.npy", colour="rgb")) as source:
        assert source.read().colour == "rgb"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("clip.mp4", r"'clip.mp4' does not begin with a kind; write one such as camera:0, .*file:clip.mp4\?pace=fast"),
        ("", "does not begin with a kind"),
        ("gopher:somewhere", "does not begin with a kind"),
        ("file:", "'file:' lacks its path; write file:PATH"),
        ("file:x?speed=2", "speed: no such key\nsource file takes path, pace, start, stop, step, loop"),
        ("file:x?pace=slow", "pace: Input should be 'realtime' or 'fast'"),
        ("file:x?step=0", "step: Input should be greater than or equal to 1"),
        ("file:x?start=9&stop=3", "start=9 to stop=3 holds no frame"),
        ("file:x?step=1&step=2", "states step twice"),
        ("file:x?pace", "'pace' is not of the form key=value"),
        ("file:x?", "'' is not of the form key=value"),
        ("camera:usb", "a camera is 0 .* or a device file such as /dev/video0; found 'usb'"),
        ("camera:0?width=640", "give width and height, or neither"),
        ("replay:x.npy?rate_hz=nan", "rate_hz"),
        ({"path": "x"}, "missing: kind"),
        ({"kind": "film"}, "no source kind 'film'; there are camera, .*replay"),
        ({"kind": "file"}, "path: is missing"),
    ],
)
def test_a_wrong_text_or_table_names_what_is_allowed(wanted: str | dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_from(wanted)


@given(st.text(min_size=1).filter(lambda t: "?" not in t), st.integers(0, 1000), st.integers(1, 100), st.booleans())
def test_text_and_table_mean_the_same(path: str, start: int, step: int, loop: bool) -> None:
    text = source_from(f"file:{path}?start={start}&step={step}&loop={int(loop)}")
    table = source_from({"kind": "file", "path": path, "start": start, "step": step, "loop": loop})
    assert text.settings == table.settings
    assert text.settings.path == Path(path)


@given(
    st.one_of(
        st.text(), st.builds(lambda kind, rest: f"{kind}:{rest}", st.sampled_from(list(KINDS.builtin)), st.text())
    )
)
def test_any_text_gives_a_source_or_a_configuration_error(text: str) -> None:
    try:
        source = source_from(text)
    except ConfigError:
        return
    assert isinstance(source, Source)


def test_a_source_of_somebody_else_joins_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_source.py").write_text(
        "import numpy as np\n"
        "from edge_sdk.kinds import Settings\n"
        "from edge_sdk.sources import Source\n"
        "class CounterSettings(Settings):\n"
        "    path: str\n"
        "    up_to: int = 3\n"
        "class CounterSource(Source):\n"
        "    settings_class = CounterSettings\n"
        "    def __init__(self, settings):\n"
        "        self.settings = settings\n"
        "    def _open(self):\n"
        "        self._rest = iter(range(self.settings.up_to))\n"
        "    def _read(self):\n"
        "        n = next(self._rest, None)\n"
        "        return None if n is None else (np.array([n]), 'bgr', self.settings.path, None)\n"
        "    def _close(self):\n"
        "        self._rest = iter(())\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edge_sdk.sources]\ncounter = their_source:CounterSource\n")
    monkeypatch.syspath_prepend(tmp_path)
    with source_from("counter:mine?up_to=2") as source:
        assert [(s.data.tolist(), s.name) for s in read_all(source)] == [([0], "mine"), ([1], "mine")]
    with pytest.raises(ConfigError, match=r"no source kind 'film'; there are camera, .*, counter"):
        source_from({"kind": "film"})


def test_choosing_a_source_or_sink_loads_no_vendor_library() -> None:
    program = (
        "import sys; from edge_sdk.sources import source_from; from edge_sdk.sinks import sink_from;"
        "source_from('camera:0'); source_from('file:x.mp4'); source_from('images:x'); source_from('replay:x.npy'); sink_from('console');"
        "sys.exit('cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class _SlowToOpen(Source):
    """Gets hold of something late in its opening."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.held = False

    def _open(self) -> None:
        self.begun.set()
        assert self.go_on.wait(5)
        self.held = True

    def _read(self) -> None:
        return None

    def _close(self) -> None:
        self.held = False


def test_a_source_that_is_closed_while_it_opens_holds_nothing_afterwards() -> None:
    source, failed = _SlowToOpen(), []

    def opens() -> None:
        try:
            source.open()
        except SourceError as exc:
            failed.append(str(exc))

    thread = threading.Thread(target=opens)
    thread.start()
    assert source.begun.wait(5)
    source.close()
    source.go_on.set()
    thread.join(5)
    assert failed == ["the source was closed while it was being opened"] and not source.held
    source.open()
    assert source.held
